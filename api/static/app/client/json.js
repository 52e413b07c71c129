// JSON to the byte: what the hash of a fact covers, also where a later server says what this client has never heard of.

const KEEPS_NUMBERS = typeof JSON.rawJSON === "function";
// Without it a number like 1.0 or 1e3 is written as another text than it came as. No fact of today has one.

/** The value of `text`; numbers that would be written otherwise than they came keep their text. */
export const parse = (text) => (KEEPS_NUMBERS ? JSON.parse(text, asItCame) : JSON.parse(text));

const asItCame = (_name, value, { source }) =>
  typeof value === "number" && String(value) !== source ? JSON.rawJSON(source) : value;

/** JSON with keys sorted by code point, no spaces, and no escape that JSON does not require. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object" || (KEEPS_NUMBERS && JSON.isRawJSON(value))) return JSON.stringify(value);
  const members = Object.keys(value).sort(byCodePoint);
  return `{${members.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

/** How many bytes `value` is in a request. */
export const sizeOf = (value) => new Blob([JSON.stringify(value)]).size;

/**
 * Whether JSON can hold `value`, in `levels` of lists and objects at most, and say all of it: it writes what is no number as null and
 * a Map as {}, and half of a character is none. Members that are undefined are left out.
 */
export function carries(value, levels) {
  if (value === null || typeof value === "boolean") return true;
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value === "string") return value.isWellFormed();
  if (levels === 0) return false;
  if (Array.isArray(value)) return value.every((one) => carries(one, levels - 1));
  if (Object.prototype.toString.call(value) !== "[object Object]") return false;
  return Object.entries(value).every(([name, one]) => name.isWellFormed() && (one === undefined || carries(one, levels - 1)));
}

/** Whether two JSON values are the same. */
export const same = (one, other) => one === other || canonical(one) === canonical(other);

// The language itself compares UTF-16 units, which puts what lies past U+FFFF before U+E000.
function byCodePoint(one, other) {
  if (one === other) return 0;
  const [left, right] = [[...one], [...other]];
  const at = left.findIndex((character, index) => character !== right[index]);
  if (at < 0) return -1;
  return at >= right.length ? 1 : left[at].codePointAt(0) - right[at].codePointAt(0);
}
