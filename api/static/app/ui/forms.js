// Questions that the page asks: dialogs with one form each, that end with what was entered or with nothing.

import { h } from "./dom.js";
import { editable, exponentOf, today, typed } from "./format.js";
import { inWords } from "./troubles.js";
import { say } from "./words.js";

let unique = 0;

/** A labelled field. `error` texts are put under it by `complain`. */
export function field(label, control, { hint } = {}) {
  const id = `field-${(unique += 1)}`;
  control.id = id;
  const error = h("p", { class: "error", id: `${id}-error`, role: "alert" });
  const hinted = hint && h("p", { class: "hint", id: `${id}-hint` }, hint);
  control.setAttribute("aria-describedby", hinted ? `${id}-hint ${id}-error` : `${id}-error`);
  return h("div", { class: "field" }, h("label", { for: id }, label), control, hinted, error);
}

/** Say what is wrong with a control, or nothing any more. */
export function complain(control, text = "") {
  control.setAttribute("aria-invalid", text ? "true" : "false");
  const error = document.getElementById(`${control.id}-error`);
  if (error) error.textContent = text;
}

/** A choice: [[value, text]]. */
export const select = (name, options, chosen) =>
  h(
    "select",
    { name },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
  );

/**
 * Ask with a form; what `read(form, asked)` makes of it, or null where the user leaves. `asked`: the texts with which the form began,
 * by name. `read` returns undefined, after `complain`, while something is wrong; what it throws is shown under the form.
 */
export function ask(title, fields, { read, done = say("Save"), leave = say("Cancel"), danger = false }) {
  const trouble = h("p", { class: "error", role: "alert" });
  const form = h(
    "form",
    { method: "dialog", novalidate: true, class: "stack" },
    h("h2", { id: "dialog-title" }, title),
    fields,
    trouble,
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", class: "quiet", "data-role": "cancel", onclick: () => dialog.close() }, leave),
      h("button", { type: "submit", class: danger ? "danger" : "primary" }, done),
    ),
  );
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  const asked = Object.fromEntries(Array.from(form.elements, ({ name }) => [name, name && text(form, name)]));
  let found = null;
  let busy = false; // to press the button twice is to want it once
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    trouble.textContent = "";
    try {
      const value = await read(form, asked);
      if (value === undefined) return form.querySelector("[aria-invalid=true]")?.focus();
      found = value;
      dialog.close();
    } catch (error) {
      trouble.textContent = inWords(error);
    } finally {
      busy = false;
    }
  };
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      dialog.remove();
      resolve(found);
    };
  });
}

/** Whether the user says yes, and `act` has been done then: what it throws is shown. */
export async function confirm(title, text, done, act = () => {}) {
  const read = async () => {
    await act();
    return true;
  };
  return (await ask(title, [h("p", {}, text)], { read, done, danger: true })) === true;
}

/** Whether a password is as long as the server wants it. */
export const isLong = (password) => [...password].length >= 8;

/** The text of a control, without the space around it. */
export const given = (form, name) => form.elements.namedItem(name).value.trim();

/**
 * What of `after` differs from `before`; a field that was emptied is null. A text that is still as the form had `asked` for it is left
 * out: a control may show less than there is, and gives that back.
 */
function patch(before, after, asked) {
  const differs = ([name, value]) => (before[name] ?? null) !== value && asked[name] !== value;
  return Object.fromEntries(Object.entries(after).filter(differs));
}

const withoutEmpty = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));

/** A control for a text; one of several lines where the text has several. */
const prose = (name, value = "") =>
  /[\r\n]/.test(value)
    ? h("textarea", { name, rows: 2, maxlength: 4000 }, value)
    : h("input", { name, maxlength: 4000, value, autocomplete: "off" });

const text = (form, name) => given(form, name) || null;

/** The same, after a complaint where there is none: undefined. */
export function required(form, name) {
  const control = form.elements.namedItem(name); // a field may be called `item`, and so is a method
  complain(control, given(form, name) ? "" : say("This is needed."));
  return given(form, name) || undefined;
}

/** A contact's fields, all of them for a new one and what changed of `contact`; null where the user leaves. */
export function askContact(contact = {}) {
  const input = (name, label, attributes = {}) =>
    field(label, h("input", { name, value: contact[name], autocomplete: "off", ...attributes }));
  return ask(
    contact.id ? say("Edit person") : say("New person"),
    [
      input("name", say("Name"), { maxlength: 200, autofocus: true }),
      input("email", say("E-mail"), { type: "email", maxlength: 254 }),
      input("phone", say("Phone"), { type: "tel", maxlength: 64 }),
      field(say("Notes"), h("textarea", { name: "notes", rows: 2, maxlength: 4000 }, contact.notes)),
    ],
    {
      read(form, asked) {
        const name = required(form, "name");
        if (name === undefined) return undefined;
        const fields = { name, email: text(form, "email"), phone: text(form, "phone"), notes: text(form, "notes") };
        return contact.id ? patch(contact, fields, asked) : withoutEmpty(fields);
      },
    },
  );
}

