"""The recorders of the `eventsourcing` library, as its applications call them: one event a call, on the Postgres that ours is on.

Less than ours: it is a library that is handed events. No HTTP, nobody is asked who they are, nothing is decided, no hash, no
balance, no row beside the event; a retry is an error. More than ours: `log`, which its applications write to, has one order for
everybody, which readers follow without missing an event, and so its writers wait for each other, and each tells the listeners.
Ours has such an order for each ledger. `aggregates` is its recorder without that order, for events that nobody follows: an
insert with a unique key, and nothing else.

It may have what it likes: processes, threads, and its functions in the database where it is faster with them.
"""

import subprocess
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import psycopg

from bench.peers import running
from bench.peers.running import Database

AGGREGATES: Final = 10_000
"""As many as there are ledgers."""
Kind = Literal["log", "aggregates"]


class Shape(NamedTuple):
    """How it is called."""

    processes: int
    threads: int
    functions: bool


SHAPES: Final[dict[Kind, tuple[Shape, ...]]] = {
    "log": (Shape(1, 1, True), Shape(1, 4, True), Shape(2, 4, True), Shape(1, 4, False)),
    "aggregates": (Shape(1, 16, False), Shape(2, 4, False), Shape(2, 16, False)),
}
"""That are tried."""


class Found(msgspec.Struct):
    """What the program says."""

    inserted: int
    counted: int


class Recorder:
    """One kind of recorder, called as it likes best."""

    def __init__(self, environment: Path, database: Database, kind: Kind) -> None:
        self._environment, self._database, self._kind = environment, database, kind
        self._acknowledged = 0
        self.shape: Shape = max(SHAPES[kind], key=lambda shape: self._drive(shape, running.TRY_SECONDS))
        """How it likes best to be called."""

    def drive(self, seconds: float) -> float:
        """Events a second."""
        return self._drive(self.shape, seconds)

    def _drive(self, shape: Shape, seconds: float) -> float:
        load = {
            "kind": self._kind,
            "database": self._database.name,
            "folder": self._database.folder,
            "aggregates": AGGREGATES,
            "seconds": seconds,
            **shape._asdict(),
        }
        program = str(Path(__file__).with_name("recorder.py"))
        command = [str(self._environment / "bin" / "python"), "-P", program, msgspec.json.encode(load).decode()]
        said = subprocess.run(command, check=True, env=running.environ(self._environment), stdout=subprocess.PIPE).stdout
        found = msgspec.json.decode(said, type=Found)
        self._acknowledged += found.inserted
        return found.counted / seconds

    def check(self) -> None:
        """Every event whose insert returned is there, and the versions of each aggregate have no gaps."""
        with psycopg.connect(self._database.url) as connection:
            [(events, gaps)] = connection.execute(_EVENTS.format(kind=self._kind)).fetchall()
        assert events == self._acknowledged, f"{events} events, {self._acknowledged} acknowledged"
        assert gaps == 0


_EVENTS: Final = """
    select coalesce(sum(events), 0)::bigint, count(*) filter (where events <> last)
    from (select count(*) as events, max(originator_version) as last from {kind}_events group by originator_id) counted
"""
