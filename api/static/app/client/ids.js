// Ids as clients make them.

/** A UUIDv7 (RFC 9562): in the order in which they were made, as far as the device's clock, in milliseconds, goes. */
export function uuid7(milliseconds = Date.now()) {
  const random = crypto.getRandomValues(new Uint8Array(10));
  random[0] = 0x70 | (random[0] & 0x0f);
  random[2] = 0x80 | (random[2] & 0x3f);
  const digits = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const time = milliseconds.toString(16).padStart(12, "0");
  return [time.slice(0, 8), time.slice(8), digits.slice(0, 4), digits.slice(4, 8), digits.slice(8)].join("-");
}
