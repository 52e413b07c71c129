"""What a server counts of itself, over all its workers: requests, commits, the live feed, connections. Never whose they are."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sanic_routing.route import Route

from api.board import Board, Buckets
from domain import errors
from storage.ledgers import LedgerGone, Moved, Receipt

SECONDS: Final = Buckets((0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0))
"""From an answer out of memory to the deadline of a request."""
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OTHER: Final = "other"
"""Any other method: whoever asks can invent as many as they like."""
NO_ROUTE: Final = "none"
"""Where nothing is served, or the request could not be read."""
CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
COMMITS: Final = ("stored", "failed", "unavailable")
"""What becomes of a batch: `failed` for its content (its pushes are tried one by one), `unavailable` for Postgres."""
COMMANDS: Final = ("accepted", "duplicate", "conflict", "rejected")
REFUSED: Final[Mapping[type[errors.DomainError], str]] = {errors.Reset: "reset", LedgerGone: "ledger_gone", Moved: "moved"}
"""Why a push is not decided at all."""
UNNAMED: Final = "other"
GAUGES: Final = ("alive_at", "pool", "pool_limit", "reader", "reader_limit", "queue", "sockets")
"""What each worker says of itself every second; `alive_at` (seconds of the monotonic clock) is when."""
TELL_SECONDS: Final = 1.0
STALE_SECONDS: Final = 5.0
"""What a worker said of itself this long ago does not hold any more: it has died, or its loop stands still."""


class Gauges(NamedTuple):
    """A worker now: connections of the pool and of the readers in use, and at most; pushes that wait; open sockets."""

    pool: float
    pool_limit: float
    reader: float
    reader_limit: float
    queue: float
    sockets: float


class Series(NamedTuple):
    """The requests of one route, method and class of status: the cell where their histogram begins."""

    route: str
    method: str
    status: str
    at: int


class Metrics:
    """Made once the routes are known and before the workers are forked; to count a request takes about a microsecond."""

    def __init__(self, routes: Iterable[Route], workers: int) -> None:
        self.series: list[Series] = []
        self._requests: dict[tuple[str, str], int] = {}
        self.paths = {NO_ROUTE: NO_ROUTE}
        """Of the routes, by their names: as they are documented."""
        width = self._lay_out(routes, 0)
        self._nowhere = self._requests[NO_ROUTE, OTHER]
        self.starts, width = width, width + 1
        self.commits, width = _cells(COMMITS, width)
        self.commands, width = _cells(COMMANDS, width)
        self.refused, width = _cells((*REFUSED.values(), UNNAMED), width)
        self.commit_seconds, width = width, width + SECONDS.width
        self.feed_seconds, width = width, width + SECONDS.width
        self._gauges, width = width, width + len(GAUGES)
        self.board = Board(workers, width)
        self._telling: asyncio.Task[None] | None = None

    def _lay_out(self, routes: Iterable[Route], width: int) -> int:
        """Give every request that there can be its cells; how many there are then."""
        known = [(route.name, template(route), method) for route in routes for method in sorted(route.methods)]
        for name, path, method in (*known, *((NO_ROUTE, NO_ROUTE, method) for method in (*METHODS, OTHER))):
            self._requests[name, method] = width
            self.paths[name] = path
            for status in CLASSES:
                self.series.append(Series(path, method, status, width))
                width += SECONDS.width
        return width

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer; `route` is the route's name, NO_ROUTE where there is none."""
        at = self._requests.get((route, method), self._nowhere)
        SECONDS.add(self.board.row, at + (status // 100 - 1) * SECONDS.width, seconds)

    def commit(self, outcome: str, seconds: float) -> None:
        """Count a batch, one of COMMITS."""
        self.board.row[self.commits[outcome]] += 1
        SECONDS.add(self.board.row, self.commit_seconds, seconds)

    def decided(self, answer: Receipt | errors.DomainError) -> None:
        """Count what has become of the commands of a push that was not a dry run."""
        row = self.board.row
        if isinstance(answer, Receipt):
            for outcome in answer.outcomes:
                row[self.commands[outcome.status]] += 1
        else:
            row[self.refused[REFUSED.get(type(answer), UNNAMED)]] += 1

    def took_over(self, statuses: Mapping[str, int]) -> None:
        """Count the commands of an import by what has become of them."""
        for status, count in statuses.items():
            self.board.row[self.commands[status]] += count

    def told(self, seconds: float) -> None:
        """Count a head that went to a socket so long after its commit; the clocks of two hosts may differ by a little."""
        SECONDS.add(self.board.row, self.feed_seconds, max(seconds, 0.0))

    def start(self, look: Callable[[], Gauges]) -> None:
        """A worker begins at its place: from now on it says every second what `look` finds."""
        self.board.row[self.starts] += 1
        self._telling = asyncio.create_task(self._tell(look), name="metrics")

    async def stop(self) -> None:
        """The worker ends: what it said of itself holds no more."""
        if self._telling is not None:
            self._telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._telling
        self.board.row[self._gauges] = 0.0

    async def _tell(self, look: Callable[[], Gauges]) -> None:
        while True:
            self.say(look())
            await asyncio.sleep(TELL_SECONDS)

    def say(self, found: Gauges) -> None:
        """Let the others read this worker's gauges."""
        for cell, value in enumerate((time.monotonic(), *found), self._gauges):
            self.board.row[cell] = value

    def living(self) -> Sequence[Gauges]:
        """The gauges of the workers that have said something of late."""
        since = time.monotonic() - STALE_SECONDS
        said = [row[self._gauges : self._gauges + len(GAUGES)] for row in self.board.rows]
        return [Gauges(*values) for alive_at, *values in said if alive_at > since]


def template(route: Route) -> str:
    """The path of `route` as it is documented: `/api/contacts/{id}`."""
    return "/" + route.path.replace("<", "{").replace(":str>", "}")


def _cells(names: Iterable[str], start: int) -> tuple[dict[str, int], int]:
    """A cell for each name, from `start` on, and the next free one."""
    found = {name: cell for cell, name in enumerate(names, start)}
    return found, start + len(found)
