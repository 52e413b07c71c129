// One person: the balances, and everything between the user and them.

import { h } from "../dom.js";
import { date, money, signed, today } from "../format.js";
import { askContact, askDebt, askReminder, askRepayment, confirm } from "../forms.js";
import { isItem, isLive } from "../model.js";
import { say, spoken } from "../words.js";
import { addDebt, sum, trash } from "./people.js";

const SHOWN = 100; // debts at first; a longer list is asked for
let more = { id: null, shown: SHOWN };

/** The person with `id`. */
export function person(app, id) {
  const { book } = app;
  const contact = book.contacts.get(id);
  if (contact === undefined) return h("p", { class: "empty" }, say("There is no such person on this device."));
  if (more.id !== id) more = { id, shown: SHOWN };
  const debts = book.debtsOf(id);
  const live = debts.filter(isLive);
  return [
    h("p", {}, h("a", { href: "#/", class: "back" }, say("People"))),
    h("h1", {}, contact.name),
    !isLive(contact) && h("p", { class: "banner" }, say("This person is deleted.")),
    details(contact),
    balances(book, id),
    h("div", { class: "actions start" }, actions(app, contact)),
    live.length === 0 && h("p", { class: "empty" }, say("Nothing is open, and nothing was.")),
    h(
      "ul",
      { class: "rows", id: "debts" },
      live.slice(0, more.shown).map((debt) => debtRow(app, debt)),
    ),
    live.length > more.shown && h("button", { onclick: () => showMore(app) }, say("Show more")),
    trash(
      app,
      "transaction",
      debts
        .filter((debt) => !isLive(debt))
        .slice(0, SHOWN)
        .map(gone),
      { back: isLive(contact) }, // who is deleted brings along what went with them
    ),
  ];
}

const gone = ({ id, item, description, amount, currency, transaction_date }) => ({
  id,
  title: item ?? description ?? money(amount, currency),
  about: date(transaction_date),
});

function showMore(app) {
  more.shown += SHOWN;
  app.changed();
}

const details = ({ email, phone, notes }) => h("p", { class: "hint" }, [email, phone, notes].filter(Boolean).join(" · "));

const balances = (book, id) =>
  h(
    "div",
    { class: "totals" },
    book
      .balances(id)
      .map(([currency, amount]) =>
        h(
          "div",
          { class: "card", "data-key": currency },
          sum([currency, amount]),
          h("a", { href: `#/explain/${id}/${currency}`, class: "explain" }, say("Explain")),
        ),
      ),
  );

function actions(app, contact) {
  const { id } = contact;
  if (!isLive(contact)) {
    return h("button", { onclick: () => app.act((device) => device.restore("contact", id), say("Restored.")) }, say("Restore"));
  }
  return [
    h("button", { class: "primary", id: "add-debt", onclick: () => addDebt(app, { contactId: id }) }, say("Add debt")),
    h("button", { id: "add-thing", onclick: () => addDebt(app, { contactId: id, item: true }) }, say("Add thing")),
    h("button", { onclick: () => remind(app, id) }, say("Remind me")),
    h("button", { class: "quiet", onclick: () => edit(app, contact) }, say("Edit")),
    h("button", { class: "quiet", id: "delete-person", onclick: () => remove(app, contact) }, say("Delete")),
  ];
}

// `base`: what another device changes while the form is open, its user has not seen.
async function edit(app, contact) {
  const base = app.device.shownVersion;
  const changes = await askContact(contact);
  if (changes === null || Object.keys(changes).length === 0) return;
  await app.act((device) => device.update("contact", contact.id, changes, undefined, { base }), say("Saved."));
}

async function remove(app, { id, name }) {
  const text = say("All debts and things of {name} are deleted too. It can be undone.", { name });
  if (await confirm(say("Delete {name}?", { name }), text, say("Delete"))) {
    await app.act((device) => device.delete("contact", id), say("Deleted."));
  }
}

async function remind(app, contactId) {
  const fields = await askReminder({ people: app.book.contactsByName(spoken()), contactId, zone: app.user.time_zone });
  if (fields !== null) await app.write("reminder", fields);
}

/** What a debt is called where it has no words of its own. */
function titleOf(debt) {
  if (debt.repays) return debt.description ?? say("Repayment");
  return debt.item ?? debt.description ?? (debt.direction === "lent" ? say("Lent") : say("Owed"));
}

// Money that comes back goes the other way.
function wayOf(debt) {
  const lent = debt.direction === "lent";
  if (isItem(debt)) return lent ? say("lent") : say("borrowed");
  if (debt.repays) return lent ? say("you paid back") : say("they paid back");
  return lent ? say("they owe you") : say("you owe them");
}

/** One debt or thing, with what can be done about it. */
export function debtRow(app, debt) {
  const title = titleOf(debt);
  const amount = isItem(debt)
    ? `× ${debt.amount}`
    : signed(debt.direction === "lent" ? debt.amount : -debt.amount, debt.currency);
  return h(
    "li",
    { "data-key": debt.id },
    h("span", { class: "grow" }, h("strong", {}, title), h("small", {}, facts(app, debt).filter(Boolean).join(" · "))),
    h("span", { class: isItem(debt) ? "sum" : debt.direction === "lent" ? "sum plus" : "sum minus" }, h("b", {}, amount)),
    h("span", { class: "tools" }, tools(app, debt)),
  );
}

function facts({ book }, debt) {
  const open = book.open(debt);
  return [
    wayOf(debt),
    isItem(debt) && debt.description,
    date(debt.transaction_date),
    open > 0 && open < debt.amount && say("still open: {amount}", { amount: money(open, debt.currency) }),
    !isItem(debt) && !debt.repays && open === 0 && say("repaid"),
    debt.returned_at && say("returned"),
    debt.due_date &&
      (book.overdue(debt, today())
        ? say("overdue since {date}", { date: date(debt.due_date) })
        : say("due {date}", { date: date(debt.due_date) })),
  ];
}

function tools(app, debt) {
  const { id } = debt;
  return [
    !debt.repays &&
      app.book.open(debt) > 0 &&
      h("button", { "data-act": "repay", onclick: () => repay(app, debt) }, say("Repay")),
    isItem(debt) &&
      !debt.returned_at &&
      h("button", { "data-act": "return", onclick: () => giveBack(app, debt) }, say("Returned")),
    h("button", { class: "quiet", "data-act": "edit", onclick: () => editDebt(app, debt) }, say("Edit")),
    h(
      "button",
      {
        class: "quiet",
        "data-act": "delete",
        onclick: () => app.act((device) => device.delete("transaction", id), say("Deleted.")),
      },
      say("Delete"),
    ),
  ];
}

async function repay(app, debt) {
  const amount = await askRepayment(debt, app.book.open(debt));
  if (amount === null) return;
  const { id: repays, contact_id, currency, direction } = debt;
  const back = direction === "lent" ? "owed" : "lent";
  const repayment = { contact_id, type: "money", direction: back, amount, currency, repays, transaction_date: today() };
  await app.write("transaction", repayment);
}

const giveBack = (app, { id }) =>
  app.act((device) => device.update("transaction", id, { returned_at: new Date().toISOString() }), say("Returned."));

async function editDebt(app, debt) {
  const { book, currency, currencies } = app;
  const base = app.device.shownVersion;
  const changes = await askDebt({ debt, people: book.contactsByName(spoken()), currency, currencies });
  if (changes === null || Object.keys(changes).length === 0) return;
  await app.act((device) => device.update("transaction", debt.id, changes, undefined, { base }), say("Saved."));
}
