// Two devices of one account side by side, each with a switch for its network, and under each its log with the hashes.

import { Device, Line } from "../../client/index.js";
import { h } from "../dom.js";
import { editable, money, short, signed, typed } from "../format.js";
import { complain, field, isLong } from "../forms.js";
import { Book, explained, isLive } from "../model.js";
import { inWords } from "../troubles.js";
import { say, spoken } from "../words.js";
import { conflict } from "./attention.js";
import { row } from "./log.js";

const NAMES = ["left", "right"];
const FACTS = 8; // the newest, under each device
let opening = null; // a promise: what is shown again meanwhile waits for the same two
let panels = null;

/** The proof: signing in once for both devices, then both. */
export async function proof(app) {
  opening ??= Promise.all(NAMES.map((name) => Panel.open(app, name)));
  try {
    panels = await opening;
  } catch (error) {
    opening = null; // the next showing tries again
    throw error;
  }
  const ready = panels.every(({ device }) => device.signedIn);
  return [
    h("h1", {}, say("Two devices, one ledger")),
    h(
      "p",
      { class: "lead" },
      say(
        "Take one offline, change the same debt on both, and let them meet: nothing is lost, and in the end both have the same hash.",
      ),
    ),
    ready
      ? [verdict(), h("div", { class: "proof", id: "proof" }, await Promise.all(panels.map((panel) => panel.content())))]
      : entrance(app),
  ];
}

function verdict() {
  const [one, other] = panels.map(({ device }) => device.head);
  const pending = panels.some(({ device }) => device.pending > 0);
  const equal = one.hash === other.hash && !pending;
  const text = equal
    ? say("Equal: both at version {version}, hash {hash}.", { version: one.version, hash: short(one.hash) })
    : say("They differ: versions {one} and {other}.", { one: one.version, other: other.version });
  return h("p", { class: equal ? "verdict equal" : "verdict", role: "status", id: "verdict" }, text);
}

function entrance(app) {
  const email = h("input", { type: "email", autocomplete: "username" });
  const password = h("input", { type: "password", autocomplete: "current-password", maxlength: 128 });
  const said = h("p", { class: "error", role: "alert" });
  const enter = async (event, register) => {
    event.preventDefault();
    said.textContent = "";
    complain(password, isLong(password.value) ? "" : say("At least 8 characters."));
    if (!isLong(password.value)) return;
    try {
      const [first, second] = panels.map(({ device }) => device);
      const time_zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
      if (register) await first.register(email.value.trim(), password.value, { time_zone, locale: spoken() });
      else await first.login(email.value.trim(), password.value);
      await second.login(email.value.trim(), password.value);
      panels.forEach((panel) => panel.follow());
    } catch (error) {
      said.textContent = inWords(error);
    }
    app.changed();
  };
  return h(
    "form",
    {
      class: "stack card narrow",
      novalidate: true,
      "data-key": `entrance ${spoken()}`,
      "data-keep": true,
      onsubmit: (event) => enter(event, false),
    },
    h("p", {}, say("Both devices sign in to one account: yours, or a new one to play with.")),
    field(say("E-mail"), email),
    field(say("Password"), password),
    said,
    h(
      "div",
      { class: "actions" },
      h("button", { type: "button", id: "register", onclick: (event) => enter(event, true) }, say("Register")),
      h("button", { class: "primary", id: "sign-in" }, say("Sign in")),
    ),
  );
}

/** One of the two: what views need of an app, over a device of its own. */
class Panel {
  line = new Line();
  #begun = new Map(); // what was in view when its user began to write an amount, by debt

  static async open(app, name) {
    const panel = new Panel();
    panel.app = app;
    panel.name = name;
    const { network, connect } = panel.line;
    panel.device = await Device.open(`proof-${name}`, {
      label: `${app.label()}, ${name}`,
      network,
      connect,
      onChange: () => app.changed(),
      onGone: () => location.reload(),
    });
    if (panel.device.signedIn) panel.follow();
    return panel;
  }

  async follow() {
    try {
      await this.device.follow(new AbortController().signal);
    } catch (error) {
      this.trouble = inWords(error);
      this.app.changed();
    }
  }

  get book() {
    return new Book(this.device.shown());
  }

  get currency() {
    return this.device.user?.default_currency ?? this.app.currency;
  }

  act(act, text) {
    return this.app.act(() => act(this.device).then(() => undefined), text);
  }

