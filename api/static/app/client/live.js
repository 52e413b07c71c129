// Staying in sync: the feed says that something changed, and connections that break are made again, ever more patiently.

import { isHead } from "./answers.js";
import { Unavailable } from "./errors.js";
import { EARLY_SECONDS } from "./session.js";

const FIRST_PAUSE_SECONDS = 0.5;
const LONGEST_PAUSE_SECONDS = 30;
const READY_SECONDS = 10; // for the answer to `auth`
const QUIET_SECONDS = 50; // without a word: of a line that has gone dead a browser says nothing, so that the server is asked
const LEAST_REST_SECONDS = 1; // between two renewals of a token, however short its life is
const TOO_MANY = 4409; // a newer socket of this user needed the place: coming back at once would chase another away

/** What one side waits for and others set off; a call before the wait counts. */
export class Bell {
  #rung = false;
  #wake = () => {};

  ring() {
    this.#rung = true;
    this.#wake();
  }

  /** Until it rings, or `seconds` have passed; whether it rang. */
  async wait(seconds) {
    if (!this.#rung) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, seconds * 1_000);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const rang = this.#rung;
    this.#rung = false;
    return rang;
  }
}

/**
 * Sync whenever something is new, there or here (`bell`), until `signal` aborts. Throws what `sync` does but Unavailable.
 *
 * Every attempt to connect begins with a sync, so that a network that lets no WebSocket through still brings everything home.
 * `connect` opens a socket to the feed; `isNews` says whether a sync would change anything, given the server's head;
 * `onLive` hears whether the feed is open.
 */
export async function follow({ session, sync, isNews, bell, connect, onLive, signal }) {
  signal.addEventListener("abort", () => bell.ring());
  for (let failures = 1; !signal.aborted; failures += 1) {
    let wait = 0;
    try {
      await sync();
      if (signal.aborted) return;
      const socket = connect();
      const leave = () => socket.close();
      signal.addEventListener("abort", leave);
      try {
        const code = await attend(socket, { session, sync, isNews, bell, onLive, ready: () => (failures = 0) });
        if (code === TOO_MANY) wait = LONGEST_PAUSE_SECONDS;
      } finally {
        signal.removeEventListener("abort", leave);
        socket.close();
        onLive(false);
      }
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      wait = error.retryAfter;
    }
    if (wait > 0) await rest(wait, signal); // the server has said so: whatever is new here waits too
    if (!signal.aborted) await bell.wait(pause(failures));
  }
}

function rest(seconds, signal) {
  return new Promise((resolve) => {
    setTimeout(resolve, seconds * 1_000);
    signal.addEventListener("abort", resolve, { once: true });
  });
}

// Seconds before the next attempt: up to a bound that doubles (full jitter, so that devices do not come back in step).
const pause = (failures) => Math.random() * Math.min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** Math.max(failures - 1, 0));

function understood(message) {
  try {
    return JSON.parse(message);
  } catch {
    return null;
  }
}

// Until the socket closes; its close code.
async function attend(socket, { session, sync, isNews, bell, onLive, ready }) {
  let head, closed;
  socket.onmessage = ({ data }) => {
    const said = understood(data);
    if (!isHead(said)) return; // what a later server also says, or somebody on the way
    head = { version: said.version, hash: said.hash };
    bell.ring();
  };
  socket.onclose = ({ code }) => {
    closed = code;
    bell.ring();
  };
  const authenticate = async () => {
    const token = await session.token();
    if (closed === undefined) socket.send(JSON.stringify({ type: "auth", token }));
  };
  socket.onopen = () => authenticate().catch(() => socket.close());
  const patience = setTimeout(() => head === undefined && socket.close(), READY_SECONDS * 1_000);
  try {
    while (closed === undefined) {
      if (head !== undefined) {
        ready();
        onLive(true);
        if (isNews(head)) await sync();
      }
      const rang = await bell.wait(Math.min(Math.max(session.secondsLeft() - EARLY_SECONDS, LEAST_REST_SECONDS), QUIET_SECONDS));
      if (closed !== undefined || head === undefined) continue;
      if (session.secondsLeft() <= EARLY_SECONDS) await authenticate();
      else if (!rang) {
        const before = head;
        const asked = await session.ask("GET", "/api/sync/hash", { shape: isHead });
        if (head === before) head = asked;
      }
    }
  } finally {
    clearTimeout(patience);
  }
  return closed;
}
