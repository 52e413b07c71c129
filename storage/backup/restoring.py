"""Puts a backup back: one transaction replaces the schema `debitum`, so that there is the old one or the new one, never half.

Whoever was erased since the backup is due again before the transaction commits: at no moment are they back.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from storage import engine, migrations, revisions, roles
from storage.backup import programs
from storage.backup.container import Opened
from storage.backup.dumping import PROGRESS_SECONDS, Say, connected
from storage.backup.erased import Erased
from storage.backup.errors import BackupError
from storage.backup.programs import Place, Program
from storage.tables import SCHEMA

APPLICATION_NAME: Final = "debitum-restore"
BLOCK_BYTES: Final = 2**20
KNOWS_TRANSACTION_TIMEOUT: Final = 17
"""The first major version that does; pg_restore sets it whatever it talks to."""
_TRANSACTION_TIMEOUT: Final = re.compile(rb"^SET transaction_timeout = 0;\n", re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """What is in the database that a backup is to be put into: rows of `users` and `ledgers`, 0 where there is no schema."""

    users: int
    ledgers: int
    sessions: tuple[str, ...]
    """The application names of those of Debitum's connections that are open beside ours."""
    postgres: int

    @property
    def empty(self) -> bool:
        """Whether nothing would be lost."""
        return not self.users and not self.ledgers


@dataclass(frozen=True)
class Restored:
    """What is there now: `resurrected` ledgers were erased since the backup, and their users are due at once."""

    ledgers: int
    facts: int
    resurrected: int


def require_fitting(backup: Opened, found: Found) -> None:
    """Refuse a backup that this code or this server cannot take. Raises BackupError."""
    head = backup.head
    if not revisions.is_known(head.revision):
        raise BackupError(
            f"{backup.path} was made by Debitum {head.version} at revision {head.revision} of the schema, and this Debitum knows "
            f"revisions up to {revisions.newest()}: take that version or a newer one"
        )
    if found.postgres < head.postgres:
        raise BackupError(
            f"{backup.path} comes from PostgreSQL {head.postgres}, and this server is {found.postgres}: take a server of "
            f"{head.postgres} or newer"
        )


