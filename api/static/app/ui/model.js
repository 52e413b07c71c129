// What the screens show, computed from what the device has; nothing here asks the server or changes anything.

import { moves } from "../client/facts.js";
import { askedFor, wordsOf } from "./letters.js";

// Fields never change, they are replaced: what was made of them once is good for as long as they are there.
const made = new WeakMap();

function named({ id, born }, fields) {
  if (!made.has(fields)) made.set(fields, { id, born, ...fields });
  return made.get(fields);
}

/** Everything as the user expects it, by kind and id, and what follows from it. */
export class Book {
  contacts = new Map();
  debts = new Map();
  reminders = new Map();
  #kinds = { contact: this.contacts, transaction: this.debts, reminder: this.reminders };
  #entries = new Map(); // money, by contact and currency
  #open = new Map(); // what is open of each, by contact and currency: computed where it is asked for
  #accounts = new Map();
  #openItems = new Map();

  /** `shown`: [{kind, id, born}, fields] pairs, as a device shows them. */
  constructor(shown) {
    for (const [key, fields] of shown) this.#kinds[key.kind]?.set(key.id, named(key, fields));
    for (const some of [this.debts, this.reminders]) this.#takeAlong(some);
    for (const contact of this.contacts.values()) this.#believe(contact);
    for (const debt of this.debts.values()) this.#count(debt);
  }

