"""Asks what bulk pushes store, 500 changes each, beside pgbench with one a transaction; and how soon a large ledger is there."""

import asyncio
import contextlib
import datetime
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import msgspec
import psycopg

from api.tokens import Tokens
from bench import apart, bare, harness, people, traffic, whole
from bench.harness import Api
from bench.materialise import short
from bench.people import Person
from storage import urls
from storage.encryption import KeyRing, new_ring


class Plan(NamedTuple):
    """How much is measured: `seconds` of pgbench in each round, beside `pushes` through each server; ledgers taken over."""

    rounds: int
    seconds: int
    pushes: int
    imports: int
    events: int
    """Of the ledger that is pushed by one device, and taken over."""


LONG = Plan(rounds=7, seconds=4, pushes=40, imports=3, events=100_000)
SHORT = Plan(rounds=3, seconds=1, pushes=10, imports=1, events=20_000)
BATCH: Final = 500
"""Events a push: the most that the server takes."""
CONNECTIONS: Final = 4
LEDGERS, FRIENDS = 8, 10
"""That are pushed to, and more contacts of each: every push is for the next ledger."""
BARE_LEDGERS, CLIENTS = 10_000, 32
"""As `bench.append` has them."""
TIMEOUT_SECONDS: Final = 300.0
PUSH_GOAL = 5.0
IMPORT_GOAL_SECONDS = 10.0 / 100_000
"""An event."""


class Request(NamedTuple):
    """A push of BATCH events, ready to be sent."""

    token: str
    content: bytes


class Round(NamedTuple):
    """What one round found, events a second; CPU in µs an event of the server with one worker.

    `bare` is pgbench with an event a transaction, `bulk` with BATCH of one ledger: what Postgres takes where nobody decides.
    """

    bare: float
    bulk: float
    one: float
    two: float
    api_cpu: float
    postgres_cpu: float


# --- from outside: these run in processes of their own -------------------------------------------------------------------


def push(url: str, requests: Sequence[Request], connections: int) -> float:
    """Send them all, each connection its share of them one after the other: seconds until the last is answered."""
    return asyncio.run(_push_all(url, requests, connections))


async def _push_all(url: str, requests: Sequence[Request], connections: int) -> float:
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS)) for _ in range(connections)
        ]
        for http in clients:  # one after the other, so that no worker accepts all of them at once
            assert (await http.get("/health")).status_code == 200
        began = time.perf_counter()
        await asyncio.gather(*(_push(http, requests[number::connections]) for number, http in enumerate(clients)))
        return time.perf_counter() - began