def look(url: str) -> Found:
    """What is there. Raises BackupError where Postgres cannot be reached."""
    with connected(url, APPLICATION_NAME) as connection:
        sessions = tuple(name for (name,) in connection.execute(_SESSIONS))
        users = ledgers = 0
        if connection.execute(_IS_THERE, {"schema": SCHEMA}).fetchone() is not None:
            connection.execute(roles.ENTER, roles.parameters(roles.OWNER))
            [(users, ledgers)] = connection.execute(_COUNTS)
        return Found(users, ledgers, sessions, connection.info.server_version // 10_000)


def restore(
    url: str,
    backup: Opened,
    erased: Iterable[Erased],
    *,
    postgres: int,
    say: Say = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> Restored:
    """Replace what the database `url` has of ours by the backup; `postgres` is the server's major version.

    The file should have been proven before. Nobody else may use the database. Raises BackupError; then nothing has changed,
    or, where it says so, the backup is there but is not what it was made of.
    """
    try:
        restored = _restored(url, backup, erased, postgres, _Progress(say, backup.end.dump_bytes, clock))
    except DBAPIError as error:  # psql's own are BackupErrors
        raise BackupError(f"Postgres refused: {type(error.orig).__name__}") from error
    if (restored.ledgers, restored.facts) != (backup.end.ledgers, backup.end.facts):
        raise BackupError(
            f"the backup is there, but it has {restored.ledgers} ledgers and {restored.facts} facts, and was made of "
            f"{backup.end.ledgers} and {backup.end.facts}: do not start on it, take another backup"
        )
    return restored


def _restored(url: str, backup: Opened, erased: Iterable[Erased], postgres: int, progress: "_Progress") -> Restored:
    with engine.temporary(url, APPLICATION_NAME) as database:
        with database.connect() as connection:
            migrations.prepare(connection)
        _replace(url, backup, erased, postgres, progress)
        with roles.transaction(database, roles.OWNER) as connection:
            restored = _count(connection)
        with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            _analyze(connection)
        return restored


def tell(connection: Connection, erased: Iterable[Erased]) -> int:
    """Tell a database that was put back by other means who was erased: they are due at once. How many ledgers.

    In a transaction that nobody sees before it ends, and while nobody else uses the database.
    """
    noted = list(erased)
    roles.enter(connection, roles.OWNER)
    connection.execute(_TELL, {"digests": [one.ledger for one in noted], "due": [one.due_at for one in noted]})
    return len(connection.execute(text("select debitum.mark_resurrected()")).all())


def _count(connection: Connection) -> Restored:
    return Restored(*connection.execute(text(_RESTORED)).one())


def _analyze(connection: Connection) -> None:
    """The planner knows nothing of new tables, and a dump does not tell it."""
    connection.execute(text(f"set role {roles.OWNER}"))
    for (name,) in connection.execute(text(_TABLES), {"schema": SCHEMA}).all():
        connection.execute(text(f'analyze debitum."{name}"'))
    connection.execute(text("reset role"))


# --- the transaction ------------------------------------------------------------------------------------------------


@dataclass
class _Progress:
    """Says now and then how much of the dump is there."""

    say: Say
    bytes_in_all: int
    clock: Callable[[], float]
    count: int = 0
    said_at: float | None = None

    def passed(self, count: int) -> None:
        now = self.clock()
        self.count += count
        self.said_at = now if self.said_at is None else self.said_at
        if now - self.said_at >= PROGRESS_SECONDS:
            self.said_at = now
            self.say(f"{100 * self.count // max(1, self.bytes_in_all)}% of {self.bytes_in_all / 1e6:,.1f} MB are back")


def _replace(url: str, backup: Opened, erased: Iterable[Erased], postgres: int, progress: _Progress) -> None:
    """pg_restore makes SQL of the dump, psql runs it with what stands before and behind it."""
    place = Place.of(url)
    reading = ("--file=-", f"--schema={SCHEMA}", "--no-owner", f"--role={roles.OWNER}")
    running = (
        *("--no-psqlrc", "--quiet", "--single-transaction", "--no-password", "--output=/dev/null"),
        *("--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--set=SHOW_CONTEXT=never"),  # an error's details are rows
        *(f"--dbname={place.dsn}", "--file=-"),
    )
    with (
        programs.running("pg_restore", reading, place, reads=True) as script,
        programs.running("psql", running, place, reads=True) as runner,
    ):
        failures: list[BaseException] = []
        feeder = threading.Thread(target=_feed, args=(script, backup, progress, failures), daemon=True)
        feeder.start()
        try:
            runner.input.write(_BEFORE)
            _pass_on(script.output, runner.input, postgres)
            feeder.join()
            if failures:
                raise failures[0]  # before psql sees the end, which would have it commit
            script.ended()
            for block in _behind(erased):
                runner.input.write(block)
            runner.input.close()
        except BrokenPipeError:
            pass  # psql says why
        runner.ended()


def _feed(script: Program, backup: Opened, progress: _Progress, failures: list[BaseException]) -> None:
    try:
        for chunk in backup.chunks():
            script.input.write(chunk)
            progress.passed(len(chunk))
    except BrokenPipeError:
        pass  # pg_restore says why, or is killed since psql did
    except BaseException as error:
        failures.append(error)
    with suppress(BrokenPipeError):
        script.input.close()


def _pass_on(script: IO[bytes], runner: IO[bytes], postgres: int) -> None:
    first = script.read(BLOCK_BYTES)
    if postgres < KNOWS_TRANSACTION_TIMEOUT:
        first = _TRANSACTION_TIMEOUT.sub(b"", first, count=1)
    while first:
        runner.write(first)
        first = script.read(BLOCK_BYTES)


def _behind(erased: Iterable[Erased]) -> Iterable[bytes]:
    """What is to be done in the same transaction once everything is back: digits and times, as data of a COPY."""
    yield _NOTED
    for one in erased:
        yield f"{one.ledger}\t{one.due_at.isoformat()}\n".encode()
    yield _APPLIED


_IS_THERE = "select from pg_tables where schemaname = %(schema)s and tablename = 'users'"
_COUNTS = "select (select count(*) from debitum.users), (select count(*) from debitum.ledgers)"
_SESSIONS = """
select distinct split_part(application_name, ' ', 1) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and application_name like 'debitum-%' order by 1
"""
_TABLES = "select relname from pg_class where relnamespace = cast(:schema as regnamespace) and relkind = 'r' order by relname"
_RESTORED = """
select (select count(*) from debitum.ledgers), (select count(*) from debitum.events),
       (select count(*) from debitum.users u join debitum.erasures e on e.ledger_digest = sha256(uuid_send(u.ledger_id)))
"""

_ERASED = """
insert into debitum.erasures (id, ledger_digest, due_at, erased_at, removed)
select gen_random_uuid(), decode(digest, 'hex'), due_at, greatest(due_at, clock_timestamp()), '{}'
from noted where not exists (select from debitum.erasures known where known.ledger_digest = decode(noted.digest, 'hex'))
"""
"""Whoever is `noted` (digest, due_at) is known to be erased."""
_TELL = text(f"""
with noted (digest, due_at) as (select * from unnest(cast(:digests as text[]), cast(:due as timestamptz[]))) {_ERASED}
""")  # noqa: S608 - our own

_BEFORE: Final = f"""
set lock_timeout = '10s';
set local role {roles.OWNER};
drop schema {SCHEMA} cascade;
drop schema if exists debitum_rebuild cascade;
set local role none;
create schema {SCHEMA} authorization {roles.OWNER};
set local role {roles.OWNER};
grant usage on schema {SCHEMA} to {", ".join(roles.ALL[1:])};
""".encode()
"""`prepare` has made the schema, where there was none."""

_NOTED: Final = b"""
create temporary table noted (digest text primary key, due_at timestamptz not null) on commit drop;
copy noted from stdin;
"""
_APPLIED: Final = f"""\\.
{_ERASED};
select debitum.mark_resurrected();
""".encode()
