"""The change feed between processes and hosts: NOTIFY beside the commits, in batches; LISTEN on a connection of its own.

Never inside the transaction that writes: a NOTIFY takes a lock over all databases at commit, which quarters the rate of
commits. One that is lost with its process costs nothing but time: every head carries the version, and heads are read again.
"""

from collections.abc import AsyncIterator, Collection, Iterator
from typing import Final

import msgspec
import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.rows import TupleRow

from storage import arrays, roles

Connection = psycopg.AsyncConnection[TupleRow]
CHANNEL: Final = "debitum_feed"
LISTENING: Final = ""
"""The origin of the first news of `listen`: from now on nothing is missed, and what was told before has to be read."""
LINES_A_MESSAGE: Final = 50
"""Postgres takes less than 8,000 bytes; a head has about 120."""


class Head(Struct, frozen=True, array_like=True):
    """Where a ledger stands; `hash` in hex, None while it is empty."""

    ledger_id: str
    version: int
    hash: str | None


class Socket(Struct, frozen=True, array_like=True):
    """A device's open connection to the feed of a ledger; `opened_at` in seconds since 1970 puts them in one order everywhere."""

    ledger_id: str
    opened_at: float
    id: str


class News(Struct, frozen=True, omit_defaults=True):
    """What a process tells the others; `origin` names the process."""

    origin: str
    heads: list[Head] = []
    opened: list[Socket] = []
    closed: list[Socket] = []
    committed_at: float | None = None
    """When the oldest of the heads was, in seconds since 1970 by the clock of who committed it."""


async def tell(connection: Connection, news: News) -> None:
    """Send `news` to every process that listens; `connection` is in autocommit."""
    for part in _parts(news):
        await connection.execute("select pg_notify(%s, %s)", (CHANNEL, msgspec.json.encode(part).decode()))


def _parts(news: News) -> Iterator[News]:
    for start in range(0, len(news.heads), LINES_A_MESSAGE):
        yield News(news.origin, heads=news.heads[start : start + LINES_A_MESSAGE], committed_at=news.committed_at)
    for start in range(0, max(len(news.opened), len(news.closed)), LINES_A_MESSAGE):
        end = start + LINES_A_MESSAGE
        yield News(news.origin, opened=news.opened[start:end], closed=news.closed[start:end])


async def listen(connection: Connection) -> AsyncIterator[News]:
    """What other processes tell from now on, until the connection is lost (psycopg.OperationalError)."""
    await connection.execute(sql.SQL("listen {}").format(sql.Identifier(CHANNEL)))
    yield News(LISTENING)
    async for notice in connection.notifies():
        yield msgspec.json.decode(notice.payload, type=News)


async def heads(connection: Connection, ledger_ids: Collection[str]) -> list[Head]:
    """Where these ledgers stand now; those that are gone are left out."""
    async with connection.transaction():
        await connection.execute(roles.ENTER, roles.parameters(roles.API, ledger_ids))
        cursor = await connection.execute(_HEADS, {"ids": arrays.of(ledger_ids)})
        return [Head(*row) for row in await cursor.fetchall()]


_HEADS = "select id::text, version, encode(head_hash, 'hex') from debitum.ledgers where id = any(%(ids)s::uuid[])"
