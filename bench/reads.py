"""Asks what reads cost: a pull beside json_agg through a pool, balances beside pgbench with the same SQL, contacts, health."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

import msgspec
import psycopg

from api.tokens import Tokens
from bench import bare, filling, harness, load, people
from bench.bare import Bare
from bench.harness import Api
from bench.load import Load
from bench.people import Person
from storage import balances, urls
from storage.encryption import KeyRing, new_ring


class Plan(NamedTuple):
    """How much is measured: `seconds` of each side in each round."""

    ledgers: int
    long_ledgers: int
    rounds: int
    seconds: int


LONG, SHORT = Plan(10_000, 100, rounds=7, seconds=6), Plan(2_000, 20, rounds=3, seconds=1)
FACTS: Final = 500
"""Of a pull; the long ledgers have a few more."""
CONTACTS: Final = 1_000
PAGE: Final = 200
"""The most that a page may have."""
DEBTS, TAIL = 5, 2
"""Of each ledger whose balances are read: Dagster has summed the first ones."""


class Bench:
    """Ledgers with a history, and their requests."""

    def __init__(self, url: str, plan: Plan) -> None:
        self.url, self.plan, self.ring = url, plan, new_ring()
        self.keys = KeyRing.parse(self.ring)
        everybody = asyncio.run(people.make(url, self.keys, plan.ledgers))
        self.long, [self.popular], self.people = (
            everybody[: plan.long_ledgers],
            everybody[plan.long_ledgers : plan.long_ledgers + 1],
            everybody[plan.long_ledgers + 1 :],
        )
        friends = asyncio.run(people.befriend(url, self.keys, self.popular, CONTACTS - 1))
        asyncio.run(people.owe(url, self.keys, [self.popular, *friends], 1))
        asyncio.run(people.owe(url, self.keys, self.long, FACTS))
        asyncio.run(people.owe(url, self.keys, self.people, DEBTS))
        balances.materialise(harness.as_jobs(url))
        asyncio.run(people.owe(url, self.keys, self.people, TAIL))
        with psycopg.connect(urls.libpq_url(url), autocommit=True) as connection:
            filling.settle(connection)

    def requests(self, make: Callable[[Person, str], bytes], persons: Sequence[Person]) -> list[bytes]:
        """One of each, with a token that is new."""
        tokens = Tokens(self.keys)
        return [make(one, one.token(tokens)) for one in persons]


def _pull(one: Person, token: str) -> bytes:
    return load.request("POST", "/api/sync/pull", token, msgspec.json.encode({"since": 1, "limit": FACTS}))


def _plain_pull(one: Person, token: str) -> bytes:
    return load.request("POST", "/pull", token, msgspec.json.encode({"ledger": one.ledger_id, "since": 1, "limit": FACTS}))


def _drive(server: Api, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    found = load.drive(server.url, requests, connections, seconds)
    found.check()
    return found


def _plain(bench: Bench) -> AbstractContextManager[Api]:
    return harness.serve(["-m", "bench.plain"], {"DATABASE_URL": urls.libpq_url(bench.url)})


def _pulls(bench: Bench, server: Api) -> list[harness.Row]:
    ours, theirs, ratios = list[float](), list[float](), list[float]()
    mine, plain = bench.requests(_pull, bench.long), bench.requests(_plain_pull, bench.long)
    with _plain(bench) as other:
        for _ in range(bench.plan.rounds):
            theirs.append(_drive(other, plain, 16, bench.plan.seconds).per_second)
            ours.append(_drive(server, mine, 16, bench.plan.seconds).per_second)
            ratios.append(ours[-1] / theirs[-1])
    return [
        harness.row("pull_500", ratios, "of json_agg", "more", goal=2.0),
        harness.row("pull_500_rate", ours, "pulls/s", "more"),
        harness.row("pull_500_json_agg", theirs, "pulls/s", "more"),
    ]


_BALANCES: Final = balances.CURRENT_OF_MANY.replace("any(%(ledgers)s::uuid[])", "md5('ledger ' || {first} + :n)::uuid")


def _balances(bench: Bench, server: Api) -> list[harness.Row]:
    loads, bares = list[Load](), list[Bare]()
    requests = bench.requests(lambda _, token: load.request("GET", "/api/balances", token), bench.people)
    statement = " ".join(_BALANCES.format(first=bench.plan.long_ledgers + 1).split())
    for _ in range(bench.plan.rounds):
        bares.append(bare.run(bench.url, statement, clients=8, seconds=bench.plan.seconds, most=len(bench.people)))
        loads.append(_drive(server, requests, 32, bench.plan.seconds))
    ratios = [one.per_second / other.per_second for one, other in zip(loads, bares, strict=True)]
    return [
        harness.row("balances", ratios, "of pgbench", "more", goal=0.6),
        harness.row("balances_rate", [one.per_second for one in loads], "reads/s", "more"),
        harness.row("balances_pgbench", [one.per_second for one in bares], "reads/s", "more"),
        harness.row("balances_p99", [one.percentile(0.99) for one in loads], "ms"),
    ]


def _contacts(bench: Bench, server: Api) -> list[harness.Row]:
    """Beside Sanic alone, which answers nothing."""
    requests = bench.requests(lambda _, token: load.request("GET", f"/api/contacts?limit={PAGE}", token), [bench.popular])
    ours, theirs = list[float](), list[float]()
    with _plain(bench) as other:
        for _ in range(bench.plan.rounds):
            theirs.append(_drive(other, [_NOTHING], 1, bench.plan.seconds).percentile(0.99))
            ours.append(_drive(server, requests, 1, bench.plan.seconds).percentile(0.99))
    return [
        harness.row("contacts_1000", ours, "ms p99", goal=30.0),
        harness.row("contacts_1000_bare_sanic", theirs, "ms p99"),
    ]


_NOTHING: Final = load.request("GET", "/nothing", "")


def _health(bench: Bench, server: Api) -> list[harness.Row]:
    """Beside Sanic alone, which answers nothing: in the same process model, without ids, headers, counts and lines of a log."""
    ours, theirs = list[float](), list[float]()
    with _plain(bench) as other:
        for _ in range(bench.plan.rounds):
            theirs.append(_drive(other, [_NOTHING], 64, bench.plan.seconds).per_second)
            ours.append(_drive(server, [load.request("GET", "/health", "")], 64, bench.plan.seconds).per_second)
    return [
        harness.row("health", ours, "requests/s", "more", goal=30_000),
        harness.row("health_bare_sanic", theirs, "requests/s", "more"),
    ]


def main() -> None:
    """Run it; --long for more and longer rounds, and more ledgers to pull."""
    is_long = "--long" in sys.argv[1:]
    plan = LONG if is_long else SHORT
    with harness.database() as url:
        bench = Bench(url, plan)
        with harness.api(url, bench.ring) as server:
            rows = _pulls(bench, server) + _balances(bench, server)
            rows += _contacts(bench, server) + _health(bench, server)
    harness.report("reads_long" if is_long else "reads", rows, plan=plan._asdict())


if __name__ == "__main__":
    main()
