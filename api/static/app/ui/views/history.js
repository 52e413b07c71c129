// What all together owed the user over time, a plain SVG, and the same as a table.

import { h, svg } from "../dom.js";
import { date, signed } from "../format.js";
import { say } from "../words.js";

const [WIDTH, HEIGHT, EDGE] = [800, 300, 30];
let chosen = null;

/** The chart of one currency. */
export function history(app) {
  const { book } = app;
  const currencies = [...new Set([...book.debts.values()].map(({ currency }) => currency).filter(Boolean))].sort();
  if (!currencies.includes(chosen)) chosen = currencies.includes(app.currency) ? app.currency : (currencies[0] ?? null);
  const choose = ({ target }) => {
    chosen = target.value;
    app.changed();
  };
  const points = chosen === null ? [] : book.history(chosen);
  return [
    h("h1", {}, say("History")),
    currencies.length > 1 && [
      h("label", { for: "currency" }, say("Currency")),
      h(
        "select",
        { id: "currency", onchange: choose },
        currencies.map((one) => h("option", { value: one, selected: one === chosen }, one)),
      ),
    ],
    points.length === 0 ? h("p", { class: "empty" }, say("Nothing has been written down yet.")) : [chart(points), table(points)],
  ];
}

function chart(points) {
  const days = points.map((point) => Date.parse(point.date));
  const [first, last] = [days[0], Math.max(days.at(-1), days[0] + 86_400_000)];
  const sums = [0, ...points.map(({ net }) => net)];
  const [least, most] = [Math.min(...sums), Math.max(...sums)];
  const x = (day) => EDGE + ((day - first) / (last - first)) * (WIDTH - 2 * EDGE);
  const y = (net) => HEIGHT - EDGE - ((net - least) / (most - least || 1)) * (HEIGHT - 2 * EDGE);
  // A sum holds until the next day on which it changes: steps, not slopes.
  const steps = points.map(({ net }, index) => `H${x(days[index])}V${y(net)}`).join("");
  const label = say("From {from} to {to}, now {sum}.", {
    from: date(points[0].date),
    to: date(points.at(-1).date),
    sum: signed(points.at(-1).net, chosen),
  });
  return h(
    "figure",
    { class: "card", dir: "ltr" },
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
      svg("line", { class: "zero", x1: EDGE, x2: WIDTH - EDGE, y1: y(0), y2: y(0) }),
      svg("path", { class: "area", d: `M${x(first)} ${y(0)}${steps}H${x(last)}V${y(0)}Z` }),
      svg("path", { class: "line", d: `M${x(first)} ${y(0)}${steps}H${x(last)}` }),
      svg("text", { x: EDGE, y: HEIGHT - 6 }, date(points[0].date)),
      svg("text", { x: WIDTH - EDGE, y: HEIGHT - 6, "text-anchor": "end" }, date(points.at(-1).date)),
      svg("text", { x: EDGE, y: 16 }, signed(most, chosen)),
    ),
    h("figcaption", {}, label),
  );
}

const table = (points) =>
  h(
    "details",
    { "data-key": "table" },
    h("summary", {}, say("As a table")),
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          [say("Date"), say("Sum")].map((text) => h("th", { scope: "col" }, text)),
        ),
      ),
      h(
        "tbody",
        {},
        points.map((point) =>
          h("tr", {}, h("td", {}, date(point.date)), h("td", { class: "number" }, signed(point.net, chosen))),
        ),
      ),
    ),
  );
