// What becomes of what this device holds: a file, or nothing.

import { h } from "./dom.js";
import { confirm } from "./forms.js";
import { say } from "./words.js";

const GONE_MILLISECONDS = 60_000; // until a file that was handed over is let go of

/** Give the user `content`, a Blob, as a file. */
export function hand(content, name) {
  const address = URL.createObjectURL(content);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), GONE_MILLISECONDS);
}

/** The log as this device has it, in the form of an export, which a new account takes over: no server is asked. */
export async function save(device) {
  const facts = await device.log();
  const lines = facts.map((fact, place) => (place > 0 ? ",\n" : "") + JSON.stringify(fact));
  const content = ['{"format":"debitum-export","version":1,"events":[\n', ...lines, "\n]}\n"];
  hand(new Blob(content, { type: "application/json" }), "debitum-device.json");
}

/** Make this a new device, once the user has heard what is lost. */
export async function erase(app) {
  if (!(await confirm(say("Erase this device?"), whatIsLost(app.device), say("Erase")))) return;
  app.unfollow();
  await app.device.logout();
  await app.device.erase();
  location.replace(location.pathname + location.search);
}

// What is here alone: it waits to be sent, or for its user to decide what becomes of it; or all of it, where the account is gone.
function whatIsLost({ signedIn, pending, troubles: { rejections } }) {
  const lost = [
    pending > 0 && say("What waits to be sent is lost: {count}.", { count: pending }),
    rejections > 0 && say("What the server did not take is lost: {count}.", { count: rejections }),
    !signedIn && say("The server keeps what was sent to it, unless that account is gone."),
  ].filter(Boolean);
  return lost.join(" ") || say("The server keeps everything; this device forgets it.");
}
