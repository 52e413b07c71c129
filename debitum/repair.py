"""Proof and repair from the command line: does everything follow from the logs, and how to make it so again."""

from functools import partial
from uuid import UUID

from debitum import rings, schema
from debitum.commands import Say
from debitum.settings import Settings
from storage import rebuild, roles, verify
from storage.engine import Begin

PROGRESS_LEDGERS = 1_000
"""Ledgers between two lines of progress."""

LEAST_DIGITS = 8
"""Of a digest: fewer would name half of all ledgers."""


class UnknownLedgerError(Exception):
    """No ledger has that name."""


def prove(settings: Settings, say: Say, name: str | None = None) -> int:
    """Walk one ledger or all, and say what does not follow from the log; the number of findings.

    `name` is an id, or the first digits of its digest, which the audit names. Raises DatabaseError, UnknownLedgerError.
    """
    ring = rings.required(settings)
    with schema.opened(settings, "debitum-repair") as found:
        snapshots = found.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        begin = partial(roles.transaction, snapshots, roles.JOBS)
        ledgers = findings = 0
        for one in verify.ledgers(begin) if name is None else _named(begin, name):
            with begin() as connection:
                for finding in verify.verify(connection, one, ring):
                    say(finding.line())
                    findings += 1
            ledgers += 1
            if ledgers % PROGRESS_LEDGERS == 0:
                say(f"{ledgers} ledgers, {findings} findings")
        say(f"{ledgers} ledgers, {findings} findings{'' if findings else ': everything follows from the logs'}")
        return findings


def _named(begin: Begin, name: str) -> list[UUID]:
    with begin() as connection:
        found = verify.named(connection, name) if len(name) >= LEAST_DIGITS else []
    if not found:
        raise UnknownLedgerError(f"there is no ledger {name}")
    return found


def recreate(settings: Settings, say: Say) -> None:
    """Recreate what follows from the logs. Raises DatabaseError, rebuild.RebuildRunsError, rebuild.RebuildBlockedError."""
    ring = rings.required(settings)
    with schema.opened(settings, "debitum-repair") as found, found.connect() as connection:
        done = rebuild.rebuild(connection, ring, say)
    say(f"rebuilt {done.ledgers} ledgers from {done.facts} facts, {done.tail} of them written meanwhile")
    say("balances are summed from postings until Dagster has materialised them again")
