// The device's own log, newest first: what happened, in which order, and the hash that proves it.

import { h } from "../dom.js";
import { nameOf } from "../fields.js";
import { moment, short } from "../format.js";
import { say } from "../words.js";

const SHOWN = 50;
let shown = SHOWN;

/** What an event did, in words; the log has them as they came. */
const ACTS = () => ({
  CREATED: say("created"),
  UPDATED: say("changed"),
  DELETED: say("deleted"),
  RESTORED: say("restored"),
  UNDO: say("undone"),
});
const KINDS = () => ({ contact: say("person"), transaction: say("debt"), reminder: say("reminder") });

/** The newest facts; more on demand. */
export async function log(app) {
  const { version, hash } = app.device.head;
  const facts = (await app.device.log(Math.max(0, version - shown))).reverse();
  return [
    h("h1", {}, say("Log")),
    h("p", { class: "lead" }, say("Version {version}", { version }), " ", h("code", { class: "hash" }, hash ?? "—")),
    h("p", { class: "hint" }, say("Every device that shows this version and this hash has the same log, to the byte.")),
    h(
      "ol",
      { class: "rows log" },
      facts.map((fact) => row(app, fact)),
    ),
    version > shown && h("button", { onclick: () => showMore(app) }, say("Show more")),
  ];
}

function showMore(app) {
  shown += SHOWN;
  app.changed();
}

/** One fact. Without `undo` it is only shown. */
export function row(app, fact, { undo = true } = {}) {
  const about = titleOf(app.book, fact);
  return h(
    "li",
    { "data-key": fact.seq, class: fact.status },
    h("span", { class: "seq" }, fact.seq),
    h(
      "span",
      { class: "grow" },
      h("strong", {}, `${KINDS()[fact.aggregate_type]} ${ACTS()[fact.event_type]}`),
      about && `: ${about}`,
      h("small", {}, fact.status === "conflict" ? say("conflict") : changesOf(fact), " · ", moment(fact.recorded_at)),
    ),
    h("code", { class: "hash", title: fact.hash }, short(fact.hash)),
    undo &&
      fact.event_type !== "UNDO" &&
      fact.status === "accepted" &&
      h("button", { class: "quiet", onclick: () => takeBack(app, fact) }, say("Undo")),
  );
}

const changesOf = ({ changes }) => {
  const fields = new Set(changes.flatMap((change) => Object.keys(change.fields)));
  return Array.from(fields, nameOf).join(", ") || say("nothing changed");
};

const takeBack = (app, { id }) => app.act((device) => device.undo(id).then(() => undefined), say("Undone."));

/** What a fact is about, in a few words. */
export function titleOf(book, { aggregate_type, aggregate_id }) {
  if (aggregate_type === "contact") return book.nameOf(aggregate_id);
  if (aggregate_type === "reminder") return book.reminders.get(aggregate_id)?.message ?? "";
  const debt = book.debts.get(aggregate_id);
  return debt === undefined ? "" : [book.nameOf(debt.contact_id), debt.item ?? debt.description].filter(Boolean).join(", ");
}
