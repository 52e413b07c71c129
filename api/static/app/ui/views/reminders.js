// Reminders that were written down, and what the server will send within the next month if nothing changes.

import { isList } from "../../client/answers.js";
import { h } from "../dom.js";
import { date, moment, today } from "../format.js";
import { askReminder } from "../forms.js";
import { isLive } from "../model.js";
import { say, spoken } from "../words.js";

const SNOOZE_MILLISECONDS = 24 * 3_600_000;
let preview = { version: -1, items: null };

/** Reminders, due dates, and the preview, which only the server knows. */
export function reminders(app) {
  const { book } = app;
  const all = [...book.reminders.values()].filter(isLive).sort((one, other) => (one.remind_at < other.remind_at ? -1 : 1));
  const waiting = all.filter(({ done_at }) => !done_at);
  const done = all.filter(({ done_at }) => done_at);
  foresee(app);
  return [
    h("h1", {}, say("Reminders")),
    h(
      "div",
      { class: "actions start" },
      h("button", { class: "primary", id: "add-reminder", onclick: () => add(app) }, say("Add reminder")),
    ),
    waiting.length === 0 && h("p", { class: "empty" }, say("No reminder is waiting.")),
    h(
      "ul",
      { class: "rows" },
      waiting.map((one) => row(app, one)),
    ),
    done.length > 0 &&
      h(
        "details",
        { "data-key": "done" },
        h("summary", {}, say("Done: {count}", { count: done.length })),
        h(
          "ul",
          { class: "rows" },
          done.map((one) => row(app, one)),
        ),
      ),
    h("h2", {}, say("Due dates")),
    dueDates(app),
    h("h2", {}, say("What will be sent")),
    preview.items === null
      ? h("p", { class: "hint" }, say("The server says that when it can be reached."))
      : planned(book, preview.items),
  ];
}

async function add(app) {
  const fields = await askReminder({ people: app.book.contactsByName(spoken()), zone: app.user.time_zone });
  if (fields !== null) await app.write("reminder", fields);
}

function row(app, reminder) {
  const { id, contact_id, message, remind_at, snoozed_until, done_at } = reminder;
  const change = (fields, text) => app.act((device) => device.update("reminder", id, fields), text);
  return h(
    "li",
    { "data-key": id },
    h(
      "span",
      { class: "grow" },
      h("strong", {}, message ?? (contact_id ? app.book.nameOf(contact_id) : say("Reminder"))),
      h(
        "small",
        {},
        moment(snoozed_until ?? remind_at),
        reminder.repeat && ` · ${say("repeated")}`,
        message && contact_id && ` · ${app.book.nameOf(contact_id)}`,
      ),
    ),
    h(
      "span",
      { class: "tools" },
      !done_at && h("button", { onclick: () => change({ done_at: new Date().toISOString() }, say("Done.")) }, say("Done")),
      !done_at &&
        h(
          "button",
          {
            onclick: () =>
              change({ snoozed_until: new Date(Date.now() + SNOOZE_MILLISECONDS).toISOString() }, say("Put off until tomorrow.")),
          },
          say("Tomorrow"),
        ),
      h(
        "button",
        { class: "quiet", onclick: () => app.act((device) => device.delete("reminder", id), say("Deleted.")) },
        say("Delete"),
      ),
    ),
  );
}

function dueDates({ book }) {
  const due = book.due();
  if (due.length === 0) return h("p", { class: "empty" }, say("No due date is ahead."));
  return h(
    "ul",
    { class: "rows" },
    due.map((debt) =>
      h(
        "li",
        { "data-key": `due ${debt.id}` },
        h(
          "a",
          { href: `#/person/${debt.contact_id}` },
          h("strong", {}, book.nameOf(debt.contact_id)),
          " ",
          h("small", {}, debt.item ?? debt.description),
        ),
        h(
          "span",
          { class: book.overdue(debt, today()) ? "late" : undefined },
          date(debt.due_date),
          book.overdue(debt, today()) && ` · ${say("overdue")}`,
        ),
      ),
    ),
  );
}

// Asked once a version: what will be sent follows from the log and the user's settings.
async function foresee(app) {
  const { version } = app.device.head;
  if (preview.version === version || !app.device.signedIn) return;
  preview = { version, items: preview.items };
  try {
    const { items } = await app.device.ask("GET", "/api/reminders/preview", { query: { days: 30 }, shape: isList });
    preview = { version, items };
    app.changed();
  } catch {
    preview = { version: -1, items: preview.items }; // offline: asked again when something changes
  }
}

const planned = (book, items) =>
  items.length === 0
    ? h("p", { class: "empty" }, say("Nothing within the next 30 days."))
    : h(
        "ul",
        { class: "rows", id: "preview" },
        together(items).map((one) => plannedRow(book, one)),
      );

// What goes out at one time over several channels is one line.
function together(items) {
  const found = new Map();
  for (const item of items) {
    const { at, why, contact_id, reminder_id, transaction_id, channel } = item;
    const key = [at, why, contact_id, reminder_id, transaction_id].join(" ");
    const channels = [...(found.get(key)?.channels ?? []), channel === "email" ? say("e-mail") : say("push")];
    found.set(key, { ...item, key, channels });
  }
  return [...found.values()];
}

const plannedRow = (book, { key, at, why, contact_id, channels }) =>
  h(
    "li",
    { "data-key": key },
    h(
      "span",
      { class: "grow" },
      h("strong", {}, contact_id ? book.nameOf(contact_id) : say("Reminder")),
      h("small", {}, inWords(why)),
    ),
    h("span", {}, moment(at)),
    h("small", {}, channels.join(", ")),
  );

/** The server's `why` ("due in 3 days") in the user's language. */
function inWords(why) {
  const days = /\d+/.exec(why)?.[0];
  if (why === "due today") return say("due today");
  if (why.startsWith("due in")) return say("days until due: {days}", { days });
  if (why.endsWith("overdue")) return say("days overdue: {days}", { days });
  return why === "snoozed" ? say("put off until now") : say("reminder");
}