  // What hangs on a deleted contact goes with it, also before the server has said so.
  #takeAlong(some) {
    for (const [id, one] of some) {
      const deleted_at = this.contacts.get(one.contact_id)?.deleted_at;
      if (deleted_at !== undefined && isLive(one)) some.set(id, { ...one, deleted_at });
    }
  }

  // Until the log is folded contacts come with their balances, and debts of which they are the sums with a version.
  #believe(contact) {
    if (contact.balances === undefined) return;
    this.#accounts.set(contact.id, new Map(contact.balances.map(({ currency, amount }) => [currency, amount])));
    this.#openItems.set(contact.id, contact.open_items);
  }

  #count(debt) {
    const contact = this.contacts.get(debt.contact_id);
    if (!isLive(debt)) return;
    if (!isItem(debt)) entry(this.#entries, accountOf(debt), () => []).push(debt);
    if (contact?.balances !== undefined && debt.version !== undefined) return;
    if (!isItem(debt)) {
      const account = entry(this.#accounts, debt.contact_id, () => new Map());
      account.set(debt.currency, (account.get(debt.currency) ?? 0) + moves(debt));
    } else if (debt.returned_at === undefined) {
      this.#openItems.set(debt.contact_id, (this.#openItems.get(debt.contact_id) ?? 0) + 1);
    }
  }

  /** One of them, as the user expects it; undefined where there is none. */
  entity(kind, id) {
    return this.#kinds[kind]?.get(id);
  }

  /** [[currency, minor units]] of a contact, by currency, without what is zero; positive: they owe the user. */
  balances(contactId) {
    return byCurrency(this.#accounts.get(contactId) ?? new Map()).filter(([, amount]) => amount !== 0);
  }

  /** How many things of a contact are not back. */
  openItems(contactId) {
    return this.#openItems.get(contactId) ?? 0;
  }

  /** [[currency, {owedToYou, youOwe, net}]] over all contacts. */
  totals() {
    const sums = new Map();
    for (const account of this.#accounts.values()) {
      for (const [currency, amount] of account) {
        const sum = sums.get(currency) ?? { owedToYou: 0, youOwe: 0, net: 0 };
        sums.set(currency, sum);
        sum[amount > 0 ? "owedToYou" : "youOwe"] += Math.abs(amount);
        sum.net += amount;
      }
    }
    return byCurrency(sums).filter(([, { owedToYou, youOwe }]) => owedToYou > 0 || youOwe > 0);
  }

  /** What of money is still open, in minor units; of a thing and of what is deleted: 0. */
  open(debt) {
    if (!this.#entries.has(accountOf(debt))) return 0;
    const open = entry(this.#open, accountOf(debt), () => openAmounts(this.#entries.get(accountOf(debt))));
    return open.get(debt.id) ?? 0;
  }

  /** Debts and things that are not settled and have a due date, by it. */
  due() {
    const due = [...this.debts.values()].filter((debt) => this.#isDue(debt));
    return due.sort((one, other) => (one.due_date < other.due_date ? -1 : 1));
  }

  /** Whether the due date of one of these is past. */
  overdue(debt, today) {
    return this.#isDue(debt) && debt.due_date < today;
  }

  #isDue(debt) {
    return isLive(debt) && debt.due_date !== undefined && (isItem(debt) ? debt.returned_at === undefined : this.open(debt) > 0);
  }

  /** The debts and things of a contact, newest first. */
  debtsOf(contactId) {
    return [...this.debts.values()].filter((debt) => debt.contact_id === contactId).sort(newestFirst);
  }

  /** Live contacts by name, in the order of `language`. */
  contactsByName(language) {
    const order = new Intl.Collator(language).compare;
    return [...this.contacts.values()].filter(isLive).sort((one, other) => order(one.name, other.name));
  }

  /** The name of a contact, also where it has just been deleted. */
  nameOf(contactId) {
    return this.contacts.get(contactId)?.name ?? "?";
  }

  /** Contacts and debts that have a word beginning with each of the words of `query`; accents and case do not count. */
  search(query) {
    const wanted = askedFor(query);
    if (wanted.length === 0) return [];
    const fits = (...texts) => {
      const words = wordsOf(texts.filter(Boolean).join(" "));
      return wanted.every((begin) => words.some((word) => word.startsWith(begin)));
    };
    const people = [...this.contacts.values()].filter(isLive);
    const debts = [...this.debts.values()].filter(isLive).sort(newestFirst);
    return [
      ...people.filter((one) => fits(one.name, one.username, one.email, one.notes)).map((found) => ({ kind: "contact", found })),
      ...debts
        .filter((one) => fits(one.description, one.item, this.contacts.get(one.contact_id)?.name))
        .map((found) => ({ kind: "transaction", found })),
    ];
  }

  /** [{date, net}] of a currency: what all together owed the user at the end of each day on which that changed, oldest first. */
  history(currency) {
    const days = new Map();
    for (const debt of [...this.#entries.values()].flat().filter((one) => one.currency === currency)) {
      days.set(debt.transaction_date, (days.get(debt.transaction_date) ?? 0) + moves(debt));
    }
    let net = 0;
    return [...days].sort(([one], [other]) => (one < other ? -1 : 1)).map(([date, amount]) => ({ date, net: (net += amount) }));
  }
}

/**
 * What is still open of live money of one contact and currency: Map of id and minor units. Repayments pay the debts that they name;
 * what is left of them, and what names nothing, pays the other direction's debts, the oldest first (domain/allocation.py).
 */
export function openAmounts(entries) {
  const live = [...entries].sort(byAge);
  const byId = new Map(live.map((one) => [one.id, one]));
  const free = new Map(live.map(({ id, amount }) => [id, amount]));
  for (const link of live) {
    const debt = byId.get(link.repays);
    if (debt === undefined || debt.direction === link.direction || debt.repays !== undefined) continue;
    const applied = Math.min(link.amount, free.get(debt.id));
    free.set(debt.id, free.get(debt.id) - applied);
    free.set(link.id, free.get(link.id) - applied);
  }
  const pools = { lent: 0, owed: 0 };
  for (const { id, direction } of live) pools[direction === "lent" ? "owed" : "lent"] += free.get(id);
  const open = new Map();
  for (const { id, direction } of live) {
    const paid = Math.min(free.get(id), pools[direction]);
    pools[direction] -= paid;
    open.set(id, free.get(id) - paid);
  }
  return open;
}

// From when on it was due; then in the order of the log, in which what it does not have yet comes last.
function byAge(one, other) {
  const [left, right] = [one, other].map(({ due_date, transaction_date, born = Infinity, id }) => [
    due_date ?? transaction_date,
    born,
    id,
  ]);
  const at = left.findIndex((value, index) => value !== right[index]);
  return at < 0 ? 0 : left[at] < right[at] ? -1 : 1;
}

const accountOf = ({ contact_id, currency }) => `${contact_id} ${currency}`;

function entry(map, key, make) {
  if (!map.has(key)) map.set(key, make());
  return map.get(key);
}

export const isItem = (debt) => debt.type === "item";
export const isLive = (entity) => entity.deleted_at === undefined;

const byCurrency = (map) => [...map].sort(([one], [other]) => (one < other ? -1 : 1));

const newestFirst = (one, other) => {
  const [left, right] = [one.transaction_date ?? "", other.transaction_date ?? ""];
  return left === right ? (one.id < other.id ? 1 : -1) : left < right ? 1 : -1;
};

/**
 * How a balance came about, from the log alone, seq ascending: [{seq, event_id, transaction_id, amount, effective_date, recorded_at,
 * running_total}] of a contact and currency, as /api/contacts/:id/explain has it: what an event did through one debt, in one sum.
 */
export function explained(log, contactId, currency) {
  const debts = new Map();
  const items = [];
  let running_total = 0;
  const share = (debt) => (debt?.contact_id === contactId && debt.currency === currency ? moves(debt) : 0);
  for (const { seq, id: event_id, recorded_at, changes } of log) {
    for (const { aggregate_type, aggregate_id, fields } of inOrder(changes)) {
      if (aggregate_type !== "transaction") continue;
      const before = debts.get(aggregate_id);
      const after = { ...before };
      for (const [name, [, becomes]] of Object.entries(fields)) after[name] = becomes ?? undefined;
      debts.set(aggregate_id, after);
      const amount = share(after) - share(before);
      if (amount === 0) continue;
      running_total += amount;
      const effective_date = (share(after) === 0 ? before : after).transaction_date;
      items.push({ seq, event_id, transaction_id: aggregate_id, amount, effective_date, recorded_at, running_total });
    }
  }
  return items;
}

const inOrder = (changes) => [...changes].sort((one, other) => (one.aggregate_id < other.aggregate_id ? -1 : 1));
