// Lists that only the server has: shown as they were last heard, and asked for when somebody comes to look.

const LIMIT = 200; // more than a user can have of any of them

/** The list at `path`; `shape`: see client/answers.js. */
export class Listing {
  #path;
  #shape;
  #items = null;
  #visit = 0; // for which it was asked
  #turn = 0;

  constructor(path, shape) {
    this.#path = path;
    this.#shape = shape;
  }

  /** What is known of it, null where that is nothing yet; the view is shown again once there is more. */
  of(app) {
    if (this.#visit !== app.visit) this.ask(app);
    return this.#items;
  }

  /** Ask for it now. */
  async ask(app) {
    this.#visit = app.visit;
    const turn = (this.#turn += 1);
    try {
      const { items } = await app.device.ask("GET", this.#path, { query: { limit: LIMIT }, shape: this.#shape });
      if (turn !== this.#turn) return;
      this.#items = items;
      app.changed();
    } catch {
      if (turn === this.#turn) this.#visit = 0; // offline: asked again when something changes
    }
  }
}
