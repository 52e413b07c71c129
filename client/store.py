"""What a device keeps: one SQLite file with its log, the state folded from it, and the commands of its user."""

import asyncio
import json
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

from client import facts
from client.errors import BrokenLog
from client.facts import Fact, Fields, Key

_SCHEMA = """
create table if not exists meta (name text primary key, value text not null) without rowid;
create table if not exists facts (seq integer primary key, id text not null unique, hash text not null, fact text not null);
create table if not exists entities (kind text, id text, fields text not null, primary key (kind, id)) without rowid;
create table if not exists conflicts (event_id text primary key, seq integer not null, resolved_by text) without rowid;
create table if not exists commands (
    ordinal integer primary key autoincrement,
    id text not null unique,
    kind text not null,
    aggregate_id text not null,
    base_seq integer not null,
    item text not null,
    state text not null check (state in ('queued', 'acknowledged', 'folded', 'waiting', 'rejected')),
    outcome text
);
create index if not exists commands_by_state on commands (state, ordinal);
create index if not exists commands_by_aggregate on commands (kind, aggregate_id, ordinal);
"""
MAY_COME_AGAIN = frozenset(
    {"unknown_contact", "unknown_aggregate", "unknown_event", "unknown_conflict", "dependency_failed", "too_many_changes"}
)
"""Rejections of which the server remembers nothing: what the command needs may still come, from another device."""
WAIT_SECONDS = 30.0
"""For another process to write what it has begun to write."""
ASK_AGAIN_SECONDS = 0.02
"""Between two attempts to take a lock that another process has: nobody is told when the lock of a file is free."""


