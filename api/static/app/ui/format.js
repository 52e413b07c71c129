// Amounts, dates and times as people write them, in the language of the page; amounts are integers in minor units.

import { say, spoken } from "./words.js";

let exponents = {};

/** Take over what the server says of currencies: [{code, exponent, active}]. */
export function useCurrencies(currencies) {
  exponents = Object.fromEntries(currencies.map(({ code, exponent }) => [code, exponent]));
}

/** Digits of the minor unit of a currency: by the server's word, or by the browser's until there is that. */
export const exponentOf = (currency) => (exponents[currency] ??= digitsOf(currency));

const digitsOf = (currency) =>
  new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits;

const formats = new Map(); // to make one takes longer than to use it a hundred times

function formatOf(currency) {
  const key = `${spoken()} ${currency} ${exponentOf(currency)}`;
  if (!formats.has(key)) {
    const digits = { minimumFractionDigits: exponentOf(currency), maximumFractionDigits: exponentOf(currency) };
    formats.set(key, new Intl.NumberFormat(spoken(), { style: "currency", currency, ...digits }));
  }
  return formats.get(key);
}

/** A number of minor units as money, without its sign. */
export const money = (amount, currency) => formatOf(currency).format(decimal(Math.abs(amount), exponentOf(currency)));

// As text: 9,007,199,254,740,991 cents are more than a double divides exactly. Intl takes decimal texts.
const decimal = (minor, digits) => {
  const text = String(minor).padStart(digits + 1, "0");
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
};

/** The same with its sign: + where it is owed to the user. */
export const signed = (amount, currency) => `${amount < 0 ? "−" : "+"}${money(amount, currency)}`;

/** An amount as a person edits it: digits and a point. */
export const editable = (amount, currency) => decimal(amount, exponentOf(currency));

/** Minor units of what a person typed: 12, 12.5, 12,50; null where that is no positive amount of the currency. */
export function typed(text, currency) {
  const digits = exponentOf(currency);
  const match = /^(\d+)(?:[.,٫](\d+))?$/.exec(western(text).replace(/[\s\u00a0\u202f'’]/g, ""));
  if (match === null || (match[2] ?? "").length > digits) return null;
  const minor = Number(match[1] + (match[2] ?? "").padEnd(digits, "0"));
  return Number.isSafeInteger(minor) && minor > 0 ? minor : null;
}

// Arabic-Indic digits are digits.
const western = (text) => text.replace(/[٠-٩]/g, (digit) => String(digit.charCodeAt(0) - 0x660));

/** A date (YYYY-MM-DD) in words. */
export function date(text) {
  if (!text) return "";
  const [year, month, day] = text.split("-").map(Number);
  return new Intl.DateTimeFormat(spoken(), { dateStyle: "medium", timeZone: "UTC" }).format(Date.UTC(year, month - 1, day));
}

/** A moment (RFC 3339) in words, in the zone of this device. */
export const moment = (text) =>
  text ? new Intl.DateTimeFormat(spoken(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(text)) : "";

/** Today where this device is, as YYYY-MM-DD. */
export function today(now = new Date()) {
  return new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
}

/** Who owes whom, in words: an amount is never told by its colour alone. */
export const whoOwes = (amount) => (amount > 0 ? say("owes you") : amount < 0 ? say("you owe") : say("settled"));

/** The beginning of a hash: as much as a person compares. */
export const short = (hash) => (hash === null ? "—" : hash.slice(0, 8));
