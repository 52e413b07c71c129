// Everybody, with what they owe or are owed: the first screen.

import { h, madeOnce } from "../dom.js";
import { money, whoOwes } from "../format.js";
import { askContact, askDebt } from "../forms.js";
import { say, spoken } from "../words.js";

const INITIALS = 2;

/** The totals, then one line a person. */
export function people(app) {
  const { book } = app;
  const everybody = book.contactsByName(spoken());
  const gone = [...book.contacts.values()].filter((one) => one.deleted_at !== undefined);
  return [
    h("h1", {}, say("People")),
    totals(book.totals()),
    h(
      "div",
      { class: "actions start" },
      h(
        "button",
        { class: "primary", id: "add-debt", disabled: everybody.length === 0, onclick: () => addDebt(app) },
        say("Add debt"),
      ),
      h("button", { id: "add-person", onclick: () => addPerson(app) }, say("Add person")),
    ),
    everybody.length === 0 &&
      h("p", { class: "empty" }, say("Nobody here yet. Add the first person, or import a backup in the settings.")),
    h(
      "ul",
      { class: "rows", id: "people" },
      everybody.map((one) => row(book, one)),
    ),
    trash(
      app,
      "contact",
      gone.map(({ id, name }) => ({ id, title: name })),
    ),
  ];
}

const totals = (sums) =>
  h(
    "div",
    { class: "totals" },
    sums.map(([currency, { owedToYou, youOwe, net }]) =>
      h(
        "dl",
        { class: "card", "data-key": currency },
        total(say("Owed to you"), money(owedToYou, currency), "plus"),
        total(say("You owe"), money(youOwe, currency), "minus"),
        total(net < 0 ? say("On balance you owe") : say("On balance you get"), money(net, currency), "net"),
      ),
    ),
  );

const total = (word, amount, kind) => h("div", { class: kind }, h("dt", {}, word), h("dd", {}, amount));

function row(book, { id, name }) {
  const balances = book.balances(id);
  const things = book.openItems(id);
  return madeOnce("li", { "data-key": id }, [spoken(), name, balances, things], () =>
    h(
      "a",
      { href: `#/person/${id}` },
      h("span", { class: "avatar", "aria-hidden": "true" }, initials(name)),
      h(
        "span",
        { class: "grow" },
        h("strong", {}, name),
        things > 0 && h("small", {}, say("Things not back: {count}", { count: things })),
      ),
      h("span", { class: "sums" }, balances.length === 0 ? h("small", {}, whoOwes(0)) : balances.map(sum)),
    ),
  );
}

/** What somebody owes or is owed, in words and colour. */
export const sum = ([currency, amount]) =>
  h(
    "span",
    { class: amount > 0 ? "sum plus" : "sum minus" },
    h("small", {}, whoOwes(amount)),
    " ",
    h("b", {}, money(amount, currency)),
  );

const initials = (name) =>
  name
    .split(/\s+/)
    .slice(0, INITIALS)
    .map((word) => [...word][0])
    .join("")
    .toUpperCase();

/** What was deleted, folded away, with a way `back`. `gone`: [{id, title, about?}] of one kind; nothing where nothing was. */
export const trash = (app, kind, gone, { back = true } = {}) =>
  gone.length > 0 &&
  h(
    "details",
    { "data-key": "deleted" },
    h("summary", {}, say("Deleted: {count}", { count: gone.length })),
    h(
      "ul",
      { class: "rows" },
      gone.map(({ id, title, about }) =>
        h(
          "li",
          { "data-key": id },
          h("span", { class: "grow" }, title, " ", about && h("small", {}, about)),
          back && h("button", { onclick: () => app.act((device) => device.restore(kind, id), say("Restored.")) }, say("Restore")),
        ),
      ),
    ),
  );

async function addPerson(app) {
  const fields = await askContact();
  if (fields === null) return;
  await app.act(async (device) => {
    const { id, event } = await device.create("contact", fields);
    location.hash = `#/person/${id}`;
    return event;
  }, say("Added."));
}

/** Ask for a debt or a thing, and write it down. */
export async function addDebt(app, { contactId, item = false } = {}) {
  const { book, currency, currencies } = app;
  const fields = await askDebt({ people: book.contactsByName(spoken()), contactId, currency, currencies, item });
  if (fields !== null) await app.write("transaction", fields);
}
