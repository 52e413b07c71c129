"""Who may run Dagster's daemon on a database: two of them would tick every schedule twice."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import psycopg

from debitum.saying import Voice
from storage import server, urls

ASK_SECONDS: Final = 5.0
"""Between two attempts to become the leader, and two looks whether we still are."""

Daemon = Callable[[], Coroutine[Any, Any, None]]
"""Runs until it is cancelled."""


@asynccontextmanager
async def led_briefly(url: str) -> AsyncIterator[bool]:
    """Whether nobody else runs Dagster on the database of `url`; if so, nobody else begins to while the block runs."""
    async with await urls.async_connection(url, "debitum-leader") as connection:
        yield await server.lead_dagster(connection)


async def run_alone(url: str, daemon: Daemon, say: Voice, *, ask_seconds: float = ASK_SECONDS) -> None:
    """Run `daemon` whenever this process holds the database's leadership; does not return.

    The leadership is a lock of a session: when the connection is lost the daemon is stopped, then the lock is asked for again.
    `url` must lead to Postgres itself, not to a pooler.
    """
    waiting = False
    while True:
        with suppress(psycopg.OperationalError):
            async with await urls.async_connection(url, "debitum-leader") as connection:
                if await server.lead_dagster(connection):
                    waiting = False
                    await _run_while_connected(connection, daemon, say, ask_seconds)
                elif not waiting:
                    waiting = True
                    text = "daemon: another supervisor runs Dagster's daemon on this database; this one waits for its turn"
                    say(text, "daemon_waits")
        await asyncio.sleep(ask_seconds)


async def _run_while_connected(connection: psycopg.AsyncConnection[Any], daemon: Daemon, say: Voice, ask_seconds: float) -> None:
    running = asyncio.create_task(daemon())
    try:
        while not (await asyncio.wait({running}, timeout=ask_seconds))[0]:
            await server.ping(connection)
        await running  # raises what has ended it: whoever keeps us is to know, and the lock is another's to have
    except psycopg.OperationalError:
        text = "daemon: the connection that held its lock is lost; it is stopped until the lock is ours again"
        say(text, "daemon_lost_its_lock", level="warning")
        raise
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
