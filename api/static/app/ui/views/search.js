// Searching people and debts on the device, with and without a network.

import { h } from "../dom.js";
import { isItem } from "../model.js";
import { say } from "../words.js";
import { debtRow } from "./person.js";

const MOST = 50;
let query = "";

/** The field, and what was found for what stands in it. */
export function search(app) {
  const found = app.book.search(query);
  const listen = ({ target }) => {
    query = target.value;
    app.changed();
  };
  return [
    h("h1", {}, say("Search")),
    h("label", { for: "query", class: "visually-hidden" }, say("Search")),
    h("input", {
      id: "query",
      type: "search",
      value: query,
      autocomplete: "off",
      placeholder: say("Names, notes, what was lent"),
      oninput: listen,
    }),
    h("p", { class: "hint", role: "status" }, query && say("Found: {count}", { count: found.length })),
    h(
      "ul",
      { class: "rows", id: "found" },
      found.slice(0, MOST).map((one) => row(app, one)),
    ),
  ];
}

function row(app, { kind, found }) {
  if (kind === "contact") {
    return h("li", { "data-key": found.id }, h("a", { href: `#/person/${found.id}` }, h("strong", {}, found.name)));
  }
  const line = debtRow(app, found);
  const about = isItem(found) ? say("thing") : say("debt");
  line.firstChild.append(
    h("small", {}, `${about} · `, h("a", { href: `#/person/${found.contact_id}` }, app.book.nameOf(found.contact_id))),
  );
  return line;
}
