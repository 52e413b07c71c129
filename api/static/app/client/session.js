// Who is signed in on a device: the device's id and tokens, kept across restarts and exchanged before they expire.

import { isSession } from "./answers.js";
import { AnotherAccount, ClientError, MailFollows, SignedOut, Unavailable } from "./errors.js";

/** A token is exchanged this long before it expires. */
export const EARLY_SECONDS = 60;
const REGISTER = "/api/auth/register"; // where the tokens may follow by mail
const RETRIES = 4;
const PATIENCE_SECONDS = 2; // whoever signs in sits and waits: what takes longer, they are told

/** Signs in, sends requests as the user, signs out. `clock` gives milliseconds. */
export class Session {
  #wire;
  #store;
  #clock;
  #device;

  constructor(wire, store, clock, device) {
    this.#wire = wire;
    this.#store = store;
    this.#clock = clock;
    this.#device = device;
  }

  /** Whether somebody is signed in, as far as this device knows. */
  get open() {
    return this.#store.remembered("access_token") !== undefined;
  }

  /** Register or log in at `path`. Throws Refused, Unavailable, AnotherAccount, MailFollows. */
  async enter(path, credentials) {
    const answer = await this.#patiently(path, { ...credentials, device: this.#device });
    if (answer === null) throw new MailFollows("what to do next is in a mail to this address");
    const known = this.#store.remembered("ledger_id");
    if (known !== undefined && known !== answer.ledger_id) {
      await this.#wire.ask("POST", "/api/auth/logout", { token: answer.access_token }).catch(ignoring(Unavailable));
      throw new AnotherAccount("this device belongs to another account");
    }
    await this.#keep(answer);
  }

  // Passwords are checked a few at a time: whoever comes when there is no place comes again when the server says.
  async #patiently(path, json) {
    const shape = path === REGISTER ? (answer) => answer === null || isSession(answer) : isSession;
    for (let left = RETRIES; ; left -= 1) {
      try {
        return await this.#wire.ask("POST", path, { json, shape });
      } catch (error) {
        const wait = error instanceof Unavailable ? error.retryAfter : 0;
        if (left === 0 || wait <= 0 || wait > PATIENCE_SECONDS) throw error;
        await new Promise((resume) => setTimeout(resume, wait * 1_000 * (0.5 + Math.random())));
      }
    }
  }

  /** Sign out, here in any case; where the server cannot be told, its session ends by itself some day. */
  async leave() {
    try {
      await this.ask("POST", "/api/auth/logout").catch(ignoring(Unavailable, SignedOut));
    } finally {
      await this.#store.remember({ access_token: undefined, refresh_token: undefined, expires_at: undefined });
    }
  }

  /** A request of the signed-in user; a token that is not good any more is exchanged once. See Wire.ask. */
  async ask(method, path, options = {}) {
    const token = await this.token();
    try {
      return await this.#wire.ask(method, path, { ...options, token });
    } catch (error) {
      if (!(error instanceof SignedOut)) throw error;
      return this.#wire.ask(method, path, { ...options, token: await this.#exchanged(token) });
    }
  }

  /** An access token that is good for a while yet. Throws SignedOut, Unavailable. */
  async token() {
    const token = this.#store.remembered("access_token");
    if (token === undefined) throw new SignedOut("nobody is signed in on this device");
    return this.secondsLeft() < EARLY_SECONDS ? this.#exchanged(token) : token;
  }

  /** How long the access token is good for. */
  secondsLeft() {
    return (this.#store.remembered("expires_at") ?? 0) - this.#clock() / 1_000;
  }

  // One tab at a time: a refresh token that is used twice looks like a thief's.
  #exchanged(stale) {
    return navigator.locks.request(`${this.#store.name}-token`, async () => {
      await this.#store.refresh();
      const current = this.#store.remembered("access_token");
      if (current !== undefined && current !== stale) return current;
      const refresh_token = this.#store.remembered("refresh_token");
      if (refresh_token === undefined) throw new SignedOut("nobody is signed in on this device");
      const answer = await this.#wire.ask("POST", "/api/auth/refresh", { json: { refresh_token }, shape: isSession });
      await this.#keep(answer);
      return answer.access_token;
    });
  }

  async #keep({ ledger_id, user, access_token, refresh_token, expires_in }) {
    const expires_at = this.#clock() / 1_000 + expires_in;
    await this.#store.remember({ ledger_id, user, access_token, refresh_token, expires_at });
  }
}

const ignoring =
  (...kinds) =>
  (error) => {
    if (!(error instanceof ClientError && kinds.some((kind) => error instanceof kind))) throw error;
    return null;
  };
