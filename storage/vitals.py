"""What operators watch of the database, in numbers over all ledgers: the outbox, the lag of balances, the age of snapshots."""

import datetime
from typing import Any, Final

import msgspec
import psycopg

from storage import roles, urls

MOST_COUNTED: Final = 10_000
"""Rows of a kind that are counted: where there are so many, there may be more. A backlog of weeks takes no longer to count."""
RECENT: Final = datetime.timedelta(hours=1)
"""How far back messages are counted that are over."""
BACKUP: Final = "backup"
"""The asset that is a backup."""
OVER: Final = ("sent", "dead", "suppressed")
"""The states of messages that are over."""

_Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class Vitals(msgspec.Struct, frozen=True):
    """Durations in seconds; `written`: when a snapshot of a table was last written, in seconds since 1970.

    `written` is None where Dagster's storage is elsewhere or may not be read.
    """

    pending: int
    leased: int
    oldest_ready_seconds: float
    """How long the message waits that could have left first; 0: none does."""
    dirty_ledgers: int
    lag_seconds: float
    recently: dict[str, int]
    """Messages that were over within RECENT, by state."""
    written: dict[str, float] | None
    backed_up: float | None
    """When Dagster last wrote a backup, likewise; None also where it never did."""


async def ask(database_url: str, *, seconds: float) -> Vitals:
    """Look, on a connection of its own: a full pool, or one of which nothing comes back, hides nothing.

    A statement that takes longer than `seconds` is ended by Postgres. Raises psycopg.OperationalError.
    """
    connection = await urls.async_connection(database_url, "debitum-api-metrics")
    try:
        async with connection.transaction():
            rows = await _as_report(connection, seconds)
        try:
            async with connection.transaction():
                written = await _written(connection, seconds)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
            written = None
    finally:
        await connection.close()
    [(pending, leased, waited, dirty, lag, *over)] = rows
    backed_up = None if written is None else written.pop(BACKUP, None)
    recently = dict(zip(OVER, over, strict=True))
    return Vitals(pending, leased, float(waited or 0), dirty, float(lag or 0), recently, written, backed_up)


async def _as_report(connection: _Connection, seconds: float) -> list[tuple[Any, ...]]:
    """As the role that sees every ledger, no secret, and writes nothing."""
    await connection.execute(_TIMEOUT, {"milliseconds": round(seconds * 1_000)})
    await connection.execute(roles.ENTER_BY_KEYS, roles.parameters(roles.REPORT))
    cursor = await connection.execute(VITALS, {"most": MOST_COUNTED, "recent": RECENT})
    return await cursor.fetchall()


async def _written(connection: _Connection, seconds: float) -> dict[str, float]:
    """As the login, to whom Dagster's tables belong. A row for each asset."""
    await connection.execute(_TIMEOUT, {"milliseconds": round(seconds * 1_000)})
    cursor = await connection.execute(_WRITTEN)
    return {name: float(at) for name, at in await cursor.fetchall()}


_TIMEOUT = "select set_config('statement_timeout', %(milliseconds)s::text, true)"

VITALS = """
select
    (select count(*) from (select from debitum.outbox where state = 'pending' limit %(most)s) found),
    (select count(*) from (select from debitum.outbox where state = 'leased' limit %(most)s) found),
    (select extract(epoch from now() - min(first.at)) from (values ('email'), ('push')) its (channel), lateral (
        select min(next_at) as at from debitum.outbox
        where state = 'pending' and channel = its.channel and next_at <= now()
    ) first),
    (select count(*) from (select from debitum.ledgers where dirty limit %(most)s) found),
    debitum.projection_lag_seconds(),
    count(*) filter (where state = 'sent'),
    count(*) filter (where state = 'dead'),
    count(*) filter (where state = 'suppressed')
from (
    select state from debitum.outbox
    where finished_at is not null and finished_at > now() - %(recent)s limit %(most)s
) recently
"""
"""One row. Taken by keys (roles.ENTER_BY_KEYS), so that nothing is read whole before anybody has counted it."""

_WRITTEN = r"""
select asset_key::jsonb ->> 0, extract(epoch from last_materialization_timestamp at time zone 'UTC')
from dagster.asset_keys
where (asset_key like '["%\_daily"]' or asset_key = '["backup"]') and last_materialization_timestamp is not null
"""
