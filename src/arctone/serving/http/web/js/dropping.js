// Files that are dropped anywhere: a take gives its settings back, any other sound becomes the start sound.

const overlay = document.getElementById("drop");

/** Listen for drops. on: {restore(file), start(file), either(file), canStart()}. */
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
    if (!file) return;
    const asStart = Boolean(event.target.closest?.("#drop-start, #start-part, #source")) || isOver(event, "start-part", "source");
    if (asStart && on.canStart()) on.start(file);
    else if (on.canStart()) on.either(file);
    else on.restore(file);
  });
}

/** Whether a drop is over an element that the overlay hides. */
function isOver({ clientX, clientY }, ...ids) {
  if (!clientX && !clientY) return false;
  return ids.some((id) => {
    const { left, right, top, bottom, width } = document.getElementById(id).getBoundingClientRect();
    return width && clientX >= left && clientX <= right && clientY >= top && clientY <= bottom;
  });
}

const brings = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
