// HTTP as a device uses it: JSON in and out, and each failure as what it means for the device.

import { Refused, Reset, SignedOut, Unavailable } from "./errors.js";
import { parse } from "./json.js";

const TIMEOUT_MILLISECONDS = 30_000; // of a request; past it nothing is known
const SAYS_NOTHING = new Set([408, 425, 429]); // beside 5xx: the same request may pass later
const NDJSON = "application/x-ndjson";

/** One server; `network` is `fetch`, or what stands for it. */
export class Wire {
  #server;
  #network;

  constructor(server, network) {
    this.#server = server;
    this.#network = network;
  }

  /**
   * The JSON of a 2xx, a list of lines where it is NDJSON, null where it has no body.
   * Throws Unavailable, SignedOut, Reset and Refused.
   */
  async ask(method, path, { token, json, query, body, type, timeout = TIMEOUT_MILLISECONDS } = {}) {
    const headers = { Accept: "application/json" };
    if (token !== undefined) headers.Authorization = `Bearer ${token}`;
    if (json !== undefined) headers["Content-Type"] = "application/json";
    if (type !== undefined) headers["Content-Type"] = type;
    const url = new URL(path, this.#server);
    for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
    let answer, text;
    try {
      const sent = body ?? (json === undefined ? undefined : JSON.stringify(json));
      const signal = AbortSignal.timeout(timeout);
      answer = await this.#network(url.href, { method, headers, body: sent, signal, cache: "no-store", credentials: "omit" });
      text = await answer.text();
    } catch (error) {
      throw new Unavailable(`${error.name}: ${error.message}`);
    }
    return understood(answer, text);
  }
}

function understood(answer, text) {
  let members;
  try {
    members = text === "" ? null : decoded(answer, text);
  } catch {
    throw new Unavailable(`an answer that is no JSON, with status ${answer.status}`);
  }
  if (answer.ok) return members;
  if (answer.status >= 500 || SAYS_NOTHING.has(answer.status)) {
    throw new Unavailable(`status ${answer.status}`, seconds(answer.headers.get("Retry-After")));
  }
  const problem = members !== null && typeof members === "object" ? members : { status: answer.status };
  if (answer.status === 401) throw new SignedOut(String(problem.detail ?? "sign in again"));
  throw problem.code === "reset" ? new Reset(problem) : new Refused(problem);
}

function decoded(answer, text) {
  if (answer.headers.get("Content-Type")?.startsWith(NDJSON)) return text.split("\n").filter(Boolean).map(parse);
  return parse(text);
}

const seconds = (retryAfter) => (/^\d+$/.test(retryAfter ?? "") ? Number(retryAfter) : 0);
