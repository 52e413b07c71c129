"""Asks how much more the API stores than its peers, side by side in one run: `python -m bench.peers` (--long for more rounds).

Installs the peers first, into the checkout's cache. One that cannot be had here is left out, and the results say why.
"""

import sys
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from bench import append, harness
from bench.append import Bench, Case, Plan
from bench.peers import actual, ihatemoney, installing, running
from bench.peers.eventsourcing import Recorder
from bench.peers.installing import Missing

LONG, SHORT = Plan(ledgers=10_000, rounds=7, seconds=6), Plan(ledgers=10_000, rounds=3, seconds=3)
WARM_SECONDS: Final = 1.0


class Peer(Protocol):
    """A side that is measured beside ours."""

    def drive(self, seconds: float) -> float:
        """How many a second; everything is accepted."""

    def check(self) -> None:
        """What was acknowledged is there."""


class Sides(NamedTuple):
    """What the rounds found, a second: ours, and each of theirs in the same order."""

    ours: list[float]
    theirs: list[list[float]]

    def rows(self, name: str, unit: str, goal: float | None, *, which: int = 0) -> list[harness.Row]:
        """How many times as much ours does, and how much each does."""
        ratios = [ours / theirs for ours, theirs in zip(self.ours, self.theirs[which], strict=True)]
        limits = {} if goal is None else {"goal": goal}
        return [
            harness.row(f"peer_{name}", ratios, "times", "more", **limits),
            harness.row(f"peer_{name}_ours", self.ours, "changes/s", "more"),
            harness.row(f"peer_{name}_theirs", self.theirs[which], f"{unit}/s", "more"),
        ]


def compare(bench: Bench, case: Case, *peers: Peer) -> Sides:
    """All sides in turn, in rounds; in the end what the peers have is checked."""
    sides = Sides([], [[] for _ in peers])
    requests = bench.requests(bench.friends if case.hot else bench.people)
    with harness.api(bench.url, bench.ring, case.workers) as server:
        bench.drive(server, requests, case, WARM_SECONDS)  # every connection has its plans, and every token has been seen
        for _ in range(bench.plan.rounds):
            for peer, found in zip(peers, sides.theirs, strict=True):
                found.append(peer.drive(bench.plan.seconds))
            sides.ours.append(bench.drive(server, requests, case, bench.plan.seconds).per_second)
    for peer in peers:
        peer.check()
    return sides


def _ihatemoney(bench: Bench, notes: dict[str, object]) -> list[harness.Row]:
    with ihatemoney.run(installing.environment("ihatemoney"), bench.url) as peer:
        notes["ihatemoney_connections"] = peer.connections
        return compare(bench, append.MANY, peer).rows("ihatemoney", "bills", 40.0)


def _actual(bench: Bench, notes: dict[str, object]) -> list[harness.Row]:
    with actual.run(*actual.install()) as peer:
        notes["actual_connections"] = peer.connections
        return compare(bench, append.HOT, peer).rows("actual", "messages", 20.0)


def _eventsourcing(bench: Bench, notes: dict[str, object]) -> list[harness.Row]:
    environment = installing.environment("eventsourcing")
    database = running.database(bench.url, "eventsourcing")
    log, aggregates = Recorder(environment, database, "log"), Recorder(environment, database, "aggregates")
    notes["eventsourcing_log"], notes["eventsourcing_aggregates"] = log.shape._asdict(), aggregates.shape._asdict()
    sides = compare(bench, append.MANY, log, aggregates)
    return sides.rows("eventsourcing", "events", 5.0) + [
        row for row in sides.rows("eventsourcing_aggregates", "events", None, which=1) if not row.name.endswith("_ours")
    ]


PEERS: Final[dict[str, Callable[[Bench, dict[str, object]], list[harness.Row]]]] = {
    "ihatemoney": _ihatemoney,
    "actual": _actual,
    "eventsourcing": _eventsourcing,
}


def main() -> None:
    """Run it; --long for more and longer rounds."""
    is_long = "--long" in sys.argv[1:]
    plan = LONG if is_long else SHORT
    rows, notes, left_out = list[harness.Row](), dict[str, object](), dict[str, str]()
    with harness.database() as url:
        bench = Bench(url, plan)
        for name, measure in PEERS.items():
            try:
                rows += measure(bench, notes)
            except Missing as error:
                print(f"{name} is left out, it cannot be installed here: {error}", file=sys.stderr)
                left_out[name] = str(error)
        bench.check()
    notes["flush_ms"] = running.flush_ms()
    name = "peers_long" if is_long else "peers"
    harness.report(name, rows, plan=plan._asdict(), notes=notes, left_out=left_out)


if __name__ == "__main__":
    main()
