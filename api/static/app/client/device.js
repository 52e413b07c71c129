// One device of one user: acts offline, agrees with the server when it meets it, shows what came of it.

import { areOutcomesOf, isHead, isMeta, isPage } from "./answers.js";
import { BrokenLog, Refused, Reset, Unavailable, Unsendable } from "./errors.js";
import { balances, foresee } from "./facts.js";
import { uuid7 } from "./ids.js";
import { carries, sizeOf } from "./json.js";
import { Bell, follow } from "./live.js";
import { Session } from "./session.js";
import { keyOf, Store } from "./store.js";
import { Wire } from "./wire.js";

const MOST_EVENTS = 500; // of a push; the server takes that and 1 MiB
const MOST_BYTES = 900_000;
const MOST_LEVELS = 100; // of lists and objects in a command: the server reads some hundreds, and ours have five
const PAGE = 1_000;
const BEFORE_DEBTS = new Set([undefined, "contact"]); // kinds in the answer of /api/sync/state
const MOST_TRIES = 3; // of what waits for others, in one sync: they may be writing faster than we ask
const MOST_RESETS = 3; // in one sync: a server that is put back more often while it is asked is left alone for a while

/**
 * What the user does is kept in the database of `name` before anything else happens; `sync` and `follow` bring it home.
 *
 * `network` (like fetch), `connect` (a WebSocket to a URL), `clock` (milliseconds), `newId` and `timestamp` (of an act) stand for the
 * world, so that a test can be one. `onChange` is called whenever there is something else to show, `onGone` once the database is not
 * to be had any more: another tab erases it, or has a newer page that brings it into another form.
 */
export class Device {
  #name;
  #server;
  #store;
  #wire;
  #session;
  #connect;
  #newId;
  #timestamp;
  #onChange;
  #bell = new Bell();
  #pushedAt = 0; // how much of the log was folded when something was last sent
  #preview = null; // {version, entities}: what the server says is there, until the log is folded that says so too
  #live = false;
  #tabs; // this device's, which share the one feed that the first of them has open

  /** The device that is kept under `name` in this browser; it is made where there is none. */
  static async open(name, { server = location.origin, label = name, onChange = () => {}, onGone, ...world } = {}) {
    const device = new Device();
    device.#name = name;
    const { network = (...request) => fetch(...request), clock = Date.now } = world;
    device.#server = server;
    device.#connect = world.connect ?? ((url) => new WebSocket(url));
    device.#newId = world.newId ?? (() => uuid7(clock()));
    device.#timestamp = world.timestamp ?? (() => new Date(clock()).toISOString());
    device.#onChange = onChange;
    device.#wire = new Wire(server, network);
    const changed = () => {
      device.#dropPreview();
      device.#bell.ring();
      onChange();
    };
    device.#store = await Store.open(name, changed, onGone);
    await device.#beNamed();
    device.#tabs = new BroadcastChannel(`${device.#store.name}-feed`);
    device.#tabs.onmessage = ({ data }) => device.#hear(data);
    device.#tabs.postMessage("who");
    device.#session = new Session(device.#wire, device.#store, clock, { id: device.id, name: label });
    return device;
  }

