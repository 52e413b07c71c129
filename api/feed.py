"""The change feed of one process: who listens to which ledger, and what this process tells and hears of the others."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import psycopg
import structlog

from storage import feed, urls
from storage.feed import Head, News

MAX_LISTENERS = 5
"""Of one ledger, over all processes; one more and the oldest has to go."""
TELL_SECONDS = 0.02
"""Heads are gathered this long before the other processes are told: a NOTIFY a commit would be one flush a commit."""
LOOK_SECONDS = 25.0
"""How often heads are read whatever was heard: a process that dies between its commit and its NOTIFY tells nobody."""
ANSWER_SECONDS = 10.0
"""For one query, of all listeners' ledgers; after that the connection is taken for dead, and the next query has a new one."""
RECONNECT_SECONDS = 0.5
_log = structlog.get_logger(__name__)


class Over(Enum):
    """Why a listener has to go."""

    TOO_MANY = "too many sockets"
    SESSION_ENDED = "the session has ended"


@dataclass(eq=False)
class Listener:
    """A device that wants to know where its ledger stands.

    Only the newest head waits: those before it say nothing more, so that a slow reader costs one head and no queue.
    """

    ledger_id: str
    credential_id: UUID
    opened_at: float
    id: str = field(default_factory=lambda: str(uuid4()))
    head: Head | None = None
    told: Head | None = None
    heard: Head | None = None
    """The last news since a reading began."""
    committed_at: float | None = None
    """Of the oldest news that `head` holds, by the clock of whoever committed it; None: it was read, and nobody knows when."""
    over: Over | None = None
    """Why it has to end."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    newer: set[str] = field(default_factory=set)
    """Listeners of this ledger that came later, in whatever process."""

    @property
    def socket(self) -> feed.Socket:
        """As other processes know it."""
        return feed.Socket(self.ledger_id, self.opened_at, self.id)

    def hear(self, head: Head, committed_at: float | None) -> None:
        """News of a commit: let it know, if that is newer."""
        self.heard = head
        known = self.head or self.told
        if known is None or head.version > known.version:
            self.committed_at = committed_at if self.head is None else self.committed_at
            self.head = head
            self.changed.set()

    def see(self, read: Head) -> None:
        """Let it know what was read, also where that is less than before (a backup was restored).

        What was heard while it was being read may be newer than what was read.
        """
        newest = read if self.heard is None or self.heard.version < read.version else self.heard
        if newest != (self.head or self.told):
            self.head, self.committed_at = newest, None
            self.changed.set()

    def dismiss(self, why: Over) -> None:
        """End it."""
        self.over = why
        self.changed.set()


@dataclass
class _Unsaid:
    """What the other processes have not been told yet."""

    heads: dict[str, Head] = field(default_factory=dict)
    committed_at: float | None = None
    """When the oldest of them was."""
    opened: list[feed.Socket] = field(default_factory=list)
    closed: list[feed.Socket] = field(default_factory=list)
    there: asyncio.Event = field(default_factory=asyncio.Event)

    def put_back(self, news: News) -> None:
        """It could not be told: it goes with the next, unless there is a newer head by then."""
        self.heads = {head.ledger_id: head for head in news.heads} | self.heads
        self.committed_at = news.committed_at or self.committed_at
        self.opened, self.closed = news.opened + self.opened, news.closed + self.closed
        self.there.set()

    def take(self, origin: str) -> News:
        """Everything, as news of the process `origin`."""
        news = News(origin, list(self.heads.values()), self.opened, self.closed, self.committed_at)
        self.heads, self.opened, self.closed, self.committed_at = {}, [], [], None
        self.there.clear()
        return news


LiveCredentials = Callable[[set[UUID]], Coroutine[Any, Any, set[UUID]]]
"""Which of these sessions and personal tokens are still good."""


class Feed:
    """Listeners by ledger. `direct_url` is not a pooler's: LISTEN belongs to a session."""

    def __init__(self, database_url: str, direct_url: str, live_credentials: LiveCredentials) -> None:
        self._database_url = database_url
        self._direct_url = direct_url
        self._live_credentials = live_credentials
        self._origin = str(uuid4())
        self._listeners: dict[str, set[Listener]] = {}
        self._unsaid = _Unsaid()
        self._connection: feed.Connection | None = None
        self._one_at_a_time = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to tell, to hear and to look."""
        self._tasks = [asyncio.create_task(_forever(step), name=step.__name__) for step in (self._tell, self._hear, self._look)]

    async def stop(self) -> None:
        """Stop and give the connections back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()

    @property
    def sockets(self) -> int:
        """Of this process."""
        return sum(map(len, self._listeners.values()))

    def moved(self, heads: Iterable[Head]) -> None:
        """Ledgers have changed: their listeners here know at once, those elsewhere in a moment."""
        now = time.time()
        self._unsaid.committed_at = self._unsaid.committed_at or now
        for head in heads:
            self._spread(head, now)
            self._unsaid.heads[head.ledger_id] = head
        self._unsaid.there.set()

    def join(self, listener: Listener) -> None:
        """Tell this listener from now on."""
        self._came(listener.socket)
        self._listeners.setdefault(listener.ledger_id, set()).add(listener)
        self._unsaid.opened.append(listener.socket)
        self._unsaid.there.set()

    def leave(self, listener: Listener) -> None:
        """Tell it no more."""
        others = self._listeners[listener.ledger_id]
        others.discard(listener)
        if not others:
            del self._listeners[listener.ledger_id]
        self._went(listener.socket)
        self._unsaid.closed.append(listener.socket)
        self._unsaid.there.set()

    async def look(self, ledger_ids: Iterable[str]) -> None:
        """Read heads and tell them to the listeners here. Raises psycopg.OperationalError, TimeoutError."""
        await self._with_connection(lambda connection: self._look_at(connection, sorted(set(ledger_ids))))

    async def _look_at(self, connection: feed.Connection, ledger_ids: list[str]) -> None:
        for ledger_id in ledger_ids:
            for listener in self._listeners.get(ledger_id, ()):
                listener.heard = None
        for head in await feed.heads(connection, ledger_ids):
            for listener in self._listeners.get(head.ledger_id, ()):
                listener.see(head)

    def _spread(self, head: Head, committed_at: float | None) -> None:
        for listener in self._listeners.get(head.ledger_id, ()):
            listener.hear(head, committed_at)

    def _came(self, socket: feed.Socket) -> None:
        for listener in self._listeners.get(socket.ledger_id, ()):
            if (socket.opened_at, socket.id) > (listener.opened_at, listener.id):  # news of older ones may be late
                listener.newer.add(socket.id)
            if len(listener.newer) >= MAX_LISTENERS:
                listener.dismiss(Over.TOO_MANY)

    def _went(self, socket: feed.Socket) -> None:
        for listener in self._listeners.get(socket.ledger_id, ()):
            listener.newer.discard(socket.id)

    async def _tell(self) -> None:
        await self._unsaid.there.wait()
        await asyncio.sleep(TELL_SECONDS)
        news = self._unsaid.take(self._origin)
        try:
            await self._with_connection(lambda connection: feed.tell(connection, news))
        except (psycopg.OperationalError, OSError):
            self._unsaid.put_back(news)
            raise

    async def _hear(self) -> None:
        connection = await urls.async_connection(self._direct_url, "debitum-api-feed-listen")
        try:
            async for news in feed.listen(connection):
                if news.origin == feed.LISTENING:
                    await self.look(self._listeners)  # whatever was said before this is missed: after a restart, much
                elif news.origin != self._origin:
                    self._heard(news)
        finally:
            await connection.close()

    def _heard(self, news: News) -> None:
        for head in news.heads:
            self._spread(head, news.committed_at)
        for socket in news.opened:
            self._came(socket)
        for socket in news.closed:
            self._went(socket)

    async def _look(self) -> None:
        await asyncio.sleep(LOOK_SECONDS)
        if not self._listeners:
            return
        await self.look(self._listeners)
        everyone = [listener for listeners in self._listeners.values() for listener in listeners]
        live = await self._live_credentials({listener.credential_id for listener in everyone})
        for listener in everyone:
            if listener.credential_id not in live:
                listener.dismiss(Over.SESSION_ENDED)

    async def _with_connection(self, work: Callable[[feed.Connection], Coroutine[Any, Any, Any]]) -> Any:
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    if self._connection is None or self._connection.closed:
                        self._connection = await urls.async_connection(self._database_url, "debitum-api-feed")
                    return await work(self._connection)
            except (psycopg.OperationalError, TimeoutError):
                connection, self._connection = self._connection, None
                if connection is not None:
                    with contextlib.suppress(Exception):
                        await connection.close()
                raise


async def _forever(step: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Again and again; while Postgres is away, every half second."""
    while True:
        try:
            await step()
        except (psycopg.OperationalError, OSError) as error:
            _log.warning("feed_unavailable", step=step.__name__, error=type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)
        except Exception:  # a mistake of ours must not end the feed for everyone
            _log.exception("feed_failed", step=step.__name__)
            await asyncio.sleep(RECONNECT_SECONDS)
