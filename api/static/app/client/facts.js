// Facts as a device reads them: the chain that proves them, and the folding of their changes. No rules are needed.

import { BrokenLog } from "./errors.js";
import { canonical, same } from "./json.js";

const utf8 = new TextEncoder();

/** What the hash of `fact` covers: its canonical JSON without `hash`. */
export function content(fact) {
  const { hash, ...covered } = fact;
  return canonical(covered);
}

/**
 * The contents of facts that follow the one at `seq` whose hash is `previous` (null at 0), in their order.
 * Throws BrokenLog unless each is the one behind the one before.
 */
export async function proven(facts, seq, previous) {
  const contents = facts.map(content);
  const digests = await Promise.all(contents.map((covered) => sha256(utf8.encode(covered))));
  let before = previous === null ? new Uint8Array() : bytes(previous);
  for (const [index, fact] of facts.entries()) {
    const expected = seq + index + 1;
    if (fact.seq !== expected) throw new BrokenLog(`seq ${expected} is missing: ${fact.seq} came`);
    before = await sha256(joined(before, digests[index]));
    if (fact.hash !== hex(before)) {
      throw new BrokenLog(`seq ${expected}: the hash is not that of this fact behind the one before`);
    }
  }
  return contents;
}

const sha256 = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-256", data));
const hex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
const bytes = (text) => Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));

function joined(one, other) {
  const whole = new Uint8Array(one.length + other.length);
  whole.set(one);
  whole.set(other, one.length);
  return whole;
}

/** An entity's fields after one change; those that are null are left out. Throws BrokenLog where it was not as the change says. */
export function changed(before, change, seq) {
  if ((before === undefined) !== (change.op === "create")) {
    throw new BrokenLog(`seq ${seq}: ${change.op} of ${change.aggregate_type} ${change.aggregate_id}`);
  }
  const fields = { ...before };
  for (const [name, [was, becomes]] of Object.entries(change.fields)) {
    if (!same(fields[name] ?? null, was)) throw new BrokenLog(`seq ${seq}: ${name} was not what the fact says that it was`);
    fields[name] = becomes;
  }
  return present(fields);
}

/** The event id of the conflict that the fact settles: one that met a conflict itself settles nothing. */
export const settles = (fact) => (fact.status === "accepted" ? fact.event_data.resolves?.toLowerCase() : undefined);

/** The event id of the fact that it takes back. */
export const undoes = (fact) => fact.event_data.undone_event_id?.toLowerCase();

/** What an entity will probably look like once the command `item` is accepted: what to show meanwhile. */
export function foresee(fields, item, undone) {
  const { event_type: what, event_data: data, timestamp } = item;
  if (what === "CREATED") return fields ?? present(data);
  if (fields === undefined) return undefined;
  if (what === "UPDATED") {
    const { resolves, ...patch } = data;
    return present({ ...fields, ...patch });
  }
  if (what === "DELETED") return { deleted_at: timestamp, ...fields };
  if (what === "RESTORED") return without(fields, "deleted_at");
  return undone === undefined ? fields : takenBack(fields, item, undone);
}

function takenBack(fields, item, undone) {
  for (const change of undone.changes.filter((one) => one.aggregate_id === item.aggregate_id)) {
    if (change.op === "create") return { ...fields, deleted_at: item.timestamp };
    const before = Object.entries(change.fields).map(([name, [was]]) => [name, was]);
    fields = present({ ...fields, ...Object.fromEntries(before) });
  }
  return fields;
}

function without(fields, name) {
  const { [name]: gone, ...rest } = fields;
  return rest;
}

const present = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));

/** What a debt moves in its contact's account of its currency, in minor units; positive: they owe the user. 0 for a thing. */
export function moves(fields) {
  if (fields.deleted_at !== undefined || (fields.type ?? "money") !== "money") return 0;
  return fields.direction === "lent" ? fields.amount : -fields.amount;
}

/** Minor units by contact and currency, of [key, fields] of entities, without what is zero: {contact: {currency: amount}}. */
export function balances(entities) {
  const sums = {};
  for (const [{ kind }, fields] of entities) {
    const amount = kind === "transaction" ? moves(fields) : 0;
    if (amount === 0) continue;
    const accounts = (sums[fields.contact_id] ??= {});
    accounts[fields.currency] = (accounts[fields.currency] ?? 0) + amount;
    if (accounts[fields.currency] === 0) delete accounts[fields.currency];
  }
  return Object.fromEntries(Object.entries(sums).filter(([, accounts]) => Object.keys(accounts).length > 0));
}
