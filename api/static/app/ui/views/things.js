// Things lent and borrowed that are not back, and those that are.

import { h } from "../dom.js";
import { isItem, isLive } from "../model.js";
import { say } from "../words.js";
import { addDebt } from "./people.js";
import { debtRow } from "./person.js";

/** All things, those that are out first. */
export function things(app) {
  const { book } = app;
  const all = [...book.debts.values()].filter((debt) => isItem(debt) && isLive(debt));
  const [out, back] = [all.filter((one) => !one.returned_at), all.filter((one) => one.returned_at)];
  const nobody = [...book.contacts.values()].every((one) => !isLive(one));
  return [
    h("h1", {}, say("Things")),
    h(
      "div",
      { class: "actions start" },
      h("button", { class: "primary", disabled: nobody, onclick: () => addDebt(app, { item: true }) }, say("Add thing")),
    ),
    out.length === 0 && h("p", { class: "empty" }, say("Everything is where it belongs.")),
    list(app, out),
    back.length > 0 &&
      h("details", { "data-key": "back" }, h("summary", {}, say("Returned: {count}", { count: back.length })), list(app, back)),
  ];
}

const list = (app, some) =>
  h(
    "ul",
    { class: "rows" },
    some.map((thing) => {
      const row = debtRow(app, thing);
      row.firstChild.append(h("small", {}, h("a", { href: `#/person/${thing.contact_id}` }, app.book.nameOf(thing.contact_id))));
      return row;
    }),
  );
