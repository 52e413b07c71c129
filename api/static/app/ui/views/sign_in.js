// Signing in, or up: the only view for who is neither.

import { AnotherAccount, MailFollows } from "../../client/index.js";
import { h } from "../dom.js";
import { complain, field, isLong } from "../forms.js";
import { erase, save } from "../keeping.js";
import { inWords } from "../troubles.js";
import { say, spoken } from "../words.js";

/** The form; the server says in /api/meta whether somebody may register. */
export function signIn(app) {
  const registration = app.device.remembered("meta")?.registration ?? "open";
  return h(
    "section",
    { class: "narrow", "data-key": `sign-in ${registration} ${spoken()}`, "data-keep": true },
    h("h1", {}, "Debitum"),
    lead(),
    form(app, registration),
  );
}

const lead = () => h("p", { class: "lead" }, say("Who owes whom, on all your devices, with and without a network."));

function form(app, registration) {
  const email = h("input", { type: "email", name: "email", autocomplete: "username", required: true });
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password", maxlength: 128 });
  const invite = h("input", { name: "invite", autocomplete: "off" });
  const said = h("p", { class: "error", role: "alert" });
  const instead = h(
    "div",
    { class: "actions start", hidden: true },
    h("button", { type: "button", id: "save", onclick: () => save(app.device) }, say("Save what this device has (JSON)")),
    h("button", { type: "button", class: "danger", id: "erase", onclick: () => erase(app) }, say("Erase this device")),
  );
  const begin = (...wanted) => {
    said.textContent = "";
    instead.hidden = true;
    for (const [control, isRight, complaint] of wanted) complain(control, isRight ? "" : complaint);
    return wanted.every(([, isRight]) => isRight);
  };
  const withAddress = () => [email, email.value.includes("@"), say("An e-mail address.")];
  const withPassword = () => [password, isLong(password.value), say("At least 8 characters.")];
  const enter = async (event, how) => {
    event.preventDefault();
    if (!begin(withAddress(), withPassword())) return;
    try {
      await how(email.value.trim(), password.value);
      app.follow();
    } catch (error) {
      said.textContent = whyNot(error);
      instead.hidden = !(error instanceof AnotherAccount);
    }
    app.changed();
  };
  const forgotten = async () => {
    if (!begin(withAddress())) return;
    try {
      await app.device.forgot(email.value.trim());
      said.textContent = lookIntoYourMail();
    } catch (error) {
      said.textContent = whyNot(error);
    }
  };
  const logIn = (event) => enter(event, (address, word) => app.device.login(address, word));
  const register = (event) => enter(event, (address, word) => app.device.register(address, word, profile(invite.value)));
  return h(
    "form",
    { class: "stack card", novalidate: true, onsubmit: logIn },
    field(say("E-mail"), email),
    field(say("Password"), password),
    registration === "invite" && field(say("Invitation (to register)"), invite),
    said,
    instead,
    h(
      "div",
      { class: "actions" },
      registration !== "closed" && h("button", { type: "button", id: "register", onclick: register }, say("Register")),
      h("button", { type: "submit", class: "primary", id: "sign-in" }, say("Sign in")),
    ),
    h(
      "p",
      { class: "hint" },
      h("button", { type: "button", class: "link", id: "forgotten", onclick: forgotten }, say("I forgot the password")),
    ),
    h("p", { class: "hint" }, h("a", { href: "#/proof" }, say("See two devices agree"))),
  );
}

function profile(invite) {
  const time_zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return { time_zone, locale: spoken(), ...(invite && { invite }) };
}

const lookIntoYourMail = () => say("Look into your mail: there is a link to go on.");

function whyNot(error) {
  if (error instanceof MailFollows) return lookIntoYourMail();
  if (error instanceof AnotherAccount)
    return say("This device belongs to another account. Erase it first; where that account is gone, save what it has before.");
  return inWords(error);
}