async def _push(http: httpx.AsyncClient, requests: Sequence[Request]) -> None:
    for request in requests:
        headers = {"Authorization": f"Bearer {request.token}", "Content-Type": "application/json"}
        answer = await http.post("/api/sync/push", content=request.content, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.content.count(b'"status":"accepted"') == BATCH, answer.text


def take_over(url: str, token: str, file: Path, events: int) -> float:
    """Import what an export wrote into an empty ledger: seconds until the answer."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS) as http, file.open("rb") as content:
        began = time.perf_counter()
        answer = http.post("/api/import/json", content=content, headers=headers)
        took = time.perf_counter() - began
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == events
    return took


# --- many ledgers, beside pgbench ----------------------------------------------------------------------------------------


class Bench:
    """People whose devices send what they did in batches, and pgbench's statement, on one database.

    Pushes are decided, chained and answered one by one; pgbench only writes, and to a ledger of its own each time.
    """

    def __init__(self, url: str, plan: Plan) -> None:
        self.url, self.plan, self.ring = url, plan, new_ring()
        self.tokens = Tokens(KeyRing.parse(self.ring))
        keys = KeyRing.parse(self.ring)
        everybody = asyncio.run(people.make(url, keys, LEDGERS))
        self.friends = [asyncio.run(people.befriend(url, keys, one, FRIENDS)) for one in everybody]
        self.others = LEDGERS * (1 + FRIENDS)
        """Events that no push brought."""
        self.acknowledged: set[str] = set()
        bare.prepare(url, BARE_LEDGERS)
        with harness.api(url, self.ring) as server:
            self.push(server, 1)
        self.statement, self.bulk = bare.append(url), bare.append(url, BATCH)

    def push(self, server: Api, count: int) -> float:
        """So many pushes of new debts: seconds, all of them accepted."""
        made = [self._request(number) for number in range(count)]
        took: float = apart.run(push, server.url, [request for request, _ in made], CONNECTIONS).result
        self.acknowledged.update(*(ids for _, ids in made))
        return took

    def rounds(self) -> list[Round]:
        """The sides in turn."""
        found = []
        with harness.api(self.url, self.ring) as one, harness.api(self.url, self.ring, workers=2) as two:
            postgres, events = harness.postgres(self.url), self.plan.pushes * BATCH
            for server in (one, two):
                self.push(server, 2 * CONNECTIONS)  # every worker has its plans
            for _ in range(self.plan.rounds):
                by_itself = self._bare(self.statement, CLIENTS)
                bulk = self._bare(self.bulk, CONNECTIONS) * BATCH
                before = [(process, harness.cpu_seconds(process)) for process in (one.process, postgres)]
                alone = events / self.push(one, self.plan.pushes)
                used = [harness.cpu_since(process, then) / events * 1e6 for process, then in before]
                found.append(Round(by_itself, bulk, alone, events / self.push(two, self.plan.pushes), *used))
        return found

    def _bare(self, statement: str, clients: int) -> float:
        return bare.run(self.url, statement, clients=clients, seconds=self.plan.seconds, most=BARE_LEDGERS).per_second

    def _request(self, number: int) -> tuple[Request, list[str]]:
        friends = self.friends[number % LEDGERS]
        items = [_debt(friends[place % FRIENDS]) for place in range(BATCH)]
        content = msgspec.json.encode({"events": items})
        return Request(friends[0].token(self.tokens), content), [item["id"] for item in items]


def _debt(one: Person) -> traffic.Item:
    """What `bench.append` posts, as a device sends it."""
    return {
        "id": str(uuid.uuid4()),
        "aggregate_type": "transaction",
        "aggregate_id": str(uuid.uuid4()),
        "event_type": "CREATED",
        "event_data": people.lunch(one),
        "base_seq": 1 + FRIENDS,
        "timestamp": datetime.datetime.now(datetime.UTC).isoformat(),
        "version": 1,
    }


# --- one large ledger ----------------------------------------------------------------------------------------------------


class Large(NamedTuple):
    """Rounds, in seconds; MB of the file that is taken over."""

    pushed: list[float]
    taken_over: list[float]
    file_mb: float


def large(bench: Bench) -> Large:
    """What people do, `plan.events` of it: pushed by one device to an empty ledger, exported, and taken over into another."""
    pushed, taken_over, size = list[float](), list[float](), 0.0
    events = bench.plan.events
    with harness.api(bench.url, bench.ring) as server, tempfile.TemporaryDirectory(prefix="debitum-bench-") as folder:
        for number in range(bench.plan.imports):
            first, second = asyncio.run(traffic.accounts(server.url, 2))
            bodies = [first.prepare(BATCH) for _ in range(events // BATCH)]
            pushed.append(apart.run(push, server.url, [Request(first.token, body.content) for body in bodies], 1).result)
            file = Path(folder) / f"{number}.json"
            export(server.url, first.token, file)
            size = file.stat().st_size / 1e6
            taken_over.append(apart.run(take_over, server.url, second.token, file, events).result)
            ids = [event_id for body in bodies for event_id in body.ids]
            for user in (first, second):
                assert _log(bench.url, user.ledger_id) == ids, "in the order in which they were pushed"
            bench.others += 2 * events
    return Large(pushed, taken_over, size)


def export(url: str, token: str, file: Path) -> None:
    """All that the user has, as the server exports it."""
    headers = {"Authorization": f"Bearer {token}"}
    with (
        httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS) as http,
        http.stream("GET", "/api/export", headers=headers) as answer,
        file.open("wb") as target,
    ):
        assert answer.status_code == 200
        for chunk in answer.iter_bytes():
            target.write(chunk)


def _log(url: str, ledger_id: str | None = None) -> list[str]:
    """The ids of a ledger's events, in their order; or of all ledgers."""
    statement = "select event_id::text from debitum.events where ledger_id = coalesce(%s, ledger_id) order by ledger_id, seq"
    with psycopg.connect(urls.libpq_url(url)) as connection:
        return [event_id for (event_id,) in connection.execute(statement, [ledger_id])]


# --- the report ----------------------------------------------------------------------------------------------------------


def _rows(plan: Plan, rounds: Sequence[Round], found: Large) -> list[harness.Row]:
    row, size = harness.row, short(plan.events)
    return [
        row("push_500", [one.one / one.bare for one in rounds], "times", "more", goal=PUSH_GOAL),
        row("push_500_rate", [one.one for one in rounds], "events/s", "more"),
        row("push_500_pgbench", [one.bare for one in rounds], "events/s", "more"),
        row("push_500_pgbench_500", [one.bulk for one in rounds], "events/s", "more"),
        row("push_500_cpu_api", [one.api_cpu for one in rounds], "µs"),
        row("push_500_cpu_postgres", [one.postgres_cpu for one in rounds], "µs"),
        row("push_500_2_workers", [one.two / one.bare for one in rounds], "times", "more", goal=PUSH_GOAL),
        row("push_500_2_workers_rate", [one.two for one in rounds], "events/s", "more"),
        row(f"push_{size}", found.pushed, "s"),
        row(f"import_{size}", found.taken_over, "s", goal=IMPORT_GOAL_SECONDS * plan.events),
    ]


def main() -> None:
    """Run it; --long for more and longer rounds."""
    is_long = "--long" in sys.argv[1:]
    plan = LONG if is_long else SHORT
    with harness.database() as url:
        bench = Bench(url, plan)
        rounds = bench.rounds()
        assert bench.acknowledged <= set(_log(url)), "everything that was acknowledged is in the log"
        found = large(bench)
        whole.check(url, bench.others + len(bench.acknowledged))
    harness.report(
        "push_long" if is_long else "push",
        _rows(plan, rounds, found),
        plan=plan._asdict(),
        connections=CONNECTIONS,
        ledgers=LEDGERS,
        file_mb=round(found.file_mb, 1),
    )


if __name__ == "__main__":
    main()
