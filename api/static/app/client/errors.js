// What can go wrong between a device and its server, by what the caller can do about it.

/** Whatever a device raises; what its user did is kept in every case. */
export class ClientError extends Error {
  constructor(text) {
    super(text);
    this.name = this.constructor.name;
  }
}

/** No answer, or one that says nothing (5xx, 429): the same can be sent again, after `retryAfter` seconds if it says so. */
export class Unavailable extends ClientError {
  constructor(text, retryAfter = 0) {
    super(text);
    this.retryAfter = retryAfter;
  }
}

/** The user has to sign in again; what waits to be sent goes on waiting. */
export class SignedOut extends ClientError {}

/** The store of this device belongs to another account: use another for each. */
export class AnotherAccount extends ClientError {}

/** The server has taken the registration, and says in a mail alone what comes of it: verify, then sign in. */
export class MailFollows extends ClientError {}

/** What the server sent does not follow from what the device has: a hash, a seq or a value before a change is wrong. */
export class BrokenLog extends ClientError {}

/** The server refused a request as a whole: `problem` has the members of its problem (RFC 9457). */
export class Refused extends ClientError {
  constructor(problem) {
    super(String(problem.detail ?? problem.title ?? problem.code));
    this.problem = problem;
  }

  /** The machine-readable reason. */
  get code() {
    return String(this.problem.code ?? "");
  }
}

/** What no request can hold: it would keep back all behind it for ever, so that it is not kept at all. */
export class Unsendable extends RangeError {
  name = "Unsendable";
}

/** The server has another history than the device: one of its backups was restored. */
export class Reset extends Refused {}
