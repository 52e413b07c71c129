"""What the handlers of one worker share: settings, connections, the writer, tokens and the password hasher."""

import asyncio
import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg
from sanic import Request
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from api.dataloader import DataLoader
from api.feed import Feed
from api.metrics import Gauges, Metrics
from api.passwords import Hasher
from api.places import Places
from api.settings import Settings
from api.tokens import Tokens
from api.writer import Writer
from storage import condition, current, engine, personal_tokens, roles, sessions
from storage.reader import CONNECTIONS, Reader
from storage.sealing import Ciphers

MAX_IMPORTS = 1
"""At a time, of a worker; others wait. Each has its file in memory."""
UPLOADS_OF_USER, MAX_UPLOADS = 2, 6
"""Files to be imported at a time, each of up to 256 MiB on the disk until it is taken over; two, because a line that broke off
holds its place for up to a minute, and whoever sends again finds another."""
SNAPSHOTS_OF_USER, MAX_SNAPSHOTS = 2, 4
"""That exports and first screens are made from at a time: each holds a connection until all is sent, or in a file."""
STREAMS_OF_USER, MAX_STREAMS = 2, 48
"""Exports and first screens that are sent at a time, however slowly: each may have a file of 32 MiB, so that all have 1.5 GiB."""
DATABASE_ERRORS = (OperationalError, InterfaceError, TimeoutError, psycopg.OperationalError, ConnectionError)
"""What says that Postgres, or a connection to it, is not to be had now."""


@dataclass
class Services:
    """Made when a worker starts, closed when it stops."""

    settings: Settings
    engine: AsyncEngine
    snapshot_engine: AsyncEngine
    """The same pool; its transactions see one snapshot and write nothing."""
    writer: Writer
    ciphers: Ciphers
    tokens: Tokens
    hasher: Hasher
    feed: Feed
    metrics: Metrics
    snapshots: Places
    """What bounds the connections of this process that streamed answers are made from."""
    streams: Places
    """What bounds the streamed answers themselves."""
    uploads: Places
    """What bounds the files on the disk that are received, or wait to be taken over."""
    imports: asyncio.Semaphore
    """What bounds the files that are taken over at the same time."""
    reader: Reader
    """What the loaders below ask."""
    callers: DataLoader[UUID, sessions.Caller]
    """By the id of a session, while it is live."""
    contacts: DataLoader[current.Place, current.Contact]
    transactions: DataLoader[current.Place, current.Transaction]
    """As they are now."""
    balances: DataLoader[UUID, current.Balances]
    """Of a ledger, as they are now."""
    condition: DataLoader[None, condition.Condition]
    """Of Postgres: one look for all who ask at once, who may be anybody."""

    @asynccontextmanager
    async def transaction(self, *ledgers: UUID) -> AsyncIterator[AsyncConnection]:
        """A transaction as the api role that sees the rows of `ledgers`; it commits when the block ends."""
        async with self.engine.begin() as connection:
            await roles.enter_async(connection, roles.API, ledgers)
            yield connection

    @asynccontextmanager
    async def reading(self, ledger_id: UUID) -> AsyncIterator[AsyncConnection]:
        """One consistent snapshot of one ledger."""
        async with self.snapshot_engine.begin() as connection:
            await roles.enter_async(connection, roles.API, [ledger_id])
            yield connection

    def gauges(self) -> Gauges:
        """What this worker is doing."""
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)
        return Gauges(pool.checkedout(), pool.size(), self.reader.busy, CONNECTIONS, self.writer.waiting, self.feed.sockets)

    async def close(self) -> None:
        """Finish what is queued, then give the connections back."""
        await self.metrics.stop()
        await self.writer.stop()
        await self.feed.stop()
        await self.reader.close()
        await self.engine.dispose()
        self.hasher.close()


def make(settings: Settings, metrics: Metrics) -> Services:
    """Services with a started writer; needs a running event loop."""
    pool = engine.async_engine(
        settings.database_url,
        "debitum-api",
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout_seconds,
    )

    async def live_credentials(credential_ids: set[UUID]) -> set[UUID]:
        async with pool.begin() as connection:
            await roles.enter_async(connection, roles.API)
            going = await sessions.live(connection, credential_ids, now=now())
            return going | await personal_tokens.live(connection, credential_ids - going, now=now())

    async def examined(asked: list[None]) -> dict[None, condition.Condition]:
        async with pool.begin() as connection:
            await roles.enter_async(connection, roles.API)
            return dict.fromkeys(asked, await condition.examine(connection))

    feed = Feed(settings.database_url, settings.direct_url or settings.database_url, live_credentials)
    feed.start()
    writer = Writer(
        settings.database_url,
        settings.keys,
        limit=settings.queue_limit,
        seconds=settings.request_seconds,
        moved=feed.moved,
        metrics=metrics,
    )
    writer.start()
    reader = Reader(settings.database_url)
    made = Services(
        settings=settings,
        engine=pool,
        snapshot_engine=pool.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True),
        writer=writer,
        ciphers=Ciphers(settings.keys),
        tokens=Tokens(settings.keys),
        hasher=Hasher(),
        feed=feed,
        metrics=metrics,
        snapshots=Places(MAX_SNAPSHOTS, share=SNAPSHOTS_OF_USER),
        streams=Places(MAX_STREAMS, share=STREAMS_OF_USER),
        uploads=Places(MAX_UPLOADS, share=UPLOADS_OF_USER),
        imports=asyncio.Semaphore(MAX_IMPORTS),
        reader=reader,
        callers=DataLoader(lambda session_ids: sessions.callers(reader, session_ids, now=now())),
        contacts=DataLoader(lambda places: current.contacts(reader, places)),
        transactions=DataLoader(lambda places: current.transactions(reader, places)),
        balances=DataLoader(lambda ledger_ids: current.balances(reader, ledger_ids)),
        condition=DataLoader(examined),
    )
    metrics.start(made.gauges)
    return made


def of(request: Request) -> Services:
    """The services of the worker that handles `request`."""
    services: Services = request.app.ctx.services
    return services


def now() -> datetime.datetime:
    """The edge's clock, in UTC."""
    return datetime.datetime.now(datetime.UTC)
