// Who else gets at the account: the user's devices, and programs with personal tokens.

import { areDevices, areTokens, isNewToken } from "../../client/answers.js";
import { h } from "../dom.js";
import { moment } from "../format.js";
import { ask, complain, confirm, field, required, select } from "../forms.js";
import { Listing } from "../listing.js";
import { toast } from "../toast.js";
import { say } from "../words.js";

const DAY_MILLISECONDS = 24 * 3_600_000;
const DEVICES = new Listing("/api/devices", areDevices);
const TOKENS = new Listing("/api/tokens", areTokens);

/** The devices that were signed in once, this one among them. */
export const devices = (app) =>
  h(
    "section",
    { class: "card stack", "data-key": "devices", id: "devices" },
    h("h2", { tabindex: "-1" }, say("Devices")),
    rows(DEVICES.of(app), (one) => device(app, one)),
  );

/** The personal tokens, and a way to another. */
export const programs = (app) =>
  h(
    "section",
    { class: "card stack", "data-key": "tokens", id: "tokens" },
    h("h2", { tabindex: "-1" }, say("Personal tokens")),
    h("p", { class: "hint" }, say("For your own programs, which get at what is here by a token and without the password.")),
    rows(TOKENS.of(app), (one) => token(app, one)),
    h("div", { class: "actions start" }, h("button", { id: "add-token", onclick: () => make(app) }, say("New token"))),
  );

function rows(items, row) {
  if (items === null) return h("p", { class: "hint" }, say("The server says that when it can be reached."));
  return h("ul", { class: "rows" }, items.map(row));
}

const row = (id, name, about, button) =>
  h(
    "li",
    { "data-key": id },
    h("span", { class: "grow", id: `about-${id}` }, h("strong", {}, name), h("small", {}, about.filter(Boolean).join(" · "))),
    button,
  );

function device(app, { id, name, last_seen_at, current }) {
  const gone = {
    list: DEVICES,
    path: `/api/devices/${id}`,
    place: "#devices h2",
    asked: say("Sign out {name}?", { name }),
    what: say("It is signed out now, and gone from this list until somebody signs in there. What it holds stays on it."),
    word: say("Sign out"),
  };
  const seen = say("last there: {when}", { when: moment(last_seen_at) });
  return row(id, name, [current && say("This device"), seen], !current && ending(app, id, gone));
}

function token(app, { id, name, scope, expires_at, last_used_at }) {
  const gone = {
    list: TOKENS,
    path: `/api/tokens/${id}`,
    place: "#tokens h2",
    asked: say("Revoke {name}?", { name }),
    what: say("Programs that use it are let in no more."),
    word: say("Revoke"),
  };
  const about = [
    SCOPES()[scope] ?? scope,
    last_used_at ? say("last used: {when}", { when: moment(last_used_at) }) : say("never used"),
    expires_at && say("good until: {when}", { when: moment(expires_at) }),
  ];
  return row(id, name, about, ending(app, id, gone));
}

const SCOPES = () => ({ read: say("may read"), write: say("may read and write") });

function ending(app, id, { list, path, place, asked, what, word }) {
  const end = async () => {
    const ended = await confirm(asked, what, word, () => app.device.ask("DELETE", path));
    await list.ask(app); // also where it was gone already
    if (ended) document.querySelector(place)?.focus();
  };
  return h("button", { "aria-describedby": `about-${id}`, onclick: end }, word);
}

async function make(app) {
  const made = await ask(
    say("New token"),
    [
      field(say("Name"), h("input", { name: "name", maxlength: 200, autocomplete: "off", autofocus: true }), {
        hint: say("What it is for"),
      }),
      field(say("Rights"), select("scope", Object.entries(SCOPES()))),
      field(say("Ends"), select("days", ENDS())),
    ],
    {
      done: say("Make"),
      read(form) {
        const name = required(form, "name");
        if (name === undefined) return undefined;
        const days = Number(form.elements.days.value);
        const expires_at = days > 0 ? new Date(Date.now() + days * DAY_MILLISECONDS).toISOString() : null;
        const json = { name, scope: form.elements.scope.value, expires_at };
        return app.device.ask("POST", "/api/tokens", { json, shape: isNewToken });
      },
    },
  );
  TOKENS.ask(app); // also where its answer was not waited for
  if (made !== null) await hand(made.token);
}

const ENDS = () => [
  ["0", say("never")],
  ["30", say("in 30 days")],
  ["365", say("in a year")],
];

// Once: the server keeps what it compares with, and not the token.
async function hand(text) {
  const shown = h("input", { value: text, readonly: true, dir: "ltr", class: "hash", autofocus: true });
  shown.onfocus = () => shown.select();
  const copied = await ask(say("The new token"), [field(say("Token"), shown, { hint: say("It is shown this once.") })], {
    done: say("Copy"),
    leave: say("Close"),
    async read() {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch {
        complain(shown, say("The browser does not copy it: do so by hand."));
        return undefined;
      }
    },
  });
  if (copied) toast(say("Copied."));
}
