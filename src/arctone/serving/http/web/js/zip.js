// A ZIP file of sounds, stored as they are: they do not shrink, and no library is needed for that. Source: PKWARE APPNOTE.

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit += 1) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 255];
  return ~crc >>> 0;
}

function record(layout) {
  const size = layout.reduce((sum, [bytes]) => sum + bytes, 0);
  const view = new DataView(new ArrayBuffer(size));
  let at = 0;
  for (const [bytes, value] of layout) {
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += bytes;
  }
  return new Uint8Array(view.buffer);
}

/** Names that are not taken yet: a second rain.wav becomes rain-2.wav. */
export function uniqueNames(names) {
  const taken = new Set();
  return names.map((name) => {
    const [, stem, ending] = /^(.*?)(\.[^.]*)?$/.exec(name);
    let free = name;
    for (let n = 2; taken.has(free.toLowerCase()); n += 1) free = `${stem}-${n}${ending ?? ""}`;
    taken.add(free.toLowerCase());
    return free;
  });
}

/** Pack files. Args: [{name, blob}]. Returns: a Blob. Throws: Error beyond 4 GB, which this old format cannot hold. */
export async function zip(files) {
  const parts = [];
  const directory = [];
  const names = uniqueNames(files.map(({ name }) => name));
  let offset = 0;
  for (const [n, { blob }] of files.entries()) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const name = new TextEncoder().encode(names[n]);
    // Version 2.0, names in UTF-8, stored, 1 January 1980.
    const common = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 0x21], [4, crc32(bytes)], [4, bytes.length], [4, bytes.length], [2, name.length], [2, 0]];
    const head = record([[4, 0x04034b50], ...common]);
    directory.push(record([[4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), name);
    parts.push(head, name, bytes);
    offset += head.length + name.length + bytes.length;
    if (offset > 0xfffffff0) throw new Error("These takes are more than 4 GB together; save them in parts.");
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const end = record([[4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, length], [4, offset], [2, 0]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
