// Settings in the address (#prompt=rain&seed=7), as the "make it here" links of the gallery have them. Those of an edit
// hold the address of the sound that it starts from, as `source`.

const SOURCE = "source";

/**
 * What an address asks for. hash: "#prompt=...". fields: of the model. Returns: null if it asks for nothing, else
 * {settings, unknown: names that the model has no field for, source: the same of the start sound, or null}.
 */
export function readAddress(hash, fields) {
  const wanted = new URLSearchParams(hash.replace(/^#/, ""));
  if (!wanted.get("prompt")) return null;
  const known = new Map(fields.map((field) => [field.name, field]));
  const settings = {};
  const unknown = [];
  for (const [name, text] of wanted) {
    if (name === SOURCE) continue;
    if (known.has(name)) settings[name] = valueOf(text, known.get(name).kind);
    else unknown.push(name);
  }
  const source = wanted.has(SOURCE) ? readAddress(wanted.get(SOURCE), fields) : null;
  const deeper = source?.source ? [SOURCE] : [];
  return { settings, unknown: [...unknown, ...(source?.unknown ?? []), ...deeper], source };
}

function valueOf(text, kind) {
  if (kind === "boolean") return text === "true";
  if (kind === "regions") return text.split(",");
  const isNumber = ["integer", "number"].includes(kind) && text.trim() && !Number.isNaN(Number(text));
  // A seed beyond 2**53 stays text.
  return isNumber && (kind === "number" || Number.isSafeInteger(Number(text))) ? Number(text) : text;
}
