"""Asks how many changes the API stores, beside pgbench that writes the same rows of the same tables, in turn."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from api.tokens import Tokens
from bench import bare, harness, load, people, whole
from bench.bare import Bare
from bench.harness import Api
from bench.load import Load
from bench.people import Person
from storage.encryption import KeyRing, new_ring


class Plan(NamedTuple):
    """How much is measured: `seconds` of each side in each round."""

    ledgers: int
    rounds: int
    seconds: int


LONG, SHORT = Plan(ledgers=10_000, rounds=7, seconds=6), Plan(ledgers=10_000, rounds=3, seconds=1)
CLIENTS: Final = 32
"""Of pgbench: where it is fastest."""
FRIENDS: Final = 200
P99_MS: Final = 15.0


class Case(NamedTuple):
    """A load on the API beside one on Postgres."""

    name: str
    connections: int
    clients: int
    workers: int = 1
    hot: bool = False


MANY = Case("append_64", 64, CLIENTS)
MORE = Case("append_128", 128, CLIENTS, workers=2)
HOT = Case("append_hot", 64, CLIENTS, hot=True)
ONE = Case("append_one", 1, 1)


class Round(NamedTuple):
    """What one round found; CPU in µs a change."""

    api: Load
    bare: Bare
    api_cpu: float
    postgres_cpu: float


class Bench:
    """Users, their requests, and pgbench's statement on one database."""

    def __init__(self, url: str, plan: Plan) -> None:
        self.url, self.plan, self.ring = url, plan, new_ring()
        keys = KeyRing.parse(self.ring)
        self.people = asyncio.run(people.make(url, keys, plan.ledgers))
        self.friends = asyncio.run(people.befriend(url, keys, self.people[0], FRIENDS))
        """Contacts in the ledger that is hot: nobody writes a thousand debts a second to one of them."""
        self.acknowledged = 0
        bare.prepare(url, plan.ledgers)
        with harness.api(url, self.ring) as server:
            self.drive(server, self.requests(self.people[:1]), Case("first", 1, 0), seconds=1)
        self.statement = bare.append(url)

    def requests(self, persons: Sequence[Person]) -> list[bytes]:
        """One of each, with a token that is new."""
        tokens = Tokens(KeyRing.parse(self.ring))
        return [load.request("POST", "/api/transactions", one.token(tokens), people.lunch_body(one)) for one in persons]

    def drive(self, server: Api, requests: Sequence[bytes], case: Case, seconds: float) -> Load:
        """Everything is accepted."""
        found = load.drive(server.url, requests, case.connections, seconds, 201)
        found.check()
        self.acknowledged += found.good
        return found

    def rounds(self, case: Case) -> list[Round]:
        """Both sides in turn."""
        requests = self.requests(self.friends if case.hot else self.people)
        statement = bare.hot(self.statement) if case.hot else self.statement
        found = []
        with harness.api(self.url, self.ring, case.workers) as server:
            postgres = harness.postgres(self.url)
            self.drive(server, requests, case, seconds=1)  # every connection has its plans; most tokens have not been seen yet
            for _ in range(self.plan.rounds):
                by_itself = bare.run(self.url, statement, clients=case.clients, seconds=self.plan.seconds, most=self.plan.ledgers)
                before = [(process, harness.cpu_seconds(process)) for process in (server.process, postgres)]
                loaded = self.drive(server, requests, case, self.plan.seconds)
                used = [harness.cpu_since(process, then) / loaded.good * 1e6 for process, then in before]
                found.append(Round(loaded, by_itself, *used))
        return found

    def check(self) -> None:
        """Everything that was acknowledged is in the log once, without gaps, and in the balances."""
        whole.check(self.url, len(self.people) + FRIENDS + self.acknowledged)


def _rates(case: Case, rounds: Sequence[Round], *, floor: float, goal: float) -> list[harness.Row]:
    row, name = harness.row, case.name
    ratios = [one.api.per_second / one.bare.per_second for one in rounds]
    return [
        row(name, ratios, "of pgbench", "more", floor=floor, goal=goal),
        row(f"{name}_rate", [one.api.per_second for one in rounds], "changes/s", "more"),
        row(f"{name}_pgbench", [one.bare.per_second for one in rounds], "changes/s", "more"),
        row(f"{name}_p50", [one.api.percentile(0.5) for one in rounds], "ms"),
        row(f"{name}_p99", [one.api.percentile(0.99) for one in rounds], "ms", goal=P99_MS),
        row(f"{name}_cpu_api", [one.api_cpu for one in rounds], "µs"),
        row(f"{name}_cpu_postgres", [one.postgres_cpu for one in rounds], "µs"),
    ]


def _alone(rounds: Sequence[Round]) -> list[harness.Row]:
    ratios = [one.api.percentile(0.5) / one.bare.latency for one in rounds]
    return [
        harness.row(ONE.name, ratios, "of pgbench", goal=3.0),
        harness.row(f"{ONE.name}_p50", [one.api.percentile(0.5) for one in rounds], "ms"),
        harness.row(f"{ONE.name}_pgbench", [one.bare.latency for one in rounds], "ms"),
    ]


def main() -> None:
    """Run it; --long for more and longer rounds."""
    is_long = "--long" in sys.argv[1:]
    plan = LONG if is_long else SHORT
    with harness.database() as url:
        bench = Bench(url, plan)
        rows = _rates(MANY, bench.rounds(MANY), floor=0.7, goal=1.0)
        rows += _rates(MORE, bench.rounds(MORE), floor=0.7, goal=1.1)
        rows += _rates(HOT, bench.rounds(HOT), floor=5.0, goal=7.0)
        rows += _alone(bench.rounds(ONE))
        bench.check()
    harness.report("append_long" if is_long else "append", rows, plan=plan._asdict())


if __name__ == "__main__":
    main()
