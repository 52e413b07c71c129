// Plays a case of docs/conformance to devices in this browser, without any server: what tests/conformance/replay.py does in Python.
// oxlint-disable-next-line no-unused-expressions -- the whole file is one function, which a test calls
async ({ text, restarts }) => {
  const { Device, Unavailable, BrokenLog } = await import("/app/client/index.js");
  const { canonical, parse } = await import("/app/client/json.js");
  const { Store } = await import("/app/client/store.js");
  const story = parse(text);
  const SIGNED_IN = {
    ledger_id: "00000000-0000-7000-8000-000000000001",
    user: {},
    access_token: "a",
    refresh_token: "r",
    expires_in: 1e9,
  };
  const fail = (what) => {
    throw new Error(`${story.name}: ${what}`);
  };
  const json = (status, body) => new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json" } });
  const withoutNulls = (body) => Object.fromEntries(Object.entries(body ?? {}).filter(([, value]) => value !== null));

  class Player {
    given = {};
    expected = [];
    acts = [];
    unforeseen = null;

    async open(letter) {
      const world = {
        network: (url, { method, body }) => this.answer(new URL(url), method, body === undefined ? undefined : parse(body)),
        newId: () => this.given.id,
        timestamp: () => this.given.timestamp,
        server: "http://conformance",
      };
      this.device = await Device.open(this.name(letter), world);
      await this.device.login("anna@example.org", "a long sentence");
    }

    name = (letter) => `${story.name}-${restarts}-${letter}`;

    // What a request that nobody expected looks like to the device is an answer of no use: it is told afterwards.
    async answer(url, method, body) {
      if (url.pathname.startsWith("/api/auth/")) return json(200, SIGNED_IN);
      const exchange = this.expected.shift();
      const asked = { method, path: url.pathname, query: Object.fromEntries(url.searchParams), body };
      if (exchange === undefined || shape(asked) !== shape(exchange.request)) {
        this.unforeseen ??= `asked ${shape(asked)}, and not ${exchange && shape(exchange.request)}`;
        throw new TypeError("no such request in the case");
      }
      if ("lost" in exchange) throw new TypeError(`${exchange.lost} lost`);
      return json(exchange.response.status, exchange.response.body);
    }

    async act(act) {
      this.given = act;
      this.acts.push(act.id);
      const { aggregate_type: kind, aggregate_id: id } = act;
      const { resolves, ...data } = act.event_data;
      if (act.event_type === "CREATED") await this.device.create(kind, data, id);
      if (act.event_type === "UPDATED") await this.device.update(kind, id, data, resolves);
      if (act.event_type === "DELETED") await this.device.delete(kind, id, resolves);
      if (act.event_type === "RESTORED") await this.device.restore(kind, id, resolves);
      if (act.event_type === "UNDO") await this.device.undo(data.undone_event_id);
    }

    async sync(exchanges) {
      this.expected = [...exchanges];
      const last = exchanges.at(-1);
      const fate = "lost" in last ? Unavailable : last.made_up === "broken" ? BrokenLog : null;
      let met = null;
      await this.device.sync().catch((error) => (met = error));
      if (this.unforeseen !== null) fail(this.unforeseen);
      if (this.expected.length > 0) fail("the device is content, and the case is not over");
      if (fate === null ? met !== null : !(met instanceof fate)) fail(`the sync ended with ${met}`);
    }

    async end() {
      const { device } = this;
      const { conflicts, rejections } = await device.attention();
      const done = new Set([...(await device.log()).map(({ id }) => id), ...rejections.map(({ id }) => id)]);
      const queue = this.acts.filter((id) => !done.has(id));
      if (device.pending !== queue.length) fail(`${device.pending} are pending, and not ${queue.length}`);
      const entities = Array.from(device.state(), ([{ kind, id }, fields]) => ({ kind, id, fields }));
      const balances = Object.entries(device.balances()).flatMap(([contact_id, accounts]) =>
        Object.entries(accounts).map(([currency, amount]) => ({ contact_id, currency, amount })),
      );
      return {
        version: device.head.version,
        hash: device.head.hash,
        entities: sorted(entities, ({ kind, id }) => `${kind} ${id}`),
        balances: sorted(balances, ({ contact_id, currency }) => `${contact_id} ${currency}`),
        conflicts: conflicts.map(({ id }) => id),
        rejections: rejections.map(({ id, code }) => ({ id, code })),
        queue,
      };
    }
  }

  const shape = ({ method, path, query, body }) =>
    canonical({ method, path, query: query ?? {}, body: withoutNulls({ ...body, limit: null }) });
  const sorted = (list, key) => list.sort((one, other) => (key(one) < key(other) ? -1 : 1));

  const players = {};
  for (const [letter, id] of Object.entries(story.devices)) {
    const player = new Player();
    player.given = { id };
    await Store.erase(player.name(letter));
    await player.open(letter);
    if (player.device.id !== id) fail(`the device is ${player.device.id}, and not ${id}`);
    players[letter] = player;
  }
  for (const step of story.script) {
    if ("restore" in step) continue;
    const player = players[step.device];
    if ("act" in step) await player.act(step.act);
    else await player.sync(step.sync);
    if (restarts) {
      player.device.close();
      await player.open(step.device);
    }
  }
  const ends = {};
  for (const [letter, player] of Object.entries(players)) {
    ends[letter] = await player.end();
    player.device.close();
    await Store.erase(player.name(letter));
  }
  return ends;
};
