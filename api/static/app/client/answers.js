// What the answers of our server hold. What does not is another's, who stands in its place: a network that one signs in to.

const isText = (value) => typeof value === "string";
const isHash = (value) => value === null || isText(value);
const isFlag = (value) => typeof value === "boolean";
const { isInteger } = Number;

const has = (members) => (value) =>
  value !== null && typeof value === "object" && Object.entries(members).every(([name, fits]) => fits(value[name]));
const listOf = (fits) => (value) => Array.isArray(value) && value.every((one) => fits(one));

/** {version, hash}. */
export const isHead = has({ version: isInteger, hash: isHash });

const holdsPage = has({ events: listOf(has({ seq: isInteger, hash: isText })), has_more: isFlag });

/** Facts, and the head; where there are more, there is one: to ask on would never end. */
export const isPage = (value) => isHead(value) && holdsPage(value) && (value.events.length > 0 || !value.has_more);

const holdsOutcomes = has({ results: listOf(has({ id: isText, status: isText })) });

/** One outcome for each of `events`: what has none would be sent again at once, without end. */
export function areOutcomesOf(events) {
  return (value) => {
    if (!holdsOutcomes(value)) return false;
    const decided = new Set(value.results.map(({ id }) => id));
    return events.every(({ id }) => decided.has(id));
  };
}

/** A user; nobody else says what a new debt is counted in. */
export const isUser = has({ id: isText, default_currency: isText });

/** Tokens, and whose they are. */
export const isSession = has({
  ledger_id: isText,
  user: has({}),
  access_token: isText,
  refresh_token: isText,
  expires_in: Number.isFinite,
});

/** What a server says of itself. */
export const isMeta = has({
  currencies: listOf(has({ code: isText, exponent: isInteger, active: isFlag })),
  registration: isText,
});

/** When an account goes that is not wanted any more. */
export const isDeleting = has({ deleting_at: isText });

/** A user's devices. */
export const areDevices = has({ items: listOf(has({ id: isText, name: isText, last_seen_at: isText, current: isFlag })) });

const token = { id: isText, name: isText, scope: isText, created_at: isText };

/** A user's personal tokens. */
export const areTokens = has({ items: listOf(has(token)) });

/** A new one, which itself is shown this once. */
export const isNewToken = has({ ...token, token: isText });

/** Things in a list. */
export const isList = has({ items: listOf(has({})) });

/** What became of a backup. */
export const isImport = has({ contacts: isInteger, skipped: listOf(has({ count: isInteger })) });

/** What became of an export. */
export const isTakenOver = has({ contacts: isInteger, transactions: isInteger, items: isInteger });

const hasType = has({ type: isText, code: isText });

/** A problem (RFC 9457) as ours are. */
export const isProblem = (value) => hasType(value) && value.type === `/docs/problems/${value.code}`;