  // One id, however many tabs open for the first time at once.
  async #beNamed() {
    await navigator.locks.request(`${this.#store.name}-id`, async () => {
      await this.#store.refresh();
      if (this.id === undefined) await this.#store.remember({ device_id: this.#newId() });
    });
  }

  /** Let go of the database and of the other tabs. */
  close() {
    this.#tabs.close();
    this.#store.close();
  }

  /** Let go of them, and forget everything: what waits to be sent, too. */
  async erase() {
    this.close();
    await Store.erase(this.#name);
  }

  /** The id under which the server knows this device, the same as long as the database is. */
  get id() {
    return this.#store.remembered("device_id");
  }

  // --- signing in ---------------------------------------------------------------------------------------------------------

  /** Create an account; `profile`: name, time_zone, locale, default_currency, invite. Throws as `login`, and MailFollows. */
  async register(email, password, profile = {}) {
    await this.#session.enter("/api/auth/register", { email, password, ...profile });
    this.#bell.ring();
  }

  /** Sign in, under the id that the device has had from the first. Throws Refused, Unavailable, AnotherAccount. */
  async login(email, password) {
    await this.#session.enter("/api/auth/login", { email, password });
    this.#bell.ring();
  }

  /** Have a way to a new password mailed to that address, if somebody has it. Throws Refused, Unavailable. */
  async forgot(email) {
    await this.#wire.ask("POST", "/api/auth/password/forgot", { json: { email } });
  }

  /** Sign out; what waits to be sent goes on waiting for the next login of the same user. */
  async logout() {
    await this.#session.leave();
  }

  /** Whether somebody is signed in, as far as this device knows. */
  get signedIn() {
    return this.#session.open;
  }

  /** The user who signed in here first: the members of /api/me as of then. */
  get user() {
    return this.#store.remembered("user");
  }

  /** What the server says of itself, whether or not anybody is signed in: /api/meta. Throws Unavailable. */
  async meta() {
    return this.#wire.ask("GET", "/api/meta", { shape: isMeta });
  }

  /** A request of the signed-in user beside the log; see Wire.ask. */
  async ask(method, path, options) {
    return this.#session.ask(method, path, options);
  }

  /** An access token for requests that `ask` cannot make: downloads, and uploads that show how far they are. */
  async token() {
    return this.#session.token();
  }

  /** What the server said of itself or of the user, kept for when it cannot be asked; undefined where nothing was kept. */
  remembered(name) {
    return this.#store.remembered(name);
  }

  /** Keep `values` by name, beside the log; undefined forgets. */
  async remember(values) {
    await this.#store.remember(values);
  }

  // --- acting, online or not ----------------------------------------------------------------------------------------------

  /**
   * A new contact, transaction or reminder; {id, event}: its id and that of the event.
   * Throws, as everything that acts, Unsendable for what no request can hold: it would keep back all behind it for ever.
   */
  async create(kind, data, id = this.#newId()) {
    return { id: id.toLowerCase(), event: await this.#act(kind, id, "CREATED", data) };
  }

  /**
   * Change some members, null clears; the id of the event. `resolves`: the event id of the conflict that this settles; `base`: the
   * `shownVersion` that the user had in view, where that is not what is shown now.
   */
  async update(kind, id, data, resolves, { base } = {}) {
    return this.#act(kind, id, "UPDATED", data, resolves, { base });
  }

  /** Delete it and what hangs on it; the id of the event. */
  async delete(kind, id, resolves) {
    return this.#act(kind, id, "DELETED", {}, resolves);
  }

  /** Bring back what was deleted; the id of the event. */
  async restore(kind, id, resolves) {
    return this.#act(kind, id, "RESTORED", {}, resolves);
  }

  /** Take back what an event did, whichever device it came from, also before the log has it; the id of the event that does it. */
  async undo(eventId) {
    const fact = (await this.#store.fact(eventId)) ?? this.#imagined(eventId);
    if (fact === undefined) throw new RangeError(`${eventId} is neither in the log nor waiting`);
    return this.#act(fact.aggregate_type, fact.aggregate_id, "UNDO", { undone_event_id: eventId }, undefined, { undone: fact });
  }

  async #act(kind, id, what, data, resolves, { undone, base } = {}) {
    const item = {
      id: this.#newId(),
      aggregate_type: kind,
      aggregate_id: id.toLowerCase(), // as the log will have it
      event_type: what,
      event_data: resolves === undefined ? data : { ...data, resolves },
      timestamp: this.#timestamp(),
      version: 1,
    };
    if (!carries(item, MOST_LEVELS)) throw new Unsendable("a command with something that JSON cannot hold");
    const size = sizeOf(item);
    if (size > MOST_BYTES) throw new Unsendable(`a command of ${size} bytes: the server takes ${MOST_BYTES} at most`);
    await this.#store.queue(item, undone, base);
    return item.id;
  }

  // The fact that a waiting command will probably become.
  #imagined(eventId) {
    const commands = this.#store.pending();
    const at = commands.findIndex(({ item }) => item.id === eventId);
    if (at < 0) return undefined;
    const { aggregate_type, aggregate_id } = commands[at].item;
    const key = keyOf(aggregate_type, aggregate_id);
    const before = this.#expected(commands.slice(0, at)).get(key);
    const after = this.#expected(commands.slice(0, at + 1)).get(key) ?? {};
    const names = Object.keys({ ...before, ...after });
    const fields = Object.fromEntries(names.map((name) => [name, [before?.[name] ?? null, after[name] ?? null]]));
    return {
      aggregate_type,
      aggregate_id,
      changes: [{ aggregate_type, aggregate_id, op: before ? "update" : "create", fields }],
    };
  }

  // --- looking ------------------------------------------------------------------------------------------------------------

  /** {version, hash} of what is folded: two devices agree if and only if these are equal. */
  get head() {
    return this.#store.head;
  }

  /** The version of what is shown without what waits: ahead of the head while the log is not folded. */
  get shownVersion() {
    return this.#preview?.version ?? this.head.version;
  }

  /** How many commands are not in the folded log yet and not refused either. */
  get pending() {
    return this.#store.count("queued", "acknowledged");
  }

  /** Whether the feed of the server is open. */
  get live() {
    return this.#live;
  }

  /** How many conflicts nobody has settled, and how many commands were refused. */
  get troubles() {
    return { conflicts: this.#store.unsettled, rejections: this.#store.count("waiting", "rejected") };
  }

  /** [{kind, id}, fields] of everything as the log has it, deleted things too; no device that agrees has another. */
  *state() {
    for (const [key, fields] of this.#store.entities()) yield [this.#store.parts(key), fields];
  }

  /**
   * [{kind, id, born}, fields] of everything as the user expects it, deleted things too: with what this device did and the log has
   * not yet. `born`: the seq of the fact that created it, undefined where there is none yet.
   */
  shown() {
    return Array.from(this.#expected(this.#store.pending()), ([key, fields]) => [this.#store.parts(key), fields]);
  }

  #expected(commands) {
    this.#dropPreview();
    const expected = new Map(this.#preview?.entities ?? this.#store.entities());
    for (const { item, undone } of commands) {
      const key = keyOf(item.aggregate_type, item.aggregate_id);
      const fields = foresee(expected.get(key), item, undone);
      if (fields !== undefined) expected.set(key, fields);
    }
    return expected;
  }

  /** What the log says that is owed, {contact: {currency: minor units}}; positive: they owe the user. */
  balances() {
    return balances(this.state());
  }

  /** The facts behind `since`, oldest first. */
  async log(since = 0) {
    return this.#store.facts(since);
  }

  /** What the user should look at: the facts of conflicts that nobody has settled, and {command, …outcome} of what was refused. */
  async attention() {
    return { conflicts: await this.#store.openConflicts(), rejections: this.#store.refused() };
  }

  /** Drop a command that the server did not take from the list. */
  async dismiss(eventId) {
    await this.#store.drop(eventId);
  }

  // --- meeting the server -------------------------------------------------------------------------------------------------

  /**
   * Pull, push what waits, pull what came of it; the head. One push is in flight at a time, in the order of the acts.
   * Throws Unavailable (nothing is known of a push in flight: it is sent again under the same ids), SignedOut, BrokenLog, Refused.
   */
  async sync() {
    return navigator.locks.request(`${this.#store.name}-sync`, async () => {
      await this.#store.refresh();
      for (let resets = 0, tries = 0; ;) {
        try {
          await this.#pull();
          if (tries < MOST_TRIES && (await this.#sendWhatWaited())) tries += 1;
          if (!(await this.#push())) return this.head;
        } catch (error) {
          if (!(error instanceof Reset)) throw error;
          if (++resets > MOST_RESETS) throw new Unavailable("the server was put back again and again");
          await this.#store.startOver(error.problem.common_version ?? (await this.#commonVersion()));
        }
      }
    });
  }

  /**
   * What is there by the server's word, for a device that has not pulled yet: shown until the log is folded, and never kept.
   * Contacts come first, with their balances: they are shown while the rest is still on its way. Throws as `ask`.
   */
  async firstScreen() {
    const found = { version: undefined, entities: new Map() };
    const take = (lines) => {
      for (const { kind, ...fields } of lines) {
        if (kind !== undefined) found.entities.set(keyOf(kind, fields.id), withoutNulls(fields));
        else if (isHead(fields)) found.version = fields.version;
      }
      if (!this.#isAhead(found) || this.#preview === found || BEFORE_DEBTS.has(lines.at(-1).kind)) return;
      this.#preview = found;
      this.#onChange();
    };
    await this.ask("GET", "/api/sync/state", { onLines: take });
    if (found.version === undefined) throw new Unavailable("an answer without a head");
    if (this.#isAhead(found)) this.#preview = found;
    this.#onChange();
  }

  // Of what is folded here, whichever tab did it; what has no version yet is not.
  #isAhead({ version }) {
    return version > this.head.version;
  }

  #dropPreview() {
    if (this.#preview !== null && !this.#isAhead(this.#preview)) this.#preview = null;
  }

  /** Stay in sync until `signal` aborts, through every loss of the connection; one tab does it for all of this device. */
  async follow(signal) {
    const work = () => {
      this.#turnLive(false); // whoever did it before may have had no time to say so
      return follow({
        session: this.#session,
        sync: () => this.sync(),
        isNews: (head) => this.#isNews(head),
        bell: this.#bell,
        connect: () => this.#connect(this.#server.replace(/^http/, "ws") + "/api/sync/ws"),
        onLive: (live) => this.#turnLive(live),
        signal,
      });
    };
    await navigator.locks.request(`${this.#store.name}-follow`, { signal }, work);
  }

  /** Try again now: the network is back, or somebody asks. */
  stir() {
    this.#bell.ring();
  }

  #turnLive(live) {
    if (live === this.#live) return;
    this.#live = live;
    this.#tabs.postMessage(live);
    this.#onChange();
  }

  // What another tab says of the feed, or asks.
  #hear(message) {
    if (message === "who") {
      if (this.#live) this.#tabs.postMessage(true);
    } else {
      this.#live = message;
      this.#onChange();
    }
  }

  #isNews(head) {
    const here = this.head;
    return head.version !== here.version || head.hash !== here.hash || this.#store.count("queued") > 0 || this.#mayPassNow();
  }

  #page({ version, hash }) {
    return this.ask("POST", "/api/sync/pull", { json: { since: version, hash, limit: PAGE }, shape: isPage });
  }

  async #pull() {
    const acknowledged = this.#store.acknowledged();
    let page;
    let coming = this.#page(this.head);
    do {
      page = await coming;
      if (page.has_more) {
        const { seq, hash } = page.events.at(-1);
        coming = this.#page({ version: seq, hash }); // while this one is folded
        coming.catch(() => {}); // it is awaited above, unless this one proves to be wrong
      }
      await this.#store.fold(page.events, this.id);
    } while (page.has_more);
    const { version, hash } = this.head;
    if (version !== page.version || hash !== page.hash) {
      throw new BrokenLog(`the log ends at ${page.version} by the server's word, and at ${version} in fact`);
    }
    if (this.#preview !== null) {
      this.#preview = null;
      this.#onChange();
    }
    // A backup was restored that holds no less than what this device had folded, so that nothing contradicted it.
    const still = this.#store.acknowledged();
    await this.#store.queueAgain([...acknowledged].filter((id) => still.has(id)));
  }

  // What was refused because something was unknown is sent again once the log has grown; whether there is any.
  async #sendWhatWaited() {
    const waits = this.#mayPassNow();
    if (waits) await this.#store.queueWaiting();
    return waits;
  }

  #mayPassNow() {
    return this.head.version !== this.#pushedAt && this.#store.count("waiting") > 0;
  }

  // Send the first of what waits; whether there was anything.
  async #push() {
    const events = this.#store.batch(MOST_EVENTS, MOST_BYTES);
    if (events.length === 0) return false;
    const base_hash = await this.#store.hashAt(Math.max(...events.map(({ base_seq }) => base_seq)));
    const answer = await this.ask("POST", "/api/sync/push", { json: { events, base_hash }, shape: areOutcomesOf(events) });
    await this.#store.settle(answer.results);
    this.#pushedAt = this.head.version;
    return true;
  }

  // The last seq where this device's log and the server's are the same.
  async #commonVersion() {
    const { version } = await this.ask("GET", "/api/sync/hash", { shape: isHead });
    let [low, high] = [0, Math.min(this.head.version, version)];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      const there = await this.#hashThere(middle);
      if (there !== null && there === (await this.#store.hashAt(middle))) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  async #hashThere(seq) {
    try {
      return (await this.ask("GET", "/api/sync/hash", { query: { seq }, shape: isHead })).hash;
    } catch (error) {
      if (error instanceof Refused) return null; // the log has become shorter still
      throw error;
    }
  }
}

const withoutNulls = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
