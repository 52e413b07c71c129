// HTTP as a device uses it: JSON in and out, and each failure as what it means for the device.

import { isProblem } from "./answers.js";
import { Refused, Reset, SignedOut, Unavailable } from "./errors.js";
import { parse } from "./json.js";

const PATIENCE_MILLISECONDS = 30_000; // for what comes next; past it nothing is known
const SLOWEST = 2; // bytes a millisecond of what is sent, of which nobody tells us how far it is: a phone at the edge of its cell
const LONGEST_WAIT_SECONDS = 3_600; // however long an answer would have a device wait: a timer of a month is one of no time at all
const SAYS_NOTHING = new Set([408, 425, 429]); // beside 5xx: the same request may pass later
const WRONG_PASSWORD = "invalid_credentials"; // also of who is signed in, and stays so
const WITH_A_BODY = new Set([200, 201]); // what our server answers with these has one

/** One server; `network` is `fetch`, or what stands for it. */
export class Wire {
  #server;
  #network;

  constructor(server, network) {
    this.#server = server;
    this.#network = network;
  }

  /**
   * The JSON of a 2xx, null where it has no body. With `onLines`, NDJSON goes there as it comes, some parsed lines at a time.
   * `shape` says whether an answer is one to this question, see answers.js. Throws Unavailable, SignedOut, Reset and Refused.
   */
  async ask(method, path, { token, json, query, onLines, shape } = {}) {
    const headers = { Accept: "application/json" };
    if (token !== undefined) headers.Authorization = `Bearer ${token}`;
    if (json !== undefined) headers["Content-Type"] = "application/json";
    const url = new URL(path, this.#server);
    for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
    const body = json === undefined ? undefined : JSON.stringify(json);
    const patience = new Patience();
    const options = { method, headers, body, signal: patience.signal, cache: "no-store", credentials: "omit", redirect: "error" };
    let answer;
    let text = "";
    try {
      patience.lasts(PATIENCE_MILLISECONDS + (body ?? "").length / SLOWEST);
      answer = await this.#network(url.href, options);
      const coming = texts(answer.body, patience);
      if (onLines && answer.ok) return await handOver(coming, onLines);
      for await (const chunk of coming) text += chunk;
    } catch (error) {
      throw new Unavailable(`${error.name}: ${error.message}`);
    } finally {
      patience.ends();
    }
    return understood(answer.status, text, { shape, retryAfter: answer.headers.get("Retry-After") });
  }
}

/** What an answer with that status and body means, see `ask`; `retryAfter`: the header. Throws what `ask` does. */
export function understood(status, text, { shape = () => true, retryAfter } = {}) {
  const members = decoded(status, text);
  if (status >= 200 && status < 300) {
    if (shape(members) && !(members === null && WITH_A_BODY.has(status))) return members;
    throw new Unavailable(`an answer to something else, with status ${status}`);
  }
  if (!isProblem(members)) throw new Unavailable(`status ${status}, and no problem of our server's`);
  if (status >= 500 || SAYS_NOTHING.has(status)) throw new Unavailable(`status ${status}`, seconds(retryAfter));
  if (status === 401 && members.code !== WRONG_PASSWORD) throw new SignedOut(String(members.detail ?? "sign in again"));
  throw members.code === "reset" ? new Reset(members) : new Refused(members);
}

function decoded(status, text) {
  try {
    return text === "" ? null : parse(text);
  } catch {
    throw new Unavailable(`an answer that is no JSON, with status ${status}`);
  }
}

// With a request until nothing more of it has come for a while: however long the whole takes, a slow line is no dead one.
class Patience {
  #controller = new AbortController();
  #timer;

  get signal() {
    return this.#controller.signal;
  }

  lasts(milliseconds = PATIENCE_MILLISECONDS) {
    this.ends();
    this.#timer = setTimeout(() => this.#controller.abort(new DOMException("nothing came", "TimeoutError")), milliseconds);
  }

  ends() {
    clearTimeout(this.#timer);
  }
}

// The text of a body as it comes, if there is one. Streams are iterable by themselves in newer browsers only.
async function* texts(body, patience) {
  if (body === null) return;
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  patience.lasts();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    yield value;
    patience.lasts();
  }
}

// NDJSON, as much of it at a time as has come; what is left over is no line, but what was cut off of one.
async function handOver(coming, onLines) {
  let rest = "";
  for await (const chunk of coming) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    if (lines.length > 0) onLines(lines.map(parse));
  }
  if (rest !== "") throw new SyntaxError("the last line is cut off");
  return null;
}

const seconds = (retryAfter) => (/^\d+$/.test(retryAfter ?? "") ? Math.min(Number(retryAfter), LONGEST_WAIT_SECONDS) : 0);
