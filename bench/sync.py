"""Asks what sync costs: a first sync, pushes and pulls, and the way of a change to a thousand open sockets."""

import asyncio
import contextlib
import json
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from bench import harness, listeners, traffic
from bench.listeners import Latency
from bench.traffic import Body, User
from client import Device
from storage.encryption import new_ring


class Plan(NamedTuple):
    """How much is measured."""

    events: int
    """Of the ledger that is synced."""
    batches: int
    """Of the other ledgers, a round."""
    singles: int
    """Pushes of one event, a connection and round."""
    ledgers: int
    """SOCKETS_A_LEDGER sockets listen to each."""
    seconds: int
    """Of changes, a round with all sockets open; half of it with few."""


LONG = Plan(events=100_000, batches=10, singles=200, ledgers=250, seconds=20)
SHORT = Plan(events=10_000, batches=2, singles=30, ledgers=50, seconds=2)
ROUNDS = 3
BATCH, PAGES, SHORT_PAGES = 500, 1_000, 500
CONNECTIONS = 4
SOCKETS_A_LEDGER = 4
"""Half of them on each process; a fifth would be the last that a ledger may have."""
FEW_LEDGERS, FEW_SOCKETS_A_LEDGER = 5, 2
CHANGES_A_SECOND = 20
GOALS = {f"head_latency_{of}p99": 250.0 for of in ("", "since_sent_", "other_process_")}
RATE = "events/s"
SETTLE_SECONDS = 1.0
"""Between the last `ready` and a look at the memory."""
IDS, LIVE = "select id from facts order by seq", "select count(*) from entities where fields ->> 'deleted_at' is null"
"""Of a device's file."""


class Found:
    """What the rounds have found; `cores` says whose work is noted beside it."""

    def __init__(self) -> None:
        self.cores = harness.Cores()
        self._rounds: dict[tuple[str, str], list[float]] = {}
        self._busy: dict[str, list[dict[str, float]]] = {}

    def add(self, row: str, unit: str, value: float) -> None:
        """One round more of a row."""
        self._rounds.setdefault((row, unit), []).append(value)

    async def seconds(self, row: str, work: Awaitable[Any]) -> float:
        """How long `work` takes; how busy everybody is meanwhile is noted."""
        self.cores.since()
        took = await harness.timed(work) / 1_000
        self._busy.setdefault(row, []).append(self.cores.since())
        return took

    def rows(self) -> list[harness.Row]:
        """All, in the order in which they came first."""
        found = [harness.row(row, all_, unit, "more" if unit == RATE else "less") for (row, unit), all_ in self._rounds.items()]
        for one in found:
            one.goal = GOALS.get(one.name)
        return found

    def busy(self) -> dict[str, dict[str, float]]:
        """Cores that each side kept busy, by row: the median of the rounds."""
        return {
            row: {side: round(statistics.median(one[side] for one in rounds), 2) for side in rounds[0]}
            for row, rounds in self._busy.items()
        }


# --- logs: pushed, pulled, synced ---------------------------------------------------------------------------------------


async def logs(url: str, keys: str, plan: Plan, found: Found) -> None:
    """Fill a ledger, and others beside it, and bring it to new devices; then see that everything is where it should be."""
    with harness.api(url, keys) as server:
        found.cores = harness.Cores(api=server.process, postgres=harness.postgres(url), here=psutil.Process())
        first, *others = users = await traffic.register(server.url, 1 + CONNECTIONS)
        for number in range(ROUNDS):
            share = plan.events // BATCH * (number + 1) // ROUNDS - plan.events // BATCH * number // ROUNDS
            await pushes(first, others, share, plan, found)
        with tempfile.TemporaryDirectory(prefix="debitum-bench-devices-") as folder:
            for number in range(ROUNDS):
                path = Path(folder) / f"{number}.sqlite"
                await reads(path, server.url, first, found)
        for user in users:
            assert await pages(user.http, PAGES) == user.head[0] == len(user.acknowledged)
            await user.close()


async def pushes(first: User, others: Sequence[User], share: int, plan: Plan, found: Found) -> None:
    """A round: in batches over one connection and over several, then the same with one event a push."""
    for row, users, count, size in (
        (f"sync_push_{BATCH}", [first], share, BATCH),
        (f"sync_push_{BATCH}_{CONNECTIONS}_connections", others, plan.batches, BATCH),
        ("sync_push_1", others[:1], plan.singles, 1),
        (f"sync_push_1_{CONNECTIONS}_connections", others, plan.singles, 1),
    ):
        prepared = [(user, [user.prepare(size) for _ in range(count)]) for user in users]
        took = await found.seconds(row, asyncio.gather(*(_push_all(user, bodies) for user, bodies in prepared)))
        found.add(row, RATE, len(users) * count * size / took)


async def _push_all(user: User, bodies: Sequence[Body]) -> None:
    for body in bodies:
        await user.push(body)


async def reads(path: Path, url: str, user: User, found: Found) -> None:
    """A round: the whole ledger by a new device, then by clients that only fetch it."""
    size = len(user.acknowledged)
    async with Device(path, url) as device:
        await device.login(user.email, traffic.PASSWORD)
        row = f"first_sync_{size}"
        took = await found.seconds(row, device.sync())
        assert device.head == user.head
    found.add(row, "s", took)
    found.add(f"{row}_rate", RATE, size / took)
    for name, limit, encoding in (("", PAGES, "gzip"), ("", SHORT_PAGES, "gzip"), ("_uncompressed", PAGES, "identity")):
        row = f"sync_pull_{limit}{name}"
        took = await found.seconds(row, pages(user.http, limit, encoding))
        if row == f"sync_pull_{PAGES}":
            found.add(f"sync_bare_pages_{size}", "s", took)
        found.add(row, RATE, size / took)
    row, lines = f"sync_state_{size}", list[bytes]()
    found.add(row, "s", await found.seconds(row, state(user.http, lines)))
    _check(path, user, lines)


