"""Asks what it takes: processor time of a change and of a pull, bytes on the disk of a fact, memory that a worker keeps.

One API worker, as `debitum up` starts it, over embedded Postgres with the settings that users get.
"""

import asyncio
import itertools
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import msgspec
import psycopg

from api.tokens import Tokens
from bench import filling, harness, load, people, whole
from bench.harness import Api
from bench.load import Driver, Load
from bench.people import Person
from bench.search import VOCABULARY
from storage import balances, urls
from storage.encryption import KeyRing, new_ring


class Plan(NamedTuple):
    """How much is measured; `large` is the facts of the ledger that is exported, beside one with a tenth of them."""

    rounds: int
    seconds: int
    warm_requests: int
    requests: int
    peaks: int
    large: int


LONG = Plan(rounds=7, seconds=6, warm_requests=50_000, requests=1_000_000, peaks=3, large=100_000)
SHORT = Plan(rounds=3, seconds=1, warm_requests=6_000, requests=6_000, peaks=1, large=10_000)
LEDGERS, PULLED, FACTS = 2_000, 20, 500
"""Ledgers that are written to, others that are pulled, and the debts of each of these, which are what a pull brings."""
APPENDING, PULLING, MIXED = 64, 16, 16
"""Connections, as in bench/append.py and bench/reads.py; of the many requests so few that none waits for its deadline on a
machine that has other work."""
PART_SECONDS: Final = 1.0
"""Of the many requests: after so long all tokens are new ones, as those of people who come back. What a worker remembers of
tokens and ledgers has its limit, and is full once it is warm."""
PAGE: Final = 1_000
"""The most that a pull may bring."""
BYTES_GOAL_KB, MEMORY_GOAL_MB, PEAK_GOAL_MB = 1.2, 10.0, 40.0


class Bench:
    """Users with debts on one database, and what was acknowledged."""

    def __init__(self, url: str, driver: Driver) -> None:
        self.url, self.driver, self.ring = url, driver, new_ring()
        self.keys, self.begin = KeyRing.parse(self.ring), harness.as_jobs(url)
        self.large, self.small, *everybody = asyncio.run(people.make(url, self.keys, 2 + PULLED + LEDGERS))
        self.pulled, self.people = everybody[:PULLED], everybody[PULLED:]
        self.written = 2 + PULLED + LEDGERS
        self.owe(self.pulled, FACTS)
        self.parts = itertools.count()

    def owe(self, persons: list[Person], debts: int) -> None:
        """So many debts of each."""
        asyncio.run(people.owe(self.url, self.keys, persons, debts, _SAID))
        self.written += len(persons) * debts

    def appends(self, server: Api, seconds: float) -> Load:
        """Changes, each in a ledger with few of them."""
        tokens = Tokens(self.keys)
        requests = [load.request("POST", "/api/transactions", one.token(tokens), _debt(one)) for one in self.people]
        found = self.driver.drive(server.url, requests, APPENDING, seconds, 201)
        found.check()
        self.written += found.good
        return found

    def pulls(self, server: Api, seconds: float) -> Load:
        """Pages of FACTS facts, not compressed."""
        tokens, body = Tokens(self.keys), msgspec.json.encode({"since": 1, "limit": FACTS})
        requests = [load.request("POST", "/api/sync/pull", one.token(tokens), body) for one in self.pulled]
        found = self.driver.drive(server.url, requests, PULLING, seconds)
        found.check()
        return found

    def mixed(self, server: Api, requests: int) -> int:
        """At least so many of all kinds, some of which are refused; how many there were."""
        done = 0
        while done < requests:
            tokens, kinds = Tokens(self.keys), itertools.islice(itertools.cycle(KINDS), next(self.parts) % len(KINDS), None)
            asked = [kind(one, one.token(tokens)) for one, kind in zip(self.people, kinds, strict=False)]
            found = self.driver.drive(server.url, asked, MIXED, PART_SECONDS)
            assert found.bad.keys() == {201, 400}, f"answers by status: {found.bad}"
            self.written += found.bad[201]
            done += found.good + sum(found.bad.values())
        return done

    def check(self) -> None:
        """Everything that was acknowledged is in the log, once and without gaps, and in the balances."""
        whole.check(self.url, self.written)


_DICE: Final = random.Random(5)
_SAID: Final = [" ".join(_DICE.choices(VOCABULARY, k=_DICE.randint(2, 6))) for _ in range(499)]


