// The account: its address and password, and its end.

import { isDeleting, isUser } from "../../client/answers.js";
import { Refused } from "../../client/index.js";
import { h } from "../dom.js";
import { moment } from "../format.js";
import { ask, complain, field, isLong, select } from "../forms.js";
import { changeUser } from "../profile.js";
import { toast } from "../toast.js";
import { inWords } from "../troubles.js";
import { say } from "../words.js";

/** Whose it is, and what they set. */
export const account = (app) =>
  h(
    "section",
    { class: "card stack", "data-key": "account" },
    h("h2", {}, say("Account")),
    h("p", {}, app.user?.email),
    currency(app),
    h(
      "div",
      { class: "actions start" },
      h("button", { id: "change-password", onclick: () => changePassword(app) }, say("Change password")),
    ),
  );

function currency(app) {
  const control = select(
    "default_currency",
    app.currencies.map((code) => [code, code]),
    app.currency,
  );
  control.onchange = ({ target }) => changeUser(app, { default_currency: target.value });
  return field(say("Currency of new debts"), control);
}

const secret = (autocomplete) => h("input", { type: "password", autocomplete, maxlength: 128 });

// For the browser, which keeps passwords by it.
const whose = (app) => h("input", { type: "email", autocomplete: "username", value: app.user?.email, hidden: true });

async function changePassword(app) {
  const [current, next] = [secret("current-password"), secret("new-password")];
  const others = h("input", { type: "checkbox" });
  const changed = await ask(
    say("Change password"),
    [
      whose(app),
      field(say("Current password"), current),
      field(say("New password"), next),
      h("label", { class: "check" }, others, say("Sign out the other devices")),
    ],
    {
      async read() {
        complain(current, current.value ? "" : say("This is needed."));
        complain(next, isLong(next.value) ? "" : say("At least 8 characters."));
        if (!current.value || !isLong(next.value)) return undefined;
        const json = { current_password: current.value, new_password: next.value, end_other_sessions: others.checked };
        return known(current, app.device.ask("POST", "/api/auth/password", { json }));
      },
      done: say("Change"),
    },
  );
  if (changed) toast(say("The password is changed."));
}

// Whether `asking` was answered; where the password is wrong, a complaint about it.
async function known(control, asking) {
  try {
    return { answer: await asking };
  } catch (error) {
    if (!(error instanceof Refused && error.code === "invalid_credentials")) throw error;
    complain(control, say("The password is wrong."));
    return undefined;
  }
}

/** The way to its end, where that is not coming already. */
export const deletion = (app) =>
  !app.user?.deleting_at &&
  h("button", { class: "danger", id: "delete-account", onclick: () => deleteAccount(app) }, say("Delete the account"));

async function deleteAccount(app) {
  const password = secret("current-password");
  const deleted = await ask(
    say("Delete the account?"),
    [
      h("p", {}, say("In 7 days all of it is erased on the server. Until then it works, and can be kept after all.")),
      h("p", {}, say("Other devices are signed out now, and personal tokens end.")),
      whose(app),
      field(say("Password"), password),
    ],
    {
      async read() {
        complain(password, password.value ? "" : say("This is needed."));
        if (!password.value) return undefined;
        const json = { password: password.value };
        return known(password, app.device.ask("DELETE", "/api/me", { json, shape: isDeleting }));
      },
      done: say("Delete the account"),
      danger: true,
    },
  );
  if (deleted === null) return;
  app.visit += 1; // what ended with it is looked at anew
  await app.device.remember({ user: { ...app.user, deleting_at: deleted.answer.deleting_at } });
  document.querySelector("main").focus();
  scrollTo(0, 0);
}

/** When all of it goes, and the way to keep it; nothing where it stays. */
export const deleting = (app) =>
  app.device.signedIn &&
  app.user?.deleting_at &&
  h(
    "p",
    { class: "banner", role: "alert", "data-key": "deleting", id: "deleting" },
    say("This account and all that is in it are erased on {when}.", { when: moment(app.user.deleting_at) }),
    h("button", { id: "keep-account", onclick: () => keep(app) }, say("Keep the account")),
  );

async function keep(app) {
  try {
    await app.device.remember({ user: await app.device.ask("POST", "/api/me/keep", { shape: isUser }) });
    document.querySelector("main").focus({ preventScroll: true });
    toast(say("The account is kept."));
  } catch (error) {
    toast(inWords(error));
  }
}
