"""Asks what a log that grows costs those who use it: the same work with a hundred thousand to ten million facts of others.

Each size is a database on a Postgres of its own with an API server of its own, all at once, and each kind of work is measured
on one after the other: p50 of one connection, or what a run of `materialise` takes. Everywhere the same people are active, as
many and with as long a past, so that what grows is what lies around them: tables, indexes, and the memory that they would fill.
In `growth_own_…` (with --long) it is the ledger's own past that grows, in the smallest database.
"""

import asyncio
import itertools
import json
import random
import statistics
import sys
import time
import urllib.parse
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Final, NamedTuple, Self

import httpx
import msgspec
import psycopg

from api.tokens import Tokens
from bench import filling, harness, load, others, people, whole
from bench.load import Driver
from bench.materialise import short
from bench.people import Person
from bench.search import VOCABULARY
from storage import balances, urls
from storage.encryption import KeyRing, new_ring


class Plan(NamedTuple):
    """How much is measured: facts of others, facts of one ledger, and `seconds` of each kind of work in each round."""

    sizes: tuple[int, ...]
    own: tuple[int, ...]
    rounds: int
    seconds: float


LONG = Plan((100_000, 1_000_000, 3_000_000, 10_000_000), (100, 1_000, 10_000), rounds=5, seconds=1.0)
SHORT = Plan((50_000, 250_000), (), rounds=3, seconds=0.3)
GOAL: Final = 1.5
ACTIVE, DEBTS = 1_000, 5
"""Ledgers that are written to and whose balances are read, and what each has before."""
PULLED, FACTS = 20, 500
"""Ledgers that are pulled and searched, and the debts of each, which are what a pull brings."""
CHANGED, RUNS = 500, 3
"""Ledgers with a new debt before a run of `materialise`, and runs a round."""
OWN_FACTS, CONTACT_FACTS = 10_000, 20
"""Of the ledgers of each length together, and of a contact with its debts: a longer past is one with more people."""
OWN_PULL, BEFORE_END = 50, 60
"""Facts that are pulled of a ledger with a past of its own, from so many before what was its end: all of them are debts."""
WORK: Final = ("materialise", "append", "balances", "pull", "search")
"""In this order: what a round has appended is a tail to the balances that it reads, and is covered by the next."""
NO_GOAL: Final = frozenset({"own_balances", "own_search"})
"""The answer grows, and so does what is looked through."""


class Group(NamedTuple):
    """Who is measured together: one of them, or all, at each kind of work; a pull brings `pull` facts after `since`."""

    changed: Sequence[Person]
    writing: Sequence[Person]
    reading: Sequence[Person]
    pulled: Sequence[Person]
    since: int
    pull: int


