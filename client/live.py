"""Staying in sync: the feed says that something changed, and connections that break are made again, ever more patiently."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from client.errors import Unavailable
from client.session import EARLY_SECONDS, Session

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
READY_SECONDS = 10.0
"""For the answer to `auth`."""
TOO_MANY = 4409
"""Close code: a newer socket of this user needed the place. Coming back at once would only chase another away."""

Sync = Callable[[], Awaitable[Any]]
Head = Callable[[], tuple[int, str | None]]


async def follow(
    server: str, session: Session, sync: Sync, head: Head, acted: asyncio.Event, dice: random.Random | random.SystemRandom
) -> None:
    """Sync whenever the feed tells of a head that is not `head()`, or the user has `acted`; until cancelled.

    Every attempt to connect begins with a sync, so that a network that lets no WebSocket through still brings everything home.
    """
    failures = 0
    while True:
        wait = 0.0
        try:
            acted.clear()
            await sync()
            async with connect(server.replace("http", "ws", 1) + "/api/sync/ws") as socket:
                await _authenticate(socket, session)
                failures = 0
                await _listen(socket, session, sync, head, acted)
        except Unavailable as error:
            wait = error.retry_after
        except (OSError, InvalidHandshake, TimeoutError):
            pass
        except ConnectionClosed as error:
            wait = LONGEST_PAUSE_SECONDS if error.rcvd is not None and error.rcvd.code == TOO_MANY else 0.0
        failures += 1
        await asyncio.sleep(max(wait, pause(failures, dice)))


def pause(failures: int, dice: random.Random | random.SystemRandom) -> float:
    """Seconds before the next attempt: up to a bound that doubles (full jitter, so that devices do not come back in step)."""
    return dice.random() * min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 16))


async def _authenticate(socket: ClientConnection, session: Session) -> None:
    await socket.send(json.dumps({"type": "auth", "token": await session.token()}))


async def _listen(socket: ClientConnection, session: Session, sync: Sync, head: Head, acted: asyncio.Event) -> None:
    """Until the connection ends, which raises."""
    async with asyncio.timeout(READY_SECONDS):
        message = json.loads(await socket.recv())
    listening = asyncio.create_task(socket.recv())
    acting = asyncio.create_task(acted.wait())
    try:
        while True:
            if (message["version"], message["hash"]) != head() or acted.is_set():
                acted.clear()
                await sync()
            if acting.done():
                acting = asyncio.create_task(acted.wait())
            left = max(session.seconds_left() - EARLY_SECONDS, 0.0)
            await asyncio.wait({listening, acting}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                message = json.loads(listening.result())
                listening = asyncio.create_task(socket.recv())
            if session.seconds_left() <= EARLY_SECONDS:
                await _authenticate(socket, session)
    finally:
        for task in (listening, acting):
            task.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await task
