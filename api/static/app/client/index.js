// A device that syncs with Debitum, in JavaScript: what docs/conformance asks of a client, without a dependency.

export { Device } from "./device.js";
export { Line } from "./line.js";
export * from "./errors.js";