class Side:
    """A database with so many facts of other people, a server on it, and the people whose requests are measured."""

    def __init__(self, url: str, size: int, own: Sequence[int]) -> None:
        self.url, self.size, self.ring = url, size, new_ring()
        self.keys, self.begin = KeyRing.parse(self.ring), harness.as_jobs(url)
        others.fill(url, size)
        everybody = iter(asyncio.run(people.make(url, self.keys, ACTIVE + PULLED + sum(OWN_FACTS // one for one in own))))
        active, pulled = list(itertools.islice(everybody, ACTIVE)), list(itertools.islice(everybody, PULLED))
        self.written = ACTIVE + PULLED
        """Facts of everybody who is measured."""
        self.owe(active, DEBTS)
        self.owe(pulled, FACTS)
        self.groups = {str(size): Group(active[:CHANGED], active, active, pulled, 1, FACTS)}
        for length in own:
            self.groups[f"own {length}"] = self._with_past(list(itertools.islice(everybody, OWN_FACTS // length)), length)
        balances.materialise(self.begin)
        with psycopg.connect(urls.libpq_url(url), autocommit=True) as connection:
            filling.settle(connection)

    def _with_past(self, owners: Sequence[Person], length: int) -> Group:
        """Ledgers of `length` facts each."""
        more = length // CONTACT_FACTS - 1
        friends = [friend for one in owners for friend in asyncio.run(people.befriend(self.url, self.keys, one, more))]
        self.written += len(owners) + len(friends)
        self.owe([*owners, *friends], CONTACT_FACTS - 1)
        return Group(owners[:1], [*owners, *friends], owners, owners, length - BEFORE_END, OWN_PULL)

    def owe(self, persons: Sequence[Person], debts: int) -> None:
        """So many debts of each."""
        asyncio.run(people.owe(self.url, self.keys, persons, debts, _DESCRIPTIONS))
        self.written += len(persons) * debts

    def start(self, stack: ExitStack) -> Self:
        """Start the server, until the stack ends."""
        self.server = stack.enter_context(harness.api(self.url, self.ring))
        return self

    def measure(self, work: str, group: Group, driver: Driver, seconds: float) -> float:
        """Milliseconds."""
        if work == "materialise":
            return self._materialise(group.changed)
        requests, status = self._requests(work, group), 201 if work == "append" else 200
        found = driver.drive(self.server.url, requests, 1, seconds, status)
        found.check()
        self.written += found.good if work == "append" else 0
        return found.percentile(0.5)

    def _materialise(self, changed: Sequence[Person]) -> float:
        balances.materialise(self.begin)  # what was appended meanwhile
        times = []
        for _ in range(RUNS):
            self.owe(changed, 1)
            began = time.perf_counter()
            done = balances.materialise(self.begin)
            times.append((time.perf_counter() - began) * 1_000)
            assert done.ledgers == done.covered == len(changed)
        return statistics.median(times)

    def _requests(self, work: str, group: Group) -> list[bytes]:
        """With tokens that are new."""
        tokens = Tokens(self.keys)
        match work:
            case "append":
                return [
                    load.request("POST", "/api/transactions", one.token(tokens), people.lunch_body(one)) for one in group.writing
                ]
            case "balances":
                return [load.request("GET", "/api/balances", one.token(tokens)) for one in group.reading]
            case "pull":
                body = msgspec.json.encode({"since": group.since, "limit": group.pull})
                return [load.request("POST", "/api/sync/pull", one.token(tokens), body) for one in group.pulled]
        return [load.request("GET", path, one.token(tokens)) for one in group.pulled for path in _SEARCHES]

    # --- afterwards --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Everything is in the log, once and without gaps, and in the balances; and what was asked was answered."""
        whole.check(self.url, self.size + self.written)
        for group in self.groups.values():
            self._check_answers(group)

    def _check_answers(self, group: Group) -> None:
        one = group.pulled[0]
        headers = {"Authorization": f"Bearer {one.token(Tokens(self.keys))}"}
        with httpx.Client(base_url=self.server.url, headers=headers) as http:
            page = http.post("/api/sync/pull", json={"since": group.since, "limit": group.pull}).json()["events"]
            assert [fact["seq"] for fact in page] == list(range(group.since + 1, group.since + group.pull + 1))
            items = http.get("/api/search", params={"q": "lodz"}).json()["items"]
            assert items
            assert all("Łódź" in json.dumps(item, ensure_ascii=False) for item in items)
            net = http.get("/api/balances").json()["totals"][0]["net"]
        with psycopg.connect(urls.libpq_url(self.url)) as connection:
            assert connection.execute(_OWED, [one.ledger_id]).fetchone() == (net,)


_DICE: Final = random.Random(3)
_DESCRIPTIONS: Final = [" ".join(_DICE.choices(VOCABULARY, k=_DICE.randint(2, 6))) for _ in range(499)]
"""Their number shares no factor with what they are given to."""
_SEARCHES: Final = [
    f"/api/search?q={urllib.parse.quote(' '.join(word[:4] for word in _DICE.choices(VOCABULARY, k=_DICE.randint(1, 3))))}"
    for _ in range(20)
]
_OWED: Final = "select sum(amount)::bigint from debitum.postings where ledger_id = %s"
# --- the report ------------------------------------------------------------------------------------------------------

Found = dict[tuple[str, str], list[float]]
"""Milliseconds, round by round, by the kind of work and the group's name."""


def rounds(sides: Sequence[Side], plan: Plan) -> Found:
    """Each kind of work on one group after the other, forth and back."""
    found: Found = {}
    groups = [(side, name, group) for side in sides for name, group in side.groups.items()]
    with Driver() as driver:
        for number in range(plan.rounds + 1):
            for work in WORK:
                for side, name, group in groups if number % 2 else reversed(groups):
                    took = side.measure(work, group, driver, plan.seconds)
                    if number:  # the first warms up what a server that has run for a while has warm
                        found.setdefault((work, name), []).append(took)
    return found


def rows(found: Found, plan: Plan) -> Iterable[harness.Row]:
    """How many times the smallest's is the largest's, and the times themselves."""
    for prefix, key, sizes in (("", "", plan.sizes), ("own_", "own ", plan.own)):
        for work in WORK if sizes else ():
            smallest, *_, largest = (found[work, f"{key}{size}"] for size in sizes)
            ratios = [after / before for before, after in zip(smallest, largest, strict=True)]
            name, has_goal = f"growth_{prefix}{work}", f"{prefix}{work}" not in NO_GOAL
            yield harness.row(name, ratios, "times", goal=GOAL) if has_goal else harness.row(name, ratios, "times")
            for size in sizes:
                at = str(size) if size < 1_000 else short(size)
                yield harness.row(f"{name}_at_{at}", found[work, f"{key}{size}"], "ms")


def main() -> None:
    """Run it; --long with three and ten million facts too, and more rounds."""
    is_long = "--long" in sys.argv[1:]
    plan = LONG if is_long else SHORT
    with ExitStack() as stack:
        sides = [
            Side(stack.enter_context(harness.database()), size, plan.own if size == plan.sizes[0] else ()) for size in plan.sizes
        ]
        for side in sides:
            side.start(stack)
        found = rounds(sides, plan)
        for side in sides:
            side.check()
    harness.report("growth_long" if is_long else "growth", list(rows(found, plan)), plan=plan._asdict())


if __name__ == "__main__":
    main()