/** A debt's or thing's fields, as `askContact`. `people`: [{id, name}] to choose from; `currencies`: codes. */
export function askDebt({ debt = {}, people, contactId, currency, currencies, item = debt.type === "item" }) {
  const code = debt.currency ?? currency;
  const date = (name, label, value) => field(label, h("input", { name, type: "date", value }));
  const amount = h("input", {
    name: "amount",
    inputmode: "decimal",
    autocomplete: "off",
    autofocus: true,
    value: debt.amount === undefined ? "" : item ? debt.amount : editable(debt.amount, code),
  });
  const directions = item
    ? [
        ["lent", say("I lent it")],
        ["owed", say("I borrowed it")],
      ]
    : [
        ["lent", say("They owe me")],
        ["owed", say("I owe them")],
      ];
  return ask(
    debt.id ? (item ? say("Edit thing") : say("Edit debt")) : item ? say("New thing") : say("New debt"),
    [
      field(
        say("Who"),
        select(
          "contact_id",
          people.map(({ id, name }) => [id, name]),
          debt.contact_id ?? contactId,
        ),
      ),
      field(say("Direction"), select("direction", directions, debt.direction)),
      item && field(say("What"), prose("item", debt.item)),
      item
        ? field(say("How many"), amount)
        : h(
            "div",
            { class: "pair" },
            field(say("Amount"), amount),
            field(
              say("Currency"),
              select(
                "currency",
                [...new Set([...currencies, code])].map((one) => [one, one]), // its own may have been withdrawn
                code,
              ),
            ),
          ),
      field(say("Description"), prose("description", debt.description)),
      h(
        "div",
        { class: "pair" },
        date("transaction_date", say("Date"), debt.transaction_date ?? today()),
        date("due_date", say("Due date"), debt.due_date),
      ),
    ],
    { read: (form, asked) => readDebt(form, asked, debt, item) },
  );
}

function readDebt(form, asked, debt, item) {
  const currency = item ? undefined : given(form, "currency");
  const amount = item ? quantity(given(form, "amount") || "1") : typed(given(form, "amount"), currency);
  const refusal = item ? say("A whole number, at least 1.") : wrongAmount(currency);
  complain(form.elements.amount, amount === null ? refusal : "");
  const what = item ? required(form, "item") : null;
  const date = required(form, "transaction_date");
  if (amount === null || what === undefined || date === undefined) return undefined;
  const fields = {
    contact_id: given(form, "contact_id"),
    type: item ? "item" : "money",
    direction: given(form, "direction"),
    amount,
    ...(item ? { item: what } : { currency }),
    description: text(form, "description"),
    transaction_date: date,
    due_date: text(form, "due_date"),
  };
  return debt.id ? patch(debt, fields, asked) : withoutEmpty(fields);
}

const quantity = (written) => (/^\d{1,15}$/.test(written) && Number(written) > 0 ? Number(written) : null);

const wrongAmount = (currency) =>
  exponentOf(currency) === 0
    ? say("A whole number, more than 0.")
    : say("A number, more than 0, with at most {digits} decimals.", { digits: exponentOf(currency) });

/** How much of a debt comes back, in minor units; `open` is proposed. */
export function askRepayment(debt, open) {
  const { currency } = debt;
  const control = h("input", { name: "amount", inputmode: "decimal", value: editable(open, currency), autofocus: true });
  return ask(say("Repay"), [field(say("Amount"), control, { hint: currency })], {
    done: say("Repay"),
    read(form) {
      const amount = typed(given(form, "amount"), currency);
      complain(control, amount === null ? wrongAmount(currency) : "");
      return amount ?? undefined;
    },
  });
}

/** A new reminder's fields; `people`: [{id, name}]. */
export function askReminder({ people, contactId, zone }) {
  const repeats = [
    ["", say("never")],
    ["FREQ=DAILY", say("every day")],
    ["FREQ=WEEKLY", say("every week")],
    ["FREQ=MONTHLY", say("every month")],
  ];
  const at = h("input", { name: "at", type: "datetime-local", value: `${today(new Date(Date.now() + 86_400_000))}T09:00` });
  return ask(
    say("New reminder"),
    [
      field(say("About"), select("contact_id", [["", "—"], ...people.map(({ id, name }) => [id, name])], contactId)),
      field(say("When"), at),
      field(say("Repeat"), select("repeat", repeats)),
      field(say("Message"), h("textarea", { name: "message", rows: 2, maxlength: 4000 })),
    ],
    {
      read(form) {
        if (required(form, "at") === undefined) return undefined;
        const fields = { contact_id: text(form, "contact_id"), repeat: text(form, "repeat"), message: text(form, "message") };
        return { ...withoutEmpty(fields), remind_at: new Date(at.value).toISOString(), time_zone: zone };
      },
    },
  );
}
