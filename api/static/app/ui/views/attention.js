// What waits for a decision: conflicts with both values, and what the server did not take.

import { h } from "../dom.js";
import * as words from "../fields.js";
import { moment } from "../format.js";
import { isLive } from "../model.js";
import { reasonOf } from "../troubles.js";
import { say } from "../words.js";
import { titleOf } from "./log.js";

/** Conflicts that nobody has settled, then rejected commands. */
export async function attention(app) {
  const { conflicts, rejections } = await app.device.attention();
  return [
    h("h1", {}, say("Attention")),
    conflicts.length + rejections.length === 0 && h("p", { class: "empty" }, say("Nothing waits for you.")),
    h(
      "div",
      { id: "conflicts" },
      conflicts.map((fact) => conflict(app, fact)),
    ),
    rejections.length > 0 && h("h2", {}, say("Not taken")),
    h(
      "div",
      { id: "rejections" },
      rejections.map((one) => rejection(app, one)),
    ),
  ];
}

/** One conflict: what stands now, what was offered against it, and a button for each. `app`: {book, act}. */
export function conflict(app, fact) {
  const { offered, kind } = fact.conflict;
  const entity = app.book.entity(fact.aggregate_type, fact.aggregate_id) ?? {};
  const lines = (fields) => values(app, fields, fields.currency ?? entity.currency ?? app.currency);
  return h(
    "article",
    { class: "card conflict", "data-key": fact.id },
    h("h2", {}, titleOf(app.book, fact) || say("reminder")),
    h("p", {}, REASONS()[kind]),
    h(
      "div",
      { class: "pair" },
      side(say("Stands"), lines(standing(app.book, entity, fact)), say("Keep this"), () => keep(app, fact)),
      side(say("Offered, {when}", { when: moment(fact.timestamp) }), lines(offered), say("Take this"), () => take(app, fact)),
    ),
  );
}

// As it is now, which need not be what the conflict met: that is what stays where the user keeps it.
function standing(book, entity, { conflict: { kind, kept, offered } }) {
  if (!isLive(entity)) return { deleted_at: entity.deleted_at };
  if (kind === "delete_vs_new") return { ids: kept.ids.filter((id) => isThere(book, id)) };
  const names = Object.keys(kind === "edit_of_deleted" ? offered : kept);
  return Object.fromEntries(names.map((name) => [name, entity[name]]));
}

const isThere = (book, id) => [book.debts.get(id), book.reminders.get(id)].some((one) => one !== undefined && isLive(one));

const REASONS = () => ({
  edit: say("Two devices changed the same. The first stands until somebody decides."),
  edit_of_deleted: say("One device deleted what the other changed. It stays deleted until somebody decides."),
  delete_vs_edit: say("One device deleted what the other had changed. It stays until somebody decides."),
  delete_vs_new: say(
    "One device deleted a person for whom the other wrote something down. Nothing is deleted until somebody decides.",
  ),
});

const side = (title, lines, word, act) =>
  h("div", { class: "side" }, h("h3", {}, title), h("dl", {}, lines), h("button", { class: "primary", onclick: act }, word));

const values = (app, fields, currency) =>
  Object.entries(fields).map(([name, value]) =>
    h("div", {}, h("dt", {}, words.nameOf(name)), h("dd", {}, words.inWords(app.book, name, value, currency))),
  );

const keep = (app, { aggregate_type: kind, aggregate_id: id, id: event }) =>
  app.act((device) => device.update(kind, id, {}, event), say("Settled."));

// What is taken is there afterwards, also where it has been deleted since.
const take = (app, { aggregate_type: kind, aggregate_id: id, id: event, conflict: { kind: reason, offered } }) =>
  app.act(async (device) => {
    if (reason.startsWith("delete")) return device.delete(kind, id, event);
    const entity = app.book.entity(kind, id);
    if (entity === undefined || isLive(entity)) return device.update(kind, id, offered, event);
    await device.restore(kind, id, event);
    await device.update(kind, id, offered);
    return undefined; // two events, of which one alone would not be undone
  }, say("Settled."));

const rejection = (app, { id, command, ...outcome }) =>
  h(
    "article",
    { class: "card", "data-key": id },
    h(
      "h3",
      {},
      titleOf(app.book, command) || command.event_data.name || command.event_data.description || command.aggregate_type,
    ),
    h("p", {}, reasonOf(outcome), " ", h("code", {}, outcome.code)),
    h("button", { onclick: () => app.device.dismiss(id) }, say("Dismiss")),
  );