class Store:
    """All of it changes in transactions: whenever a device is killed, each has happened whole or not at all.

    Several processes may have the same file open.
    """

    def __init__(self, path: Path | str) -> None:
        self._shared = path != ":memory:"
        self._path = str(path)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._file = _opened(path, WAIT_SECONDS)
        self._file.execute("pragma journal_mode = wal")
        self._file.execute("pragma synchronous = full")  # what the user did is not lost with the battery
        self._file.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @asynccontextmanager
    async def alone(self, what: str) -> AsyncIterator[None]:
        """Nobody else who has this file open does `what` meanwhile; a process that is killed stands in nobody's way.

        The lock is that of an empty SQLite database beside the file: other locks of files differ from system to system.
        """
        async with self._turns[what]:
            if not self._shared:
                yield
                return
            with closing(_opened(Path(f"{self._path}-{what}"), 0)) as lock:
                while not _taken(lock):  # noqa: ASYNC110  # by another process, which cannot set an event of ours
                    await asyncio.sleep(ASK_AGAIN_SECONDS)
                yield

    # --- settings ---------------------------------------------------------------------------------------------------

    def remembered(self, name: str) -> Any:
        """The value of `name`, None where there is none."""
        row = self._file.execute("select value from meta where name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def remember(self, **values: Any) -> None:
        """Keep `values`; None forgets."""
        with self._transaction():
            for name, value in values.items():
                if value is None:
                    self._file.execute("delete from meta where name = ?", (name,))
                else:
                    self._file.execute("insert or replace into meta values (?, ?)", (name, json.dumps(value)))

    def first(self, name: str, value: Any) -> Any:
        """The value of `name`; where there is none yet, `value`, which is kept: whoever comes first decides."""
        with self._transaction():
            self._file.execute("insert or ignore into meta values (?, ?)", (name, json.dumps(value)))
        return self.remembered(name)

    # --- the log and what follows from it ---------------------------------------------------------------------------

    def head(self) -> tuple[int, str | None]:
        """The seq that is folded, and the chain's hash there; 0 and None before the first."""
        row = self._file.execute("select seq, hash from facts order by seq desc limit 1").fetchone()
        return (0, None) if row is None else (row[0], row[1])

    def hash_at(self, seq: int) -> str | None:
        """The chain's hash at `seq`, None before the first and behind the last."""
        row = self._file.execute("select hash from facts where seq = ?", (seq,)).fetchone()
        return None if row is None else str(row[0])

    def fact(self, event_id: str) -> Fact | None:
        """The fact of that event."""
        row = self._file.execute("select fact, hash from facts where id = ?", (event_id,)).fetchone()
        return None if row is None else _fact(*row)

    def facts(self, since: int = 0) -> Iterator[Fact]:
        """The log behind `since`."""
        for row in self._file.execute("select fact, hash from facts where seq > ? order by seq", (since,)):
            yield _fact(*row)

    def fold(self, page: Iterable[Fact], device_id: str) -> None:
        """Verify and fold facts that follow the head; those of `device_id` are commands of ours that have come home.

        Raises BrokenLog: then nothing of the page is folded.
        """
        with self._transaction():
            version, digest = self.head()
            for seq, fact in enumerate(page, start=version + 1):
                content = facts.proven(fact, seq, digest)
                digest = fact["hash"]
                try:
                    self._file.execute("insert into facts values (?, ?, ?, ?)", (seq, fact["id"], digest, content))
                except sqlite3.IntegrityError as error:
                    raise BrokenLog(f"seq {seq}: its event is in the log already") from error
                self._fold(fact)
                if fact.get("device_id") == device_id:
                    self._file.execute("update commands set state = 'folded' where id = ?", (fact["id"],))

    def _fold(self, fact: Fact) -> None:
        seq, event_id = fact["seq"], fact["id"]
        for change in fact["changes"]:
            key = change["aggregate_type"], change["aggregate_id"]
            fields = facts.changed(self.folded(*key), change, seq)
            self._file.execute("insert or replace into entities values (?, ?, ?)", (*key, json.dumps(fields)))
        if "conflict" in fact:
            self._file.execute("insert into conflicts values (?, ?, null)", (event_id, seq))
        if (settled := facts.settles(fact)) is not None:
            self._file.execute("update conflicts set resolved_by = ? where event_id = ?", (event_id, settled))
        if (undone := facts.undoes(fact)) is not None:
            self._file.execute("update conflicts set resolved_by = null where resolved_by = ?", (undone,))

    def folded(self, kind: str, entity_id: str) -> Fields | None:
        """An entity as the log has it."""
        row = self._file.execute("select fields from entities where kind = ? and id = ?", (kind, entity_id)).fetchone()
        return None if row is None else json.loads(row[0])

    def entities(self) -> Iterator[tuple[Key, Fields]]:
        """All of them, as the log has them, deleted ones too."""
        for kind, entity_id, fields in self._file.execute("select kind, id, fields from entities order by kind, id"):
            yield (kind, entity_id), json.loads(fields)

    def open_conflicts(self) -> list[Fact]:
        """The facts of the conflicts that nobody has settled, oldest first."""
        unsettled = "select fact, hash from conflicts join facts using (seq) where resolved_by is null order by seq"
        return [_fact(*row) for row in self._file.execute(unsettled)]

    # --- the commands of the user -----------------------------------------------------------------------------------

    def queue(self, item: Mapping[str, Any]) -> None:
        """Keep a command until the log has it; its base is what is folded now."""
        values = (item["id"], item["aggregate_type"], item["aggregate_id"], self.head()[0], facts.canonical(item))
        with self._transaction():
            self._file.execute(
                "insert into commands (id, kind, aggregate_id, base_seq, item, state) values (?, ?, ?, ?, ?, 'queued')", values
            )

    def batch(self, most: int, most_bytes: int) -> list[dict[str, Any]]:
        """The first commands that wait to be sent, in the order in which the user acted."""
        found: list[dict[str, Any]] = []
        rows = self._file.execute("select item, base_seq from commands where state = 'queued' order by ordinal limit ?", (most,))
        for text, base_seq in rows:
            most_bytes -= len(text.encode())
            if found and most_bytes < 0:
                break
            found.append(json.loads(text) | {"base_seq": base_seq})
        return found

    def count(self, *states: str) -> int:
        """How many commands are in one of `states`."""
        marks = ",".join("?" * len(states))
        row = self._file.execute(f"select count(*) from commands where state in ({marks})", states)  # noqa: S608  # marks
        return int(row.fetchone()[0])

    def settle(self, outcomes: Iterable[Mapping[str, Any]]) -> None:
        """Note what the server said of commands that were sent."""
        with self._transaction():
            for outcome in outcomes:
                values = (_state(outcome), json.dumps(outcome), outcome["id"])
                self._file.execute("update commands set state = ?, outcome = ? where id = ?", values)

    def acknowledged(self) -> set[str]:
        """Ids of the commands that are in the log by the server's word, and have not come with it."""
        return {event_id for (event_id,) in self._file.execute("select id from commands where state = 'acknowledged'")}

    def queue_again(self, event_ids: Iterable[str]) -> None:
        """Send again what was acknowledged and did not come with the log."""
        with self._transaction():
            for event_id in event_ids:
                self._file.execute("update commands set state = 'queued' where id = ?", (event_id,))

    def queue_waiting(self) -> None:
        """Send again what needs something that was unknown."""
        with self._transaction():
            self._file.execute("update commands set state = 'queued' where state = 'waiting'")

    def commands_about(self, kind: str, entity_id: str) -> Iterator[dict[str, Any]]:
        """Those that are not in the log yet, oldest first."""
        pending = "select item from commands where kind = ? and aggregate_id = ? and state in ('queued', 'acknowledged')"
        for (text,) in self._file.execute(f"{pending} order by ordinal", (kind, entity_id)):
            yield json.loads(text)

    def pending_keys(self) -> list[Key]:
        """What commands are about that are not in the log yet."""
        rows = self._file.execute("select distinct kind, aggregate_id from commands where state in ('queued', 'acknowledged')")
        return rows.fetchall()

    def refused(self) -> list[dict[str, Any]]:
        """The commands that the server did not take, each with its outcome, oldest first."""
        rows = self._file.execute(
            "select item, base_seq, outcome from commands where state in ('waiting', 'rejected') order by ordinal"
        )
        return [{"command": json.loads(item) | {"base_seq": base}, **json.loads(outcome)} for item, base, outcome in rows]

    def drop(self, event_id: str) -> None:
        """Forget a command that the server did not take."""
        with self._transaction():
            self._file.execute("delete from commands where id = ? and state in ('waiting', 'rejected')", (event_id,))

    def start_over(self, common_version: int) -> None:
        """Forget the log; whatever is not in the server's, once that is folded, is sent again.

        The base of each command becomes what both histories have in common, at most.
        """
        with self._transaction():
            for table in ("facts", "entities", "conflicts"):
                self._file.execute(f"delete from {table}")  # noqa: S608  # our own names
            self._file.execute("update commands set base_seq = min(base_seq, ?)", (common_version,))
            self._file.execute("update commands set state = 'queued' where state <> 'rejected'")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._file.in_transaction:
            yield
            return
        self._file.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._file.execute("rollback")
            raise
        self._file.execute("commit")


def _fact(content: str, digest: str) -> Fact:
    return {**json.loads(content), "hash": digest}


def _opened(path: Path | str, wait_seconds: float) -> sqlite3.Connection:
    if path != ":memory:":
        Path(path).touch(mode=0o600)  # it holds tokens, and what people owe
    return sqlite3.connect(path, isolation_level=None, timeout=wait_seconds)


def _taken(lock: sqlite3.Connection) -> bool:
    try:
        lock.execute("begin exclusive")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _state(outcome: Mapping[str, Any]) -> str:
    if outcome["status"] != "rejected":
        return "acknowledged"
    return "waiting" if outcome["code"] in MAY_COME_AGAIN else "rejected"
