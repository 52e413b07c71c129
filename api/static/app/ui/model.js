// What the screens show, computed from what the device has; nothing here asks the server or changes anything.

import { moves } from "../client/facts.js";

/** Everything as the user expects it, by kind and id, and what follows from it. */
export class Book {
  contacts = new Map();
  debts = new Map();
  reminders = new Map();
  #repaid = new Map();
  #accounts = new Map();
  #openItems = new Map();

  /** `shown`: [{kind, id}, fields] pairs, as a device shows them. */
  constructor(shown) {
    const kinds = { contact: this.contacts, transaction: this.debts, reminder: this.reminders };
    for (const [{ kind, id }, fields] of shown) kinds[kind]?.set(id, { id, ...fields });
    for (const debt of this.debts.values()) this.#count(debt);
  }

  // What hangs on a deleted contact goes with it, also before the server has said so.
  #count(debt) {
    if (debt.deleted_at !== undefined || this.contacts.get(debt.contact_id)?.deleted_at !== undefined) return;
    if (debt.repays !== undefined) this.#repaid.set(debt.repays, (this.#repaid.get(debt.repays) ?? 0) + debt.amount);
    if (isItem(debt)) {
      if (debt.returned_at === undefined) this.#openItems.set(debt.contact_id, (this.#openItems.get(debt.contact_id) ?? 0) + 1);
      return;
    }
    const account = this.#accounts.get(debt.contact_id) ?? new Map();
    this.#accounts.set(debt.contact_id, account);
    account.set(debt.currency, (account.get(debt.currency) ?? 0) + moves(debt));
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

  /** What of a debt is not repaid, never below zero; of a repayment and of a thing: 0. */
  open(debt) {
    if (debt.deleted_at !== undefined || isItem(debt) || debt.repays !== undefined) return 0;
    return Math.max(0, debt.amount - (this.#repaid.get(debt.id) ?? 0));
  }

  /** Whether a debt or thing is past its due date and not settled. */
  overdue(debt, today) {
    const unsettled = isItem(debt) ? debt.returned_at === undefined : this.open(debt) > 0;
    return debt.deleted_at === undefined && debt.due_date !== undefined && debt.due_date < today && unsettled;
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
    const wanted = wordsOf(query);
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
    for (const debt of this.debts.values()) {
      if (debt.currency !== currency) continue;
      const amount = moves(debt);
      if (amount !== 0) days.set(debt.transaction_date, (days.get(debt.transaction_date) ?? 0) + amount);
    }
    let net = 0;
    return [...days].sort(([one], [other]) => (one < other ? -1 : 1)).map(([date, amount]) => ({ date, net: (net += amount) }));
  }
}

export const isItem = (debt) => debt.type === "item";
export const isLive = (entity) => entity.deleted_at === undefined;

const byCurrency = (map) => [...map].sort(([one], [other]) => (one < other ? -1 : 1));

const newestFirst = (one, other) => {
  const [left, right] = [one.transaction_date ?? "", other.transaction_date ?? ""];
  return left === right ? (one.id < other.id ? 1 : -1) : left < right ? 1 : -1;
};

const wordsOf = (text) =>
  text
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter(Boolean);

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
