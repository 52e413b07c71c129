// What went wrong, as the page says it.

import { Refused, SignedOut, Unavailable, Unsendable } from "../client/index.js";
import { say } from "./words.js";

// By the code of a problem. `what`: its first complaint, in the server's English, where the sentence alone would be of no help.
const REASONS = (what) => ({
  already_resolved: say("This conflict has been settled before."),
  already_undone: say("This has been undone before."),
  balance_out_of_range: say("The balance would become too large."),
  currency_precision: say("The amounts have more decimals than your currency: choose another for new debts before."),
  dependency_failed: say("Something that this needs was not taken."),
  email_taken: say("There is an account with this address."),
  has_dependants: say("Too much hangs on this: change that before."),
  invalid: say("Something in it does not fit ({what}).", { what }),
  invalid_backup: say("This backup cannot be read ({what}).", { what }),
  invalid_credentials: say("The address or the password is wrong."),
  invalid_invite: say("This invitation is not valid, or not any more."),
  ledger_gone: say("This account does not exist any more."),
  ledger_not_empty: say("There is something in this account already: an export goes into an empty one."),
  not_found: say("It is not there any more."),
  repays_mismatch: say("This debt cannot be repaid like that."),
  signup_closed: say("This server takes no new users."),
  too_large: say("This is more than the server takes."),
  too_late: say("The account is being erased: it is too late to keep it."),
  too_many_tokens: say("There are too many tokens: revoke one before."),
  undo_superseded: say("Something later changed the same."),
  unknown_aggregate: say("This is about something that is not there."),
  unknown_contact: say("This is about a person who is not there."),
  unknown_event: say("This is about something that is not there."),
});
const WEAK = () => say("This password is one of the most common ones, which are guessed first: choose another.");

/** Why the server does not take something: a sentence by the members of a problem or an outcome; its own where the code is new. */
export function reasonOf({ code, detail, title, errors }) {
  const [first] = errors ?? [];
  if (code === "invalid" && first?.pointer?.endsWith("password")) return WEAK();
  return REASONS(first?.detail ?? detail ?? title)[code] ?? detail ?? title ?? code;
}

/** A sentence for whoever sits before the page. */
export function inWords(error) {
  if (error instanceof Unavailable && error.retryAfter > 0) return say("The server is busy. Try again later.");
  if (error instanceof Unavailable) return say("The server cannot be reached. Try again later.");
  if (error instanceof Unsendable) return say("This was not written down: it is too long, or holds what cannot be sent.");
  if (error instanceof SignedOut) return say("Sign in again: what you wrote down is kept.");
  return error instanceof Refused ? reasonOf(error.problem) : error.message;
}
