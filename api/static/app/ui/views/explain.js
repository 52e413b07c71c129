// How one balance came about: every event of the log that moved it, with the sum after each.

import { h } from "../dom.js";
import { date, signed } from "../format.js";
import { explained, isItem } from "../model.js";
import { say } from "../words.js";

/** The account of contact `id` in `currency`. */
export async function explain(app, id, currency) {
  if (!app.currencies.includes(currency) && !app.book.balances(id).some(([code]) => code === currency)) {
    return h("p", { class: "empty" }, say("There is no such account on this device."));
  }
  const items = explained(await app.device.log(), id, currency);
  const { book } = app;
  const sum = items.at(-1)?.running_total ?? 0;
  return [
    h("p", {}, h("a", { href: `#/person/${id}`, class: "back" }, book.nameOf(id))),
    h("h1", {}, say("How a balance came about")),
    h(
      "p",
      { class: "lead" },
      say("{name}: {sum}, the sum of {count} events.", {
        name: book.nameOf(id),
        sum: signed(sum, currency),
        count: items.length,
      }),
    ),
    app.device.pending > 0 && h("p", { class: "hint" }, say("What waits to be sent is not in the log yet.")),
    table(book, items, currency),
  ];
}

const table = (book, items, currency) =>
  h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": say("How a balance came about") },
    h(
      "table",
      { id: "explanation" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          [say("Version"), say("Date"), say("What"), say("Amount"), say("Sum")].map((text) => h("th", { scope: "col" }, text)),
        ),
      ),
      h(
        "tbody",
        {},
        items.map((item) => line(book, item, currency)),
      ),
    ),
  );

function line(book, { seq, transaction_id, effective_date, amount, running_total }, currency) {
  const debt = book.debts.get(transaction_id);
  const title = debt === undefined || isItem(debt) ? "—" : (debt.description ?? (debt.repays ? say("Repayment") : "—"));
  return h(
    "tr",
    { "data-key": `${seq} ${transaction_id}` },
    h("td", {}, seq),
    h("td", {}, date(effective_date)),
    h("td", {}, title),
    h("td", { class: amount > 0 ? "number plus" : "number minus" }, signed(amount, currency)),
    h("td", { class: "number" }, signed(running_total, currency)),
  );
}
