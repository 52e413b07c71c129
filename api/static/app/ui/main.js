// Where the page begins: the device, the view that the address names, and the line that always says how things stand.

import { isUser } from "../client/answers.js";
import { Device, Line, SignedOut } from "../client/index.js";
import { h, show } from "./dom.js";
import { short, useCurrencies } from "./format.js";
import { Book } from "./model.js";
import { viewOf, VIEWS } from "./routes.js";
import { toast } from "./toast.js";
import { inWords } from "./troubles.js";
import { deleting } from "./views/account.js";
import { say, speak, spoken } from "./words.js";

/** What the views have in hand: the device, what it shows, and ways to act. */
class App {
  line = new Line();
  device;
  #book = null;
  #due = null;
  #turn = 0;
  #following = null;
  #learning = false;
  trouble = null; // what stopped the syncing, in words
  visit = 1; // of how many: what a view asks of the server it asks once each

  async start() {
    const name = new URLSearchParams(location.search).get("device") ?? "main";
    const { network, connect } = this.line;
    const [onChange, onGone] = [() => this.changed(), () => location.reload()];
    await speak(); // its name is in that language
    this.device = await Device.open(name, { label: this.label(), network, connect, onChange, onGone });
    const chosen = this.device.remembered("language");
    if (chosen !== undefined && chosen !== spoken()) await speak(chosen);
    this.dress();
    useCurrencies(this.device.remembered("meta")?.currencies ?? []);
    addEventListener("hashchange", () => this.show({ moved: true }));
    addEventListener("online", () => {
      this.device.stir();
      this.#learnLate();
    });
    this.learn();
    this.show();
    if (this.device.signedIn) this.follow();
  }

  /** What this device is called in lists of devices. */
  label() {
    const system = navigator.userAgentData?.platform ?? navigator.platform;
    return `${say("Browser")} (${system})`.slice(0, 200);
  }

  /** Take over the theme that the user has chosen. */
  dress() {
    document.documentElement.dataset.theme = this.device.remembered("theme") ?? "auto";
  }

  // Currencies and the kind of registration: asked whenever the page opens, kept for when it opens offline.
  async learn() {
    this.#learning = true;
    try {
      const meta = await this.device.meta();
      useCurrencies(meta.currencies);
      await this.device.remember({ meta });
    } catch {
      // Offline: what was kept is as good, and where nothing was it is asked again.
    } finally {
      this.#learning = false;
    }
  }

  // The same once more, where nobody answered yet.
  #learnLate() {
    if (!this.#learning && this.device.remembered("meta") === undefined) this.learn();
  }

