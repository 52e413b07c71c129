// The members of an event as people read them: their names, and their values.

import { date, moment, money } from "./format.js";
import { say } from "./words.js";

const NAMES = () => ({
  amount: say("Amount"),
  channels: say("Sent by"),
  contact_id: say("Who"),
  currency: say("Currency"),
  deleted_at: say("Deleted"),
  description: say("Description"),
  direction: say("Direction"),
  done_at: say("Done"),
  due_date: say("Due date"),
  email: say("E-mail"),
  ids: say("New entries"),
  item: say("What"),
  message: say("Message"),
  name: say("Name"),
  notes: say("Notes"),
  phone: say("Phone"),
  remind_at: say("When"),
  repays: say("Repayment of"),
  repeat: say("Repeat"),
  returned_at: say("Returned"),
  snoozed_until: say("Put off until"),
  time_zone: say("Time zone"),
  transaction_date: say("Date"),
  transaction_id: say("Debt"),
  type: say("Kind"),
  username: say("User name"),
});

/** The name of a field; as it came where it is new to this page. */
export const nameOf = (field) => NAMES()[field] ?? field;

/** A field's value; amounts in `currency`, ids by what `book` knows of them. */
export function inWords(book, field, value, currency) {
  if (value === null || value === undefined) return "—";
  if (field === "amount") return currency ? money(value, currency) : String(value);
  if (field === "contact_id") return book.nameOf(value);
  if (field === "direction") return value === "lent" ? say("they owe you") : say("you owe them");
  if (field === "type") return value === "item" ? say("thing") : say("money");
  if (field === "ids") return String(value.length);
  if (field.endsWith("_at") || field === "snoozed_until") return moment(value);
  if (field.endsWith("_date")) return date(value);
  return Array.isArray(value) ? value.join(", ") : String(value);
}
