"""Makes a backup: pg_dump of the schema `debitum` in one snapshot, sealed as it comes; nothing in clear ever lies on the disk."""

import datetime
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from storage import revisions, roles, urls
from storage.backup import container, programs
from storage.backup.container import End, Head, Keys, Opened, Secrets
from storage.backup.errors import BackupError
from storage.tables import SCHEMA

APPLICATION_NAME: Final = "debitum-backup"
PROGRESS_SECONDS: Final = 5.0
"""Between two lines of progress."""
_DUMPING: Final = "dumping contents of table "

Say = Callable[[str], object]


@dataclass(frozen=True)
class Made:
    """A backup that was written: where, what it says of itself, and its size in bytes."""

    path: Path
    head: Head
    end: End
    bytes: int


@dataclass(frozen=True)
class _Moment:
    """A snapshot of the database that pg_dump joins."""

    snapshot: str
    began_at: datetime.datetime
    settled_at: datetime.datetime
    ledgers: int
    facts: int
    table_bytes: int
    revision: str
    postgres: int


def dump(
    url: str,
    path: Path,
    secrets: Secrets,
    *,
    version: str,
    ring: str | None,
    say: Say = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> Made:
    """Write the backup `path` of the database `url`, while it is in use, and read it again; `version` is the code's.

    `ring` is the text of DEBITUM_KEYS: it goes in only where a passphrase seals it. Everything that was acknowledged before the
    call is in the backup. Raises BackupError; then there is no file.
    """
    try:
        made = _dump(url, path, secrets, version, ring, say, clock)
    except psycopg.OperationalError as error:
        raise BackupError(f"Postgres went away: {str(error).strip()}") from error
    try:
        Opened.of(path, secrets).prove()
    except BackupError:
        path.unlink()
        raise
    return made


def _dump(url: str, path: Path, secrets: Secrets, version: str, ring: str | None, say: Say, clock: Callable[[], float]) -> Made:
    with _moment(url) as moment, container.new_file(path) as file:
        head = container.head(
            secrets,
            began_at=moment.began_at,
            settled_at=moment.settled_at,
            revision=moment.revision,
            version=version,
            postgres=moment.postgres,
        )
        writer = container.Writer(file, head, secrets.key(head))
        writer.keys(Keys(ring if head.stretch is not None else None))
        progress = _Progress(say, moment.table_bytes, clock)
        arguments = _arguments(url, moment.snapshot)
        with programs.running("pg_dump", arguments, programs.Place.of(url), hear=progress.hear) as program:
            while chunk := program.output.read(container.CHUNK_BYTES):
                writer.dump(chunk)
                progress.passed(writer.dump_bytes)
            program.ended()
        end = writer.end(ledgers=moment.ledgers, facts=moment.facts)
        size = file.tell()
    return Made(path, head, end, size)


def _arguments(url: str, snapshot: str) -> list[str]:
    """As the owner, whom the policies of row-level security show every row: row_security off would stop at the first table."""
    return [
        f"--dbname={programs.Place.of(url).dsn}",
        "--format=custom",
        f"--role={roles.OWNER}",
        "--enable-row-security",
        f"--schema={SCHEMA}",
        "--no-owner",  # whoever restores takes the role, and needs no right to give things away
        f"--snapshot={snapshot}",
        "--verbose",
        "--no-password",
    ]


class _Progress:
    """Says now and then how far a dump is. It is compressed: its bytes are fewer than the tables'."""

    def __init__(self, say: Say, table_bytes: int, clock: Callable[[], float]) -> None:
        self._say, self._table_bytes, self._clock = say, table_bytes, clock
        self._table, self._said_at, self._lock = "", clock(), threading.Lock()

    def hear(self, line: str) -> None:
        """A line of pg_dump's."""
        _, found, rest = line.partition(_DUMPING)
        if found:
            self._table = rest.replace('"', "").removeprefix(f"{SCHEMA}.")

    def passed(self, count: int) -> None:
        """So many bytes were written."""
        if self._clock() - self._said_at >= PROGRESS_SECONDS:
            self._said_at = self._clock()
            at = f", at {self._table}" if self._table else ""
            self._say(f"{_megabytes(count)} written{at}; the tables take {_megabytes(self._table_bytes)}")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def connected(url: str, application_name: str) -> psycopg.Connection[Any]:
    """A connection to the database of `url`. Raises BackupError."""
    try:
        return psycopg.connect(urls.libpq_url(url), application_name=application_name)
    except psycopg.OperationalError as error:
        raise BackupError(f"Postgres cannot be reached: {str(error).strip()}") from error


@contextmanager
def _moment(url: str) -> Iterator[_Moment]:
    """A snapshot that lasts as long as the block."""
    with connected(url, APPLICATION_NAME) as connection:
        connection.execute("set idle_in_transaction_session_timeout = 0")
        revision = _revision(connection)
        settled_at = _settled_at(connection)
        connection.commit()
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute(roles.ENTER, roles.parameters(roles.OWNER))
        [(snapshot, began_at, ledgers, facts, table_bytes)] = connection.execute(_MOMENT, {"schema": SCHEMA})
        postgres = connection.info.server_version // 10_000
        yield _Moment(snapshot, began_at, min(settled_at, began_at), ledgers, facts, table_bytes, revision, postgres)


def _revision(connection: psycopg.Connection[Any]) -> str:
    if connection.execute(_IS_THERE, {"schema": SCHEMA}).fetchone() is None:
        raise BackupError("there is no schema `debitum` in this database: there is nothing to back up")
    connection.execute(roles.ENTER, roles.parameters(roles.OWNER))
    [(revision,)] = connection.execute("select version_num from debitum.alembic_version")
    if revision != revisions.newest():
        raise BackupError(
            f"the schema is at revision {revision}, this code needs {revisions.newest()}: run `debitum migrate` first"
        )
    return str(revision)


def _settled_at(connection: psycopg.Connection[Any]) -> datetime.datetime:
    """Nothing that is recorded as of before this moment can be missing in a snapshot that is taken from now on.

    A fact's time is read when its ledger is locked, and is seen when it commits: what runs now may record as of its own
    beginning. It has to be asked before the snapshot: who has ended since would not be seen, and would be missing.
    """
    connection.execute(roles.ENTER, roles.parameters(roles.JOBS))
    [(settled_at,)] = connection.execute(_SETTLED_AT)
    found: datetime.datetime = settled_at
    return found


_IS_THERE = "select from pg_tables where schemaname = %(schema)s and tablename = 'alembic_version'"

_SETTLED_AT = """
select case when pg_has_role('pg_read_all_stats', 'usage')
            then least(clock_timestamp(), min(xact_start)) else clock_timestamp() - interval '1 day' end
from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
"""

_MOMENT = """
select pg_export_snapshot(), now(), (select count(*) from debitum.ledgers),
       (select coalesce(sum(version), 0)::bigint from debitum.ledgers),
       (select coalesce(sum(pg_table_size(c.oid)), 0)::bigint from pg_class c
        where c.relnamespace = %(schema)s::regnamespace and c.relkind = 'r')
"""
"""now() is when the transaction began, before its snapshot: what was committed by then is in it."""
