// What can go wrong, sorted by who can mend it. A message is one sentence for people.

/** A request or an argument that cannot be met: the field at fault, its value, and what it must be. */
export class UsageError extends Error {
  constructor(message, { field = null, value, allowed = null } = {}) {
    super(message || `${field} must be ${allowed}, got ${shown(value)}.`);
    Object.assign(this, { name: "UsageError", field, value, allowed });
  }
}

/** A model that cannot be had, is damaged or failed. `status`: of HTTP where a download failed; 0 = no answer. */
export class ModelError extends Error {
  constructor(message, { status = null } = {}) {
    super(message);
    Object.assign(this, { name: "ModelError", status });
  }
}

/** A value as a sentence shows it. */
export function shown(value) {
  const text = typeof value === "string" ? `'${value}'` : typeof value === "object" ? JSON.stringify(value) : String(value);
  const plain = text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu, "?");
  return plain.length <= 60 ? plain : `${plain.slice(0, 57)}...`;
}

/** An error as a message between threads can carry it, and back. */
export function packed(error) {
  const { name, message, field, value, allowed, status } = error;
  return { name, message, field, value: typeof value === "bigint" ? String(value) : shown(value), allowed, status };
}

export function unpacked(plain) {
  if (plain.name === "UsageError") return new UsageError(plain.message, plain);
  return new ModelError(plain.message, plain);
}
