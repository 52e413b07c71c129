"""Proof and repair from the command line: does everything follow from the logs, and how to make it so again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import Connection, Engine

from debitum import database
from debitum.settings import Settings
from storage import engine, rebuild, roles, verify

PROGRESS_LEDGERS = 1_000
"""Ledgers between two lines of progress."""

Say = Callable[[str], object]


def prove(settings: Settings, say: Say, ledger_id: UUID | None = None) -> int:
    """Walk one ledger or all, and say what does not follow from the log; the number of findings. Raises DatabaseError."""
    with _engine(settings) as found:
        snapshots = found.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

        @contextmanager
        def begin() -> Iterator[Connection]:
            with snapshots.begin() as connection:
                roles.enter(connection, roles.JOBS)
                yield connection

        ledgers = findings = 0
        for one in verify.ledgers(begin) if ledger_id is None else [ledger_id]:
            with begin() as connection:
                for finding in verify.verify(connection, one):
                    say(finding.line())
                    findings += 1
            ledgers += 1
            if ledgers % PROGRESS_LEDGERS == 0:
                say(f"{ledgers} ledgers, {findings} findings")
        say(f"{ledgers} ledgers, {findings} findings{'' if findings else ': everything follows from the logs'}")
        return findings


def recreate(settings: Settings, say: Say) -> None:
    """Recreate what follows from the logs. Raises DatabaseError, rebuild.RebuildRunsError, rebuild.RebuildBlockedError."""
    with _engine(settings) as found, found.connect() as connection:
        done = rebuild.rebuild(connection, say)
    say(f"rebuilt {done.ledgers} ledgers from {done.facts} facts, {done.tail} of them written meanwhile")
    say("balances are summed from postings until Dagster has materialised them again")


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine]:
    """An engine on a database whose schema is this code's."""
    with database.borrowed(settings) as found:
        database.require_schema(found)
        opened = engine.sync_engine(found.url, "debitum-repair")
        try:
            yield opened
        finally:
            opened.dispose()
