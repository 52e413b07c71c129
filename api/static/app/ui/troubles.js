// What went wrong, as the page says it.

import { Unavailable, Unsendable } from "../client/index.js";
import { say } from "./words.js";

/** A sentence for whoever sits before the page; what the server says of its reasons is English. */
export function inWords(error) {
  if (error instanceof Unavailable && error.retryAfter > 0) return say("The server is busy. Try again later.");
  if (error instanceof Unavailable) return say("The server cannot be reached. Try again later.");
  if (error instanceof Unsendable) return say("This was not written down: it is too long, or holds what cannot be sent.");
  return error.message;
}