  // What the user has chosen may have changed on another device, or by a click in a mail.
  async #learnUser() {
    try {
      await this.device.remember({ user: await this.device.ask("GET", "/api/me", { shape: isUser }) });
    } catch {
      // Offline: what was known is as good.
    }
  }

  /** Everything as the user expects it. */
  get book() {
    return (this.#book ??= new Book(this.device.shown()));
  }

  get user() {
    return this.device.user;
  }

  get currencies() {
    const all = this.device.remembered("meta")?.currencies ?? [];
    const active = all.filter((one) => one.active).map(({ code }) => code);
    return active.length > 0 ? active : [this.currency];
  }

  /** The user's own currency. */
  get currency() {
    return this.user?.default_currency ?? "EUR";
  }

  /** Something else is to be shown; what changes at once is shown once. */
  changed() {
    this.#book = null;
    if (this.#due !== null || this.device === undefined) return; // another tab may change what this one is just opening
    this.#due = setTimeout(() => {
      this.#due = null;
      this.#keepUp();
      this.show();
    });
  }

  // Whoever is signed in is kept in sync, also where another tab signed in. What has failed is left until somebody does so again.
  #keepUp() {
    if (!this.device.signedIn && this.#following?.signal.aborted) this.#following = null;
    if (this.device.signedIn && this.#following === null) this.follow();
  }

  /** Show the view that the address names. */
  async show({ moved = false } = {}) {
    if (moved) this.visit += 1;
    if (this.device.live || !this.device.signedIn) this.#learnLate();
    const turn = (this.#turn += 1);
    const { view, title, rest } = viewOf(location.hash, this.device.signedIn);
    const content = await this.#seen(view, rest);
    if (turn !== this.#turn) return; // something newer is being shown
    const main = document.querySelector("main");
    show(document.querySelector("header"), ...this.#header(view));
    show(document.querySelector("footer"), ...this.#standing());
    show(main, this.trouble && h("p", { class: "banner", role: "alert" }, this.trouble), deleting(this), content);
    document.title = `${say(title)} · Debitum`;
    if (moved) {
      main.focus();
      scrollTo(0, 0);
    }
  }

  // A view that fails says so in its place: the others still work.
  async #seen(view, rest) {
    try {
      return await view(this, ...rest);
    } catch (error) {
      console.error(error);
      return h("p", { class: "banner", role: "alert" }, error.message);
    }
  }

  #header(current) {
    const { conflicts, rejections } = this.device.troubles;
    const links = VIEWS.filter(({ nav }) => nav && this.device.signedIn).map(({ path, title, view }) =>
      h(
        "a",
        { href: `#${path}`, "aria-current": view === current && "page" },
        say(title),
        path === "/attention" && conflicts + rejections > 0 && h("span", { class: "badge" }, conflicts + rejections),
      ),
    );
    return [
      h("a", { href: "#/", class: "brand" }, h("img", { src: "icon.svg", alt: "", width: 28, height: 28 }), "Debitum"),
      h("nav", { "aria-label": say("Sections") }, links),
    ];
  }

  #standing() {
    if (!this.device.signedIn) return [];
    const { version, hash } = this.device.head;
    const { pending, live } = this.device;
    const word = this.line.cut
      ? say("Working offline")
      : live
        ? say("Live")
        : navigator.onLine
          ? say("Connecting")
          : say("Offline");
    return [
      h("span", { class: live ? "lamp on" : "lamp", role: "status", id: "live" }, word),
      h("span", { id: "pending" }, say("Waiting to be sent: {count}", { count: pending })),
      h("a", { href: "#/log", id: "head", title: hash }, say("Version {version}", { version }), " ", h("code", {}, short(hash))),
    ];
  }

  /** Stay in sync for as long as the page is open. */
  async follow() {
    this.#following?.abort();
    const following = (this.#following = new AbortController());
    const { signal } = following;
    this.trouble = null;
    keepForGood();
    this.#learnUser();
    try {
      if (this.device.head.version === 0) await this.device.firstScreen().catch(() => {}); // the log will tell as well
      await this.device.follow(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof SignedOut) await this.device.logout();
      following.abort();
      if (error instanceof SignedOut && this.#following === following) this.#following = null;
      this.trouble = error instanceof SignedOut ? say("Sign in again: what you wrote down is kept.") : inWords(error);
      this.changed();
    }
  }

  /** Leave the server alone. */
  unfollow() {
    this.#following?.abort();
  }

  /** Write down something new, and offer to take it back. */
  write(kind, fields) {
    return this.act(async (device) => (await device.create(kind, fields)).event, say("Written down."));
  }

  /** Do what `act` does to the device, and offer to take it back: it resolves to the id of its event. */
  async act(act, text) {
    try {
      const eventId = await act(this.device);
      toast(
        text,
        eventId && {
          word: say("Undo"),
          act: () => this.act((device) => device.undo(eventId).then(() => undefined), say("Undone.")),
        },
      );
    } catch (error) {
      toast(inWords(error));
    }
  }
}

const refuse = (text) => show(document.querySelector("main"), h("p", { class: "banner", role: "alert" }, text));

// Hashes, locks and the store of a device are there only where nobody can listen in.
if (isSecureContext) {
  new App().start().catch((error) => refuse(error.message));
} else {
  await speak();
  refuse(say("This page needs HTTPS, or to be opened on the machine that serves it."));
}
keepForOffline();

// What waits to be sent is here alone: a browser that is short of space takes what nobody has asked it to keep.
async function keepForGood() {
  try {
    if (!(await navigator.storage.persisted())) await navigator.storage.persist();
  } catch {
    // this browser keeps nothing for good
  }
}

// The address of the worker is the one text of this page that becomes code: browsers want that to be said (Trusted Types).
function keepForOffline() {
  if (!("serviceWorker" in navigator)) return;
  const address = new URL("../sw.js", import.meta.url).href;
  const policy = globalThis.trustedTypes?.createPolicy("debitum", { createScriptURL: () => address });
  navigator.serviceWorker.register(policy?.createScriptURL("") ?? address).catch(() => {}); // without it the page needs the network
}
