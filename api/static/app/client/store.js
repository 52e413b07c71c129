// What a device keeps: one IndexedDB database with its log, the state folded from it, and the commands of its user.
//
// All of it but the log is in memory too, as of the last transaction. It changes in transactions: a tab that is closed is after its
// last one or before it. Tabs of one device share the database, and tell each other what changed.

import { BrokenLog } from "./errors.js";
import { changed, proven, settles, undoes } from "./facts.js";
import { sizeOf } from "./json.js";

const SCHEMA = 1;
const STORES = ["meta", "facts", "entities", "conflicts", "commands"];

/** Rejections of which the server remembers nothing: what the command needs may still come, from another device. */
const MAY_COME_AGAIN = new Set([
  "unknown_contact",
  "unknown_aggregate",
  "unknown_event",
  "unknown_conflict",
  "dependency_failed",
  "too_many_changes",
]);

export const keyOf = (kind, id) => `${kind} ${id}`;

function keyParts(key) {
  const [kind, id] = key.split(" ");
  return { kind, id };
}

export class Store {
  #file;
  #others;
  #name;
  #meta;
  #entities;
  #keys;
  #conflicts;
  #commands;
  #told;
  #stale = false;
  #revision;

  /**
   * The store of the device `name` of this browser; `onChange` is called after each change, whichever tab made it, `onGone` once
   * another tab erases the store or brings it into a newer form: this one has let go of it, for else that tab would wait for ever.
   */
  static async open(name, onChange = () => {}, onGone = () => {}) {
    const store = new Store();
    store.#name = `debitum-${name}`;
    store.#file = await opened(store.#name);
    store.#file.onversionchange = () => {
      store.close();
      onGone();
    };
    store.#told = onChange;
    store.#others = new BroadcastChannel(store.#name);
    store.#others.onmessage = async () => {
      await store.refresh();
      onChange();
    };
    await store.#load();
    return store;
  }

  /** Let go of the database. */
  close() {
    this.#others.close();
    this.#file.close();
  }

  /** Forget everything that is kept under `name`, in every tab. */
  static async erase(name) {
    await done(indexedDB.deleteDatabase(`debitum-${name}`));
  }

  /** The name by which the tabs of this device find each other. */
  get name() {
    return this.#name;
  }

  /** Read again what another tab has changed, if any has. */
  async refresh() {
    const known = this.#revision; // this tab may go on to write while it asks
    const row = await done(this.#file.transaction("meta").objectStore("meta").get("revision"));
    if (this.#stale || row?.value !== known) await this.#load();
  }

  async #load() {
    this.#stale = false;
    let rows, revision;
    do {
      revision = this.#revision;
      rows = await this.#rows();
    } while (revision !== this.#revision); // this tab has begun to write meanwhile
    const [meta, entities, conflicts, commands] = rows;
    this.#meta = new Map(meta.map(({ name, value }) => [name, value]));
    this.#entities = new Map(entities.map(({ key, fields }) => [key, fields]));
    this.#keys = new Map(entities.map(({ key, born }) => [key, { ...keyParts(key), born }]));
    this.#conflicts = new Map(conflicts.map((conflict) => [conflict.event_id, conflict]));
    this.#commands = new Map(commands.map((command) => [command.item.id, command]));
    this.#revision = this.#meta.get("revision");
  }

  // What is read waits for whoever writes already.
  #rows() {
    const transaction = this.#file.transaction(STORES);
    const all = (store) => done(transaction.objectStore(store).getAll());
    return Promise.all([all("meta"), all("entities"), all("conflicts"), all("commands")]);
  }

  // Several stores, one transaction; what `work` did to the memory is read again where the transaction fails.
  async #write(work, durability = "strict") {
    const transaction = this.#file.transaction(STORES, "readwrite", { durability });
    const ended = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error ?? new DOMException("aborted", "AbortError"));
    });
    ended.catch(() => {}); // it is awaited below, unless `work` fails first
    const store = (name) => transaction.objectStore(name);
    try {
      const [known, revision] = [this.#revision, crypto.randomUUID()];
      store("meta").get("revision").onsuccess = ({ target }) => (this.#stale ||= target.result?.value !== known);
      this.#set(store, "revision", (this.#revision = revision));
      await work(store);
      transaction.commit();
      await ended;
    } catch (error) {
      try {
        transaction.abort();
      } catch {
        // it has ended already
      }
      await this.#load();
      throw error;
    }
    this.#others.postMessage("changed");
    this.#told();
  }

  // --- settings -------------------------------------------------------------------------------------------------------

  /** The value of `name`, undefined where there is none. */
  remembered(name) {
    return this.#meta.get(name);
  }

  /** Keep `values`; undefined forgets. */
  async remember(values) {
    await this.#write((store) => {
      for (const [name, value] of Object.entries(values)) this.#set(store, name, value);
    });
  }

  #set(store, name, value) {
    if (value === undefined) {
      this.#meta.delete(name);
      store("meta").delete(name);
    } else {
      this.#meta.set(name, value);
      store("meta").put({ name, value });
    }
  }

  // --- the log and what follows from it ---------------------------------------------------------------------------------

  /** {version, hash}: the seq that is folded, and the chain's hash there; 0 and null before the first. */
  get head() {
    return this.#meta.get("head") ?? { version: 0, hash: null };
  }

  /** The chain's hash at `seq`, null before the first and behind the last. */
  async hashAt(seq) {
    const row = await done(this.#facts().get(seq));
    return row?.hash ?? null;
  }

  /** The fact of that event, undefined where the log has none. */
  async fact(eventId) {
    const row = await done(this.#facts().index("id").get(eventId));
    return row && factOf(row);
  }

  /** The facts behind `since`, oldest first. */
  async facts(since = 0) {
    const rows = await done(this.#facts().getAll(IDBKeyRange.lowerBound(since, true)));
    return rows.map(factOf);
  }

  #facts() {
    return this.#file.transaction("facts").objectStore("facts");
  }

  /**
   * Verify and fold facts that follow the head; those of `deviceId` are commands of ours that have come home.
   * Throws BrokenLog: then nothing of the page is folded.
   */
  async fold(page, deviceId) {
    const { version, hash } = this.head;
    const contents = await proven(page, version, hash);
    if (page.length === 0) return;
    await this.#write(async (store) => {
      const facts = store("facts");
      for (const [index, fact] of page.entries()) {
        const row = { seq: fact.seq, id: fact.id, hash: fact.hash, content: contents[index] };
        facts.add(row).onerror = (event) => event.stopPropagation();
        this.#fold(store, fact);
        const command = this.#commands.get(fact.id);
        if (fact.device_id === deviceId && command !== undefined) this.#turn(store, command, "folded");
      }
      const last = page.at(-1);
      this.#set(store, "head", { version: last.seq, hash: last.hash });
    }, "relaxed").catch((error) => {
      throw error.name === "ConstraintError" ? new BrokenLog("an event is in the log twice") : error;
    });
  }

  #fold(store, fact) {
    for (const change of fact.changes) {
      const key = keyOf(change.aggregate_type, change.aggregate_id);
      const fields = changed(this.#entities.get(key), change, fact.seq);
      if (change.op === "create") this.#keys.set(key, { ...keyParts(key), born: fact.seq });
      this.#entities.set(key, fields);
      store("entities").put({ key, fields, born: this.#keys.get(key).born });
    }
    const settle = (conflict, by) => this.#settle(store, { ...conflict, resolved_by: by });
    if (fact.conflict !== undefined) this.#settle(store, { event_id: fact.id, seq: fact.seq, resolved_by: null });
    const settled = this.#conflicts.get(settles(fact));
    if (settled !== undefined) settle(settled, fact.id);
    const undone = undoes(fact);
    if (undone === undefined) return;
    for (const conflict of this.#conflicts.values()) if (conflict.resolved_by === undone) settle(conflict, null);
  }

  #settle(store, conflict) {
    this.#conflicts.set(conflict.event_id, conflict);
    store("conflicts").put(conflict);
  }

  /** {kind, id, born} of a key; `born`: the seq of the fact that created it, undefined before the log has it. */
  parts(key) {
    return this.#keys.get(key) ?? keyParts(key);
  }

  /** [key, fields] of everything as the log has it, deleted things too. */
  entities() {
    return this.#entities.entries();
  }

  /** The facts of the conflicts that nobody has settled, oldest first. */
  async openConflicts() {
    const open = this.#unsettled().sort((one, other) => one.seq - other.seq);
    return Promise.all(open.map(({ event_id }) => this.fact(event_id)));
  }

  /** How many conflicts nobody has settled. */
  get unsettled() {
    return this.#unsettled().length;
  }

  #unsettled() {
    return [...this.#conflicts.values()].filter((one) => one.resolved_by === null);
  }

  // --- the commands of the user -------------------------------------------------------------------------------------------

  /**
   * Keep a command until the log has it; its base is what is folded now, or what of it the user had in view, `base`. `undone`: the fact
   * that it takes back.
   */
  async queue(item, undone, base = Infinity) {
    const command = { item, undone, base_seq: Math.min(base, this.head.version), state: "queued" };
    await this.#write(async (store) => {
      command.ordinal = await done(store("commands").add(command));
      this.#commands.set(item.id, command);
    });
  }

  // In the order in which the user acted, whichever tab it was in.
  #inOrder(...states) {
    const found = [...this.#commands.values()].filter(({ state }) => states.includes(state));
    return found.sort((one, other) => one.ordinal - other.ordinal);
  }

  /** The first commands that wait to be sent, in the order in which the user acted. */
  batch(most, mostBytes) {
    const found = [];
    for (const { item, base_seq } of this.#inOrder("queued").slice(0, most)) {
      mostBytes -= sizeOf(item);
      if (found.length > 0 && mostBytes < 0) break;
      found.push({ ...item, base_seq });
    }
    return found;
  }

  /** How many commands are in one of `states`. */
  count(...states) {
    return this.#inOrder(...states).length;
  }

  /** Note what the server said of commands that were sent. */
  async settle(outcomes) {
    await this.#write((store) => {
      for (const outcome of outcomes) {
        const command = this.#commands.get(outcome.id);
        if (command !== undefined) this.#turn(store, { ...command, outcome }, stateAfter(outcome));
      }
    });
  }

  /** Ids of the commands that are in the log by the server's word, and have not come with it. */
  acknowledged() {
    return new Set(this.#inOrder("acknowledged").map(({ item }) => item.id));
  }

  /** Send those again that were acknowledged and did not come with the log. */
  async queueAgain(eventIds) {
    const lost = eventIds.map((id) => this.#commands.get(id)).filter((one) => one?.state === "acknowledged");
    if (lost.length > 0) await this.#write((store) => lost.forEach((command) => this.#turn(store, command, "queued")));
  }

  /** Send again what needs something that was unknown. */
  async queueWaiting() {
    await this.#write((store) => this.#inOrder("waiting").forEach((command) => this.#turn(store, command, "queued")));
  }

  #turn(store, command, state) {
    const { item } = command;
    const now = { ...command, state };
    this.#commands.set(item.id, now);
    store("commands").put(now);
  }

  /** The commands that are not in the log yet, oldest first: each {item, undone, …}. */
  pending() {
    return this.#inOrder("queued", "acknowledged");
  }

  /** The commands that the server did not take, each {command, id, status, code, detail?, errors?}, oldest first. */
  refused() {
    const rows = this.#inOrder("waiting", "rejected");
    return rows.map(({ item, base_seq, outcome }) => ({ command: { ...item, base_seq }, ...outcome }));
  }

  /** Forget a command that the server did not take. */
  async drop(eventId) {
    const command = this.#commands.get(eventId);
    if (command === undefined || !["waiting", "rejected"].includes(command.state)) return;
    await this.#write((store) => {
      this.#commands.delete(eventId);
      store("commands").delete(command.ordinal);
    });
  }

  /**
   * Forget the log; whatever is not in the server's, once that is folded, is sent again.
   * The base of each command becomes what both histories have in common, at most.
   */
  async startOver(commonVersion) {
    await this.#write((store) => {
      for (const name of ["facts", "entities", "conflicts"]) store(name).clear();
      this.#entities.clear();
      this.#keys.clear();
      this.#conflicts.clear();
      this.#set(store, "head", undefined);
      for (const command of this.#commands.values()) {
        const base_seq = Math.min(command.base_seq, commonVersion);
        this.#turn(store, { ...command, base_seq }, command.state === "rejected" ? "rejected" : "queued");
      }
    });
  }
}

async function opened(name) {
  const request = indexedDB.open(name, SCHEMA);
  request.onupgradeneeded = () => {
    const file = request.result;
    file.createObjectStore("meta", { keyPath: "name" });
    file.createObjectStore("facts", { keyPath: "seq" }).createIndex("id", "id", { unique: true });
    file.createObjectStore("entities", { keyPath: "key" });
    file.createObjectStore("conflicts", { keyPath: "event_id" });
    file.createObjectStore("commands", { keyPath: "ordinal", autoIncrement: true });
  };
  return done(request);
}

/** What a request of IndexedDB comes to. */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

const factOf = ({ content, hash }) => ({ ...JSON.parse(content), hash });

function stateAfter(outcome) {
  if (outcome.status !== "rejected") return "acknowledged";
  return MAY_COME_AGAIN.has(outcome.code) ? "waiting" : "rejected";
}
