// Everything that is not about debts: this device, its user, import and export, leaving.

import { isImport, isTakenOver } from "../../client/answers.js";
import { Unavailable } from "../../client/index.js";
import { understood } from "../../client/wire.js";
import { h } from "../dom.js";
import { field, select } from "../forms.js";
import { erase, hand, save } from "../keeping.js";
import { toast } from "../toast.js";
import { inWords } from "../troubles.js";
import { LANGUAGES, say, speak, spoken } from "../words.js";
import { devices, programs } from "./access.js";
import { account, deletion } from "./account.js";
import { reminding } from "./reminding.js";

const IMPORT_MILLISECONDS = 15 * 60_000; // what the server allows

/** A card for each. */
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
    account(app),
    reminding(app),
    devices(app),
    programs(app),
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
        deletion(app),
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

function importing(app) {
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": say("Import") });
  const said = h("p", { role: "status", id: "imported" });
  const file = h("input", { type: "file", id: "import", accept: ".zip,.json,application/zip,application/json" });
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
        skipped: (answer.skipped ?? []).reduce((sum, { count }) => sum + count, 0),
      });
      app.device.stir();
    } catch (error) {
      said.textContent = inWords(error);
    }
    bar.hidden = true;
    file.value = "";
  };
  const kept = { class: "field", "data-key": `import ${spoken()}`, "data-keep": true };
  return h(
    "div",
    kept,
    h(
      "label",
      { for: "import" },
      say("A backup of the Debitum app (zip), or, as long as nothing is here, what was exported or saved (JSON)"),
    ),
    file,
    bar,
    said,
  );
}

// XMLHttpRequest: fetch does not tell how much has been sent.
async function upload(app, file, onProgress) {
  if (app.line.cut) throw new Unavailable("the network is switched off");
  const token = await app.device.token();
  const request = new XMLHttpRequest();
  const isExport = file.name.toLowerCase().endsWith(".json");
  request.open("POST", isExport ? "/api/import/json" : "/api/import/debitum");
  request.timeout = IMPORT_MILLISECONDS;
  request.setRequestHeader("Authorization", `Bearer ${token}`);
  request.setRequestHeader("Content-Type", isExport ? "application/json" : "application/zip");
  request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
  await new Promise((resolve, reject) => {
    request.onload = resolve;
    request.onerror = request.ontimeout = () => reject(new Unavailable("the upload broke off"));
    request.send(file);
  });
  return understood(request.status, request.responseText, { shape: isExport ? isTakenOver : isImport });
}

const exporting = (app) =>
  h(
    "div",
    { class: "actions start" },
    h("button", { id: "export-json", onclick: () => download(app, "json") }, say("Export everything (JSON)")),
    h("button", { onclick: () => download(app, "csv") }, say("Export tables (CSV)")),
    h("button", { id: "save", onclick: () => save(app.device) }, say("Save what this device has (JSON)")),
  );

async function download(app, format) {
  try {
    const headers = { Authorization: `Bearer ${await app.device.token()}` };
    const answer = await app.line.network(`/api/export?format=${format}`, { headers, redirect: "error" }).catch(() => null);
    if (!answer?.ok || !answer.headers.has("Content-Disposition")) throw new Unavailable("what came is no export");
    hand(await answer.blob(), `debitum.${format === "csv" ? "zip" : "json"}`);
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
