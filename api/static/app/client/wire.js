// HTTP as a device uses it: JSON in and out, and each failure as what it means for the device.

import { Refused, Reset, SignedOut, Unavailable } from "./errors.js";
import { parse } from "./json.js";

const TIMEOUT_MILLISECONDS = 30_000; // of a request; past it nothing is known
const SAYS_NOTHING = new Set([408, 425, 429]); // beside 5xx: the same request may pass later

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
   * Throws Unavailable, SignedOut, Reset and Refused.
   */
  async ask(method, path, { token, json, query, onLines } = {}) {
    const headers = { Accept: "application/json" };
    if (token !== undefined) headers.Authorization = `Bearer ${token}`;
    if (json !== undefined) headers["Content-Type"] = "application/json";
    const url = new URL(path, this.#server);
    for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
    const body = json === undefined ? undefined : JSON.stringify(json);
    const signal = AbortSignal.timeout(TIMEOUT_MILLISECONDS);
    let answer, text;
    try {
      answer = await this.#network(url.href, { method, headers, body, signal, cache: "no-store", credentials: "omit" });
      text = onLines && answer.ok ? await handOver(answer.body, onLines) : await answer.text();
    } catch (error) {
      throw new Unavailable(`${error.name}: ${error.message}`);
    }
    return understood(answer, text);
  }
}

function understood(answer, text) {
  let members;
  try {
    members = text === "" ? null : parse(text);
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

// NDJSON, as much of it at a time as has come; what is left over is no line.
async function handOver(body, onLines) {
  let rest = "";
  for await (const chunk of chunks(body.pipeThrough(new TextDecoderStream()))) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    if (lines.length > 0) onLines(lines.map(parse));
  }
  return rest;
}

// Streams are iterable by themselves in newer browsers only.
async function* chunks(stream) {
  const reader = stream.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value;
}

const seconds = (retryAfter) => (/^\d+$/.test(retryAfter ?? "") ? Number(retryAfter) : 0);
