// Failures with words for people, and JSON that keeps large seeds exact: what both engines share.

/** A failure with words; `parameter` names the field it is about, `status` is HTTP's (0: no answer). */
export class Problem extends Error {
  constructor(message, { parameter = null, status = 0, type = "" } = {}) {
    super(message);
    Object.assign(this, { parameter, status, type });
  }
}

/** JSON whose seeds are exact: those beyond 2**53 are text on this page and numbers on the wire. */
export const toJson = (value) => JSON.stringify(value).replace(/"seed":"(-?\d+)"/g, '"seed":$1');
export const fromJson = (text) => JSON.parse(text.replace(/"seed":\s*(-?\d{16,})/g, '"seed":"$1"'));
