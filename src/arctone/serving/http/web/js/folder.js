// The drop folder: every new take is also written into a folder that was chosen, where a DAW can watch it.

let folder = null; // FileSystemDirectoryHandle

/** Whether this browser can write into folders. */
export const canChoose = () => "showDirectoryPicker" in window;

/** Let people choose a folder; choosing nothing stops the writing. Returns: its name, or null. */
export async function choose() {
  try {
    use(await window.showDirectoryPicker({ id: "takes", mode: "readwrite" }));
  } catch (failure) {
    if (failure.name !== "AbortError") throw new Error("The browser may not write into that folder.");
    use(null);
  }
  return folder?.name ?? null;
}

/** Write into a folder from now on (null: into none). */
export function use(handle) {
  folder = handle;
}

/** Write a sound under a name, if a folder was chosen. Throws: Error with words if it cannot be written. */
export async function put(name, blob) {
  if (!folder) return;
  try {
    const file = await (await folder.getFileHandle(name, { create: true })).createWritable();
    await file.write(blob);
    await file.close();
  } catch {
    throw new Error(`${name} cannot be written into ${folder.name}: choose the folder again.`);
  }
}
