// The network of one device, which its user can switch off: to work offline, and to show what comes of it.

export class Line {
  #cut = false;
  #sockets = new Set();

  /** Whether it is switched off. */
  get cut() {
    return this.#cut;
  }

  set cut(cut) {
    this.#cut = cut;
    if (cut) for (const socket of this.#sockets) socket.close();
  }

  /** As `fetch`. */
  network = (...request) => (this.#cut ? Promise.reject(new TypeError("the network is switched off")) : fetch(...request));

  /** A WebSocket to `url`. */
  connect = (url) => {
    const socket = new WebSocket(url);
    this.#sockets.add(socket);
    socket.addEventListener("close", () => this.#sockets.delete(socket));
    if (this.#cut) socket.close();
    return socket;
  };
}