  async content() {
    const { device, book } = this;
    const [facts, { conflicts }] = await Promise.all([device.log(Math.max(0, device.head.version - FACTS)), device.attention()]);
    const debts = [...book.debts.values()]
      .filter((debt) => isLive(debt) && debt.type !== "item")
      .sort((one, other) => (one.id < other.id ? 1 : -1));
    return h(
      "section",
      { class: "device card", "data-key": this.name, id: this.name, "aria-label": this.title },
      this.#head(),
      this.trouble && h("p", { class: "banner" }, this.trouble),
      this.#adding(book),
      h(
        "ul",
        { class: "rows debts" },
        debts.slice(0, FACTS).map((debt) => this.#debt(book, debt)),
      ),
      await this.#explanation(book),
      h(
        "div",
        { class: "conflicts" },
        conflicts.map((fact) => conflict({ book, currency: this.currency, act: (...how) => this.act(...how) }, fact)),
      ),
      h("h3", {}, say("Log")),
      h(
        "ol",
        { class: "rows log" },
        facts.reverse().map((fact) => row({ book }, fact, { undo: false })),
      ),
    );
  }

  // The balance, and the events of the log that it is the sum of.
  async #explanation(book) {
    const [contact] = book.contactsByName(spoken());
    if (contact === undefined) return null;
    const items = explained(await this.device.log(), contact.id, this.currency);
    const sum = signed(items.at(-1)?.running_total ?? 0, this.currency);
    return h(
      "details",
      { "data-key": "explanation", class: "explanation" },
      h("summary", {}, say("{name}: {sum}, the sum of {count} events.", { name: contact.name, sum, count: items.length })),
      h(
        "p",
        {},
        items.map((item) =>
          h(
            "span",
            { class: "step" },
            `${item.seq}: ${signed(item.amount, this.currency)} → ${signed(item.running_total, this.currency)}`,
          ),
        ),
      ),
    );
  }

  get title() {
    return this.name === "left" ? say("Left device") : say("Right device");
  }

  #head() {
    const { version, hash } = this.device.head;
    const flip = ({ target }) => {
      this.line.cut = !target.checked;
      this.device.stir();
      this.app.changed();
    };
    return h(
      "header",
      {},
      h("h2", {}, this.title),
      h(
        "label",
        { class: "check" },
        h("input", { type: "checkbox", role: "switch", class: "switch", checked: !this.line.cut, onchange: flip }),
        this.line.cut ? say("Offline") : say("Online"),
      ),
      h("p", { class: "hint" }, say("Waiting to be sent: {count}", { count: this.device.pending })),
      h("p", {}, say("Version {version}", { version }), " ", h("code", { class: "hash head", title: hash }, short(hash))),
    );
  }

  #adding(book) {
    const [contact] = book.contactsByName(spoken());
    return h(
      "div",
      { class: "actions start" },
      contact === undefined
        ? h(
            "button",
            {
              "data-act": "person",
              onclick: () => this.act((device) => device.create("contact", { name: "Ana" }), say("Added.")),
            },
            say("Add a person"),
          )
        : h("button", { "data-act": "debt", onclick: () => this.#lend(contact.id) }, say("Add a debt")),
    );
  }

  #lend(contact_id) {
    const fields = {
      contact_id,
      type: "money",
      direction: "lent",
      amount: 1_000,
      currency: this.currency,
      description: say("lunch"),
    };
    return this.act((device) => device.create("transaction", fields), say("Written down."));
  }

  #debt(book, debt) {
    const amount = h("input", {
      inputmode: "decimal",
      value: editable(debt.amount, debt.currency),
      "aria-label": say("Amount"),
      size: 8,
      autocomplete: "off",
      oninput: () => this.#begun.has(debt.id) || this.#begun.set(debt.id, this.device.shownVersion),
    });
    const change = (event) => {
      event.preventDefault();
      const minor = typed(event.target.elements[0].value, debt.currency);
      event.target.reset();
      const base = this.#begun.get(debt.id);
      this.#begun.delete(debt.id);
      if (minor !== null && minor !== debt.amount)
        this.act((device) => device.update("transaction", debt.id, { amount: minor }, undefined, { base }), say("Saved."));
    };
    return h(
      "li",
      { "data-key": debt.id },
      h(
        "span",
        { class: "grow" },
        h("strong", {}, debt.description ?? book.nameOf(debt.contact_id)),
        h("small", {}, book.nameOf(debt.contact_id)),
      ),
      h("b", { class: debt.direction === "lent" ? "plus" : "minus" }, money(debt.amount, debt.currency)),
      h("form", { class: "inline", onsubmit: change }, amount, h("button", {}, say("Change"))),
    );
  }
}