def _debt(one: Person) -> bytes:
    """Half of them with a day on which they are due."""
    data = {
        "contact_id": one.contact_id,
        "direction": _DICE.choice(("lent", "owed")),
        "amount": _DICE.randint(1, 100_000),
        "currency": "EUR",
        "description": _DICE.choice(_SAID),
        "transaction_date": "2026-11-20",
    }
    return msgspec.json.encode(data | ({"due_date": "2026-12-20"} if _DICE.random() < 0.5 else {}))


def _get(path: str) -> Callable[[Person, str], bytes]:
    return lambda _, token: load.request("GET", path, token)


def _post(path: str, data: object) -> Callable[[Person, str], bytes]:
    body = msgspec.json.encode(data)
    return lambda _, token: load.request("POST", path, token, body)


KINDS: Final[tuple[Callable[[Person, str], bytes], ...]] = (
    lambda one, token: load.request("POST", "/api/transactions", token, _debt(one)),
    _get("/api/balances"),
    _post("/api/sync/pull", {"since": 0, "limit": 20}),
    _get("/api/contacts"),
    _get("/api/transactions?limit=20"),
    _get("/api/search?q=pizz"),
    _get("/api/sync/hash"),
    _post("/api/transactions", {"direction": "lent", "amount": -1}),
    _get("/api/events?limit=20"),
)
"""What people ask for; the last but one is refused."""


# --- processor time --------------------------------------------------------------------------------------------------


def processor(bench: Bench, server: Api, plan: Plan) -> list[harness.Row]:
    """Microseconds of each side for a request, in turn; the load generator is not in them."""
    found: dict[str, list[float]] = {}
    sides = {"api": server.process, "postgres": harness.postgres(bench.url)}
    for number in range(plan.rounds + 1):
        for name, drive in (("append", bench.appends), ("pull", bench.pulls)):
            before = {side: harness.cpu_seconds(process) for side, process in sides.items()}
            done = drive(server, plan.seconds).good
            for side, process in sides.items():
                used = harness.cpu_since(process, before[side]) / done * 1e6
                if number:  # in the first every connection gets its plans
                    found.setdefault(f"cost_{name}_{side}_cpu", []).append(used)
    return [harness.row(name, rounds, "µs") for name, rounds in found.items()]


# --- disk ------------------------------------------------------------------------------------------------------------


class Relation(NamedTuple):
    """Bytes a fact; `rows` to a hundred facts."""

    table: float
    indexes: float
    rows: float


def disk(bench: Bench) -> tuple[harness.Row, dict[str, object]]:
    """All tables that a debt writes to, with their indexes, after a vacuum, by the number of facts; and how it splits."""
    balances.materialise(bench.begin)
    with psycopg.connect(urls.libpq_url(bench.url), autocommit=True) as connection:
        filling.settle(connection)
        lines = connection.execute(_SIZES, {"tables": list(TABLES), "facts": bench.written}).fetchall()
        fact = connection.execute("select avg(octet_length(fact))::float from debitum.events").fetchone()
    tables = {str(name): Relation(*map(_rounded, sizes)) for name, *sizes in lines}
    assert len(tables) == len(TABLES)
    whole = sum(one.table + one.indexes for one in tables.values())
    notes: dict[str, object] = {
        "bytes_per_event_by_table": {name: one._asdict() for name, one in tables.items()},
        "bytes_of_a_fact": None if fact is None else _rounded(fact[0]),
        "facts": bench.written,
        "facts_per_ledger": _rounded(bench.written / LEDGERS),
    }
    return harness.row("bytes_per_event", [whole / 1_000], "kB", goal=BYTES_GOAL_KB), notes


def _rounded(value: object) -> float:
    return round(float(str(value)), 1)


TABLES: Final = ("events", "transactions", "postings", "contacts", "ledgers", "balances", "projection_marks")
"""Accounts, devices and sessions are not in it: they do not grow with debts."""
_SIZES: Final = """
    select relname, pg_table_size(oid) / %(facts)s::float, pg_indexes_size(oid) / %(facts)s::float, reltuples * 100 / %(facts)s
    from pg_class where relnamespace = 'debitum'::regnamespace and relname = any(%(tables)s)
    order by pg_total_relation_size(oid) desc
"""


# --- memory ----------------------------------------------------------------------------------------------------------


