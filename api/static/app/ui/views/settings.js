// This device and its user: language, look, import and export, signing out.

import { isImport, isUser } from "../../client/answers.js";
import { Unavailable } from "../../client/index.js";
import { understood } from "../../client/wire.js";
import { h } from "../dom.js";
import { confirm, field, select } from "../forms.js";
import { toast } from "../toast.js";
import { inWords } from "../troubles.js";
import { LANGUAGES, say, speak, spoken } from "../words.js";

const IMPORT_MILLISECONDS = 15 * 60_000; // what the server allows

/** Everything that is not about debts. */
export function settings(app) {
  return [
    h("h1", {}, say("Settings")),
    h(
      "section",
      { class: "card stack", "data-key": "device" },
      h("h2", {}, say("This device")),
      language(app),
      theme(app),
      offline(app),
    ),
    h(
      "section",
      { class: "card stack", "data-key": "account" },
      h("h2", {}, say("Account")),
      h("p", {}, app.user?.email),
      currency(app),
    ),
    h(
      "section",
      { class: "card stack", "data-key": "data" },
      h("h2", {}, say("Import and export")),
      importing(app),
      exporting(app),
    ),
    h(
      "section",
      { class: "card stack", "data-key": "leave" },
      h("h2", {}, say("Leave")),
      h(
        "div",
        { class: "actions start" },
        h("button", { id: "sign-out", onclick: () => leave(app) }, say("Sign out")),
        h("button", { class: "danger", id: "erase", onclick: () => erase(app) }, say("Sign out and erase this device")),
      ),
    ),
    h("p", {}, h("a", { href: "#/proof" }, say("See two devices agree"))),
  ];
}

function language(app) {
  const control = select("language", Object.entries(LANGUAGES), spoken());
  control.onchange = async ({ target }) => {
    await speak(target.value);
    await app.device.remember({ language: target.value });
  };
  return field(say("Language"), control);
}

function theme(app) {
  const themes = [
    ["auto", say("as the system")],
    ["light", say("light")],
    ["dark", say("dark")],
  ];
  const control = select("theme", themes, app.device.remembered("theme") ?? "auto");
  control.onchange = async ({ target }) => {
    await app.device.remember({ theme: target.value });
    app.dress();
  };
  return field(say("Look"), control);
}

function offline(app) {
  const toggle = ({ target }) => {
    app.line.cut = target.checked;
    app.device.stir();
    app.changed();
  };
  return h(
    "label",
    { class: "check" },
    h("input", { type: "checkbox", id: "offline", checked: app.line.cut, onchange: toggle }),
    say("Work offline until this page is closed"),
  );
}

function currency(app) {
  const control = select(
    "default_currency",
    app.currencies.map((code) => [code, code]),
    app.currency,
  );
  control.onchange = async ({ target }) => {
    try {
      const user = await app.device.ask("PATCH", "/api/me", { json: { default_currency: target.value }, shape: isUser });
      await app.device.remember({ user });
    } catch (error) {
      toast(inWords(error));
      app.changed();
    }
  };
  return field(say("Currency of new debts"), control);
}

function importing(app) {
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": say("Import") });
  const said = h("p", { role: "status", id: "imported" });
  const file = h("input", { type: "file", id: "import", accept: ".zip,application/zip" });
  file.onchange = async () => {
    const [chosen] = file.files;
    if (chosen === undefined) return;
    bar.hidden = false;
    bar.removeAttribute("value");
    said.textContent = say("Sending {name}", { name: chosen.name });
    try {
      const answer = await upload(app, chosen, (part) => (bar.value = part));
      said.textContent = say("People: {contacts}. Debts: {transactions}. Things: {items}. Left out: {skipped}.", {
        ...answer,
        skipped: answer.skipped.reduce((sum, { count }) => sum + count, 0),
      });
      app.device.stir();
    } catch (error) {
      said.textContent = inWords(error);
    }
    bar.hidden = true;
    file.value = "";
  };
  const kept = { class: "field", "data-key": `import ${spoken()}`, "data-keep": true };
  return h("div", kept, h("label", { for: "import" }, say("A backup of the Debitum app (zip)")), file, bar, said);
}

// XMLHttpRequest: fetch does not tell how much has been sent.
async function upload(app, file, onProgress) {
  if (app.line.cut) throw new Unavailable("the network is switched off");
  const token = await app.device.token();
  const request = new XMLHttpRequest();
  request.open("POST", "/api/import/debitum");
  request.timeout = IMPORT_MILLISECONDS;
  request.setRequestHeader("Authorization", `Bearer ${token}`);
  request.setRequestHeader("Content-Type", "application/zip");
  request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
  await new Promise((resolve, reject) => {
    request.onload = resolve;
    request.onerror = request.ontimeout = () => reject(new Unavailable("the upload broke off"));
    request.send(file);
  });
  return understood(request.status, request.responseText, { shape: isImport });
}

const exporting = (app) =>
  h(
    "div",
    { class: "actions start" },
    h("button", { id: "export-json", onclick: () => download(app, "json") }, say("Export everything (JSON)")),
    h("button", { onclick: () => download(app, "csv") }, say("Export tables (CSV)")),
  );

async function download(app, format) {
  try {
    const headers = { Authorization: `Bearer ${await app.device.token()}` };
    const answer = await app.line.network(`/api/export?format=${format}`, { headers, redirect: "error" }).catch(() => null);
    if (!answer?.ok || !answer.headers.has("Content-Disposition")) throw new Unavailable("what came is no export");
    const address = URL.createObjectURL(await answer.blob());
    const link = h("a", { href: address, download: `debitum.${format === "csv" ? "zip" : "json"}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  } catch (error) {
    toast(inWords(error));
  }
}

async function leave(app) {
  app.unfollow();
  await app.device.logout();
  location.hash = "#/";
  app.changed();
}

async function erase(app) {
  if (!(await confirm(say("Erase this device?"), whatIsLost(app.device), say("Erase")))) return;
  app.unfollow();
  await app.device.logout();
  await app.device.erase();
  location.replace(location.pathname + location.search);
}

// What is here alone: it waits to be sent, or for its user to decide what becomes of it.
function whatIsLost({ pending, troubles: { rejections } }) {
  const lost = [
    pending > 0 && say("What waits to be sent is lost: {count}.", { count: pending }),
    rejections > 0 && say("What the server did not take is lost: {count}.", { count: rejections }),
  ].filter(Boolean);
  return lost.join(" ") || say("The server keeps everything; this device forgets it.");
}
