// Files that are dropped on the page, or pasted or chosen: their settings are restored, or they become the start sound.

const overlay = document.getElementById("drop");

/** Listen for drops. on: {restore(file), start(file), canStart()}. */
export function listen(on) {
  let depth = 0;
  const show = (shown) => {
    overlay.hidden = !shown;
    document.getElementById("drop-start").hidden = !on.canStart();
  };
  addEventListener("dragenter", (event) => {
    if (!brings(event)) return;
    depth += 1;
    show(true);
  });
  addEventListener("dragleave", (event) => {
    if (brings(event) && --depth <= 0) show(false);
  });
  addEventListener("dragover", (event) => {
    if (!brings(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    for (const zone of overlay.children) zone.classList.toggle("over", zone.contains(event.target));
  });
  addEventListener("drop", (event) => {
    depth = 0;
    show(false);
    if (!brings(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    const asStart = Boolean(event.target.closest?.("#drop-start, #start-part, #source"));
    if (file) (asStart && on.canStart() ? on.start : on.restore)(file);
  });
}

const brings = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
