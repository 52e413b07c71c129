"""Which days there are, which are finished, and when a day may be called complete."""

import datetime
import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Boolean, Connection, Date, DateTime, bindparam, text

from storage import days
from storage.engine import Begin
from storage.snapshots import files
from storage.snapshots.places import Root
from storage.snapshots.schema import Table
from storage.snapshots.tables import TABLES

POLL_SECONDS: Final = 0.5
"""Between two looks at pg_stat_activity: a transaction that ends tells nobody."""


class NotBegun(Exception):
    """The day is still to come by Postgres's clock: its file would be today's, as long as that takes, under a later name."""


class Unsettled(Exception):
    """A transaction that may still record something for the day is running: its snapshot would lack it for ever."""


class CannotTell(Exception):
    """The jobs role may not see other backends' transactions (it lacks pg_read_all_stats): no day can be called complete."""


def first_day(connection: Connection) -> datetime.date | None:
    """The day of the oldest ledger: nothing was recorded before it; None: there is no ledger."""
    day: datetime.date | None = connection.execute(_FIRST_DAY).scalar_one()
    return day


def unfinished(
    root: Root, first: datetime.date, today: datetime.date, *, tables: Sequence[Table] = TABLES
) -> list[datetime.date]:
    """The days from `first` to the one before `today` of which one of `tables` has no file or only a provisional one."""
    finished = set.intersection(*(files.final_days(root, table) for table in tables))
    return [day for day in days.between(first, today) if day not in finished]


def newest_final(root: Root, table: Table) -> datetime.date | None:
    """The newest day whose file is final, None where there is none."""
    return max(files.final_days(root, table), default=None)


def is_over(connection: Connection, day: datetime.date) -> bool:
    """Whether the day has ended by Postgres's clock, which is the one that facts are recorded by."""
    return bool(connection.scalar(_IS_OVER, {"end": days.end(day)}))


def wait_until_begun(begin: Begin, moment: datetime.datetime, *, patience_seconds: float) -> None:
    """Return when `moment` has come by Postgres's clock: this machine's may be ahead of it.

    NotBegun, at once, when that takes longer than `patience_seconds`.
    """
    while True:
        with begin() as connection:
            ahead = float(connection.scalar(_AHEAD, {"moment": moment}) or 0)
        if ahead <= 0:
            return
        if ahead > patience_seconds:
            raise NotBegun(f"{moment.isoformat()} is still to come by Postgres's clock")
        time.sleep(ahead)


def settled(connection: Connection, moment: datetime.datetime) -> bool:
    """Whether nothing can be recorded any more as of before `moment`.

    A fact's time is read when its ledger is locked, and is seen when it commits: a transaction that began before may
    still do either. Raises CannotTell where the role does not see the transactions of others.
    """
    if not connection.scalar(_SEES_OTHERS):
        raise CannotTell("grant pg_read_all_stats to debitum_jobs")
    return bool(connection.scalar(_SETTLED, {"moment": moment}))


def wait_until_settled(begin: Begin, moment: datetime.datetime, *, patience_seconds: float) -> None:
    """Return when `moment` is settled; Unsettled when that takes longer than `patience_seconds`."""
    deadline = time.monotonic() + patience_seconds
    while True:
        with begin() as connection:  # a transaction each: pg_stat_activity is read once in one
            if settled(connection, moment):
                return
        if time.monotonic() >= deadline:
            raise Unsettled(f"a transaction from before {moment.isoformat()} is still running")
        time.sleep(POLL_SECONDS)


_FIRST_DAY = text("select (min(created_at) at time zone 'UTC')::date as day from debitum.ledgers").columns(day=Date)

_IS_OVER = text("select clock_timestamp() >= :end as over").columns(over=Boolean)

_AHEAD = text("select extract(epoch from :moment - clock_timestamp())::float8 as seconds").bindparams(
    bindparam("moment", type_=DateTime(timezone=True))
)

_SEES_OTHERS = text("select pg_has_role('pg_read_all_stats', 'usage') as sees").columns(sees=Boolean)

_SETTLED = text("""
    select clock_timestamp() >= :moment and not exists (
        select from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and xact_start < :moment
          and (application_name like 'debitum-api%' or backend_xid is not null)
    ) as settled
""").columns(settled=Boolean)