async def pages(http: httpx.AsyncClient, limit: int, encoding: str = "gzip") -> int:
    """Fetch a log by the requests of a device, reading no more of a page than the next one needs; how many facts."""
    since, digest, has_more = 0, None, True
    while has_more:
        asked = {"since": since, "hash": digest, "limit": limit}
        answer = await http.post("/api/sync/pull", json=asked, headers={"Accept-Encoding": encoding})
        assert answer.status_code == 200, answer.text
        page, start = answer.content, b'{"hash":"'  # of a fact: nothing else in a page begins so
        since += page.count(start)
        digest = page[page.rindex(start) + len(start) :][:64].decode()
        has_more = page.endswith(b'"has_more":true}')
    return since


async def state(http: httpx.AsyncClient, lines: list[bytes]) -> None:
    """Fetch the first screen to its last line."""
    async with http.stream("GET", "/api/sync/state") as answer:
        chunks = [chunk async for chunk in answer.aiter_bytes()]
    lines += b"".join(chunks).splitlines()


def _check(path: Path, user: User, lines: Sequence[bytes]) -> None:
    """What was acknowledged is in the device's file, as it was pushed; and what of it is live was on the first screen."""
    assert json.loads(lines[0])["version"] == user.head[0]
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert [event_id for (event_id,) in file.execute(IDS)] == user.acknowledged
        assert file.execute(LIVE).fetchone() == (len(lines) - 1,)


# --- news: from a push to the sockets -----------------------------------------------------------------------------------


class Hearing(NamedTuple):
    """What came of one round of changes: `grown`, bytes a socket, of each process; `late`, ms, is this process itself."""

    latencies: list[Latency]
    grown: list[float]
    late: list[float]


async def news(url: str, keys: str, plan: Plan, found: Found) -> list[float]:
    """Rounds with new processes, first with few sockets, then with all; how late this process itself was (ms)."""
    with harness.api(url, keys) as server:
        users = await traffic.register(server.url, plan.ledgers)
    late: list[float] = []
    for _ in range(ROUNDS):
        with harness.api(url, keys) as one, harness.api(url, keys) as other:
            found.cores = harness.Cores(
                one=one.process, other=other.process, postgres=harness.postgres(url), here=psutil.Process()
            )
            few = await hear((one, other), users[:FEW_LEDGERS], FEW_SOCKETS_A_LEDGER, plan.seconds // 2, found)
            all_ = await hear((one, other), users, SOCKETS_A_LEDGER, plan.seconds, found)
            await _check_heads(one.url, users)
        _add_latencies(found, "", all_.latencies)
        _add_latencies(found, f"{FEW_LEDGERS * FEW_SOCKETS_A_LEDGER}_sockets_", few.latencies)
        for grown in all_.grown:
            found.add("memory_per_socket", "KiB", grown / 1_024)
        late += all_.late
    for user in users:
        await user.close()
    return late


async def hear(servers: Sequence[harness.Api], users: Sequence[User], each: int, seconds: int, found: Found) -> Hearing:
    """A round with `each` sockets a user."""
    urls, before = [server.url for server in servers], [_memory(server) for server in servers]
    async with listeners.listening(urls, users, each) as opened, listeners.lateness() as late:
        await asyncio.sleep(SETTLE_SECONDS)
        share = len(opened) / len(servers)
        grown = [(_memory(server) - was) / share for server, was in zip(servers, before, strict=True)]
        changes: list[listeners.Change] = []
        await found.seconds(f"{len(opened)}_sockets", listeners.change(urls, users, CHANGES_A_SECOND, seconds, changes))
        await listeners.all_heard(opened)
    return Hearing(listeners.latencies(changes, opened), grown, late)


def _add_latencies(found: Found, sockets: str, times: Sequence[Latency]) -> None:
    kinds = {
        "": [one.since_answer for one in times],
        "since_sent_": [one.since_sent for one in times],
        "same_process_": [one.since_answer for one in times if one.same_process],
        "other_process_": [one.since_answer for one in times if not one.same_process],
    }
    for kind, shares in kinds.items():
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            found.add(f"head_latency_{sockets}{kind}{name}", "ms", harness.percentile(shares, share))


def _memory(server: harness.Api) -> int:
    """Bytes that only this process has; what the kernel keeps for its sockets is not part of it."""
    return int(server.process.memory_full_info().uss)


async def _check_heads(url: str, users: Sequence[User]) -> None:
    """What the sockets said last, which is what the pushes said, is what the server says."""
    async with httpx.AsyncClient(base_url=url) as http:
        for user in users:
            head = (await http.get("/api/sync/hash", headers=user.headers)).json()
            assert (head["version"], head["hash"]) == user.head
            assert head["version"] == len(user.acknowledged)


def main() -> None:
    """Run it; with --long five times as many events and sockets, and longer."""
    plan = LONG if "--long" in sys.argv[1:] else SHORT
    found, keys = Found(), new_ring()
    with harness.database() as url:
        asyncio.run(logs(url, keys, plan, found))
        late = asyncio.run(news(url, keys, plan, found))
    harness.report(
        "sync_long" if plan is LONG else "sync",
        found.rows(),
        rounds=ROUNDS,
        sockets=plan.ledgers * SOCKETS_A_LEDGER,
        busy_cores=found.busy(),
        generator_late_p99_ms=round(harness.percentile(late, 0.99), 2),
    )


if __name__ == "__main__":
    main()