def memory(bench: Bench, server: Api, plan: Plan) -> tuple[harness.Row, dict[str, object]]:
    """What only the worker has (USS), after many requests, less what it had after those that warmed it up."""
    warm = bench.mixed(server, plan.warm_requests)
    before = _uss_mb(server)
    done = bench.mixed(server, plan.requests)
    after = _uss_mb(server)
    notes: dict[str, object] = {
        "worker_memory": {
            "warm_requests": warm,
            "requests": done,
            "before_mb": round(before, 1),
            "after_mb": round(after, 1),
        }
    }
    return harness.row("worker_memory_growth", [after - before], "MB", goal=MEMORY_GOAL_MB), notes


def _uss_mb(server: Api) -> float:
    assert not server.process.children()
    return float(server.process.memory_full_info().uss) / 2**20


Ask = Callable[[httpx.Client, int], int]
"""A request for everything, or a page, of a ledger with so many facts; the bytes of the answer."""


def _export(http: httpx.Client, facts: int) -> int:
    lines, size = _read(http, "/api/export")
    assert lines > 2 * facts - 1  # each debt, the contact, and each fact
    return size


def _state(http: httpx.Client, facts: int) -> int:
    lines, size = _read(http, "/api/sync/state")
    assert lines == facts + 1  # each debt, the contact, and the head
    return size


def _read(http: httpx.Client, path: str) -> tuple[int, int]:
    """Lines and bytes of an answer that is read as it comes and thrown away."""
    lines, size = 0, 0
    with http.stream("GET", path) as answer:
        assert answer.status_code == 200
        for chunk in answer.iter_bytes():
            lines, size = lines + chunk.count(b"\n"), size + len(chunk)
    return lines, size


def _page(http: httpx.Client, facts: int) -> int:
    answer = http.post("/api/sync/pull", json={"since": facts - PAGE, "limit": PAGE})
    assert answer.status_code == 200
    assert answer.content.count(b'{"hash":"') == PAGE
    return len(answer.content)


ASKED: Final[dict[str, Ask]] = {"export": _export, "state": _state, "pull": _page}


class Peak(NamedTuple):
    """What a worker had at most while it answered, and the size of the answer, in MB."""

    worker: float
    answer: float


def peaks(bench: Bench, plan: Plan) -> list[harness.Row]:
    """How much more a new worker has at most while it answers for the large ledger than for the small one, which came first."""
    bench.owe([bench.large], plan.large - 1)
    bench.owe([bench.small], plan.large // 10 - 1)
    found: dict[str, list[float]] = {}
    for _ in range(plan.peaks):
        for name, ask in ASKED.items():
            with harness.api(bench.url, bench.ring) as server:
                small, large = (
                    _peak(bench, server, ask, one, facts)
                    for one, facts in ((bench.small, plan.large // 10), (bench.large, plan.large))
                )
            found.setdefault(f"{name}_peak_growth", []).append(large.worker - small.worker)
            found.setdefault(f"{name}_peak", []).append(large.worker)
            found.setdefault(f"{name}_answer", []).append(large.answer)
    goals = {f"{name}_peak_growth": {"goal": PEAK_GOAL_MB} for name in ASKED}
    return [harness.row(name, rounds, "MB", "less", **goals.get(name, {})) for name, rounds in found.items()]


def _peak(bench: Bench, server: Api, ask: Ask, one: Person, facts: int) -> Peak:
    """Linux's VmHWM of the worker during the second of two answers that are the same."""
    process = Path("/proc") / str(server.process.pid)
    headers = {"Authorization": f"Bearer {one.token(Tokens(bench.keys))}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=120.0) as http:
        ask(http, facts)
        (process / "clear_refs").write_text("5")  # from here on the mark of what it had at most is what it has
        size = ask(http, facts)
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return Peak(int(status["VmHWM"].split()[0]) / 1024, size / 2**20)


def main() -> None:
    """Run it; --long for a million requests, a ledger of 100,000, and more rounds."""
    is_long = "--long" in sys.argv[1:]
    plan = LONG if is_long else SHORT
    with harness.database() as url, Driver() as driver:
        bench = Bench(url, driver)
        with harness.api(url, bench.ring) as server:
            rows = processor(bench, server, plan)
            kept, of_memory = memory(bench, server, plan)
        on_disk, of_disk = disk(bench)
        rows += [on_disk, kept, *peaks(bench, plan)]
        bench.check()
    harness.report("cost_long" if is_long else "cost", rows, plan=plan._asdict(), **of_disk, **of_memory)


if __name__ == "__main__":
    main()
