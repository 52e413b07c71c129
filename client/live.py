"""Staying in sync: the feed says that something changed, and connections that break are made again, ever more patiently."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from client import answers
from client.errors import Unavailable
from client.session import EARLY_SECONDS, Session

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
READY_SECONDS = 10.0
"""For the answer to `auth`."""
LEAST_REST_SECONDS = 1.0
"""Between two renewals of a token, however short its life is."""
LOOK_SECONDS = 2.0
"""Between two looks at what waits: another process that has the file open may have acted, and cannot set an event of ours."""
TOO_MANY = 4409
"""Close code: a newer socket of this user needed the place. Coming back at once would only chase another away."""

Sync = Callable[[], Awaitable[Any]]
IsNews = Callable[[tuple[int, str | None]], bool]
"""Whether a sync would change anything, given where the server's ledger stands."""


async def follow(
    server: str, session: Session, sync: Sync, is_news: IsNews, stirred: asyncio.Event, dice: random.Random | random.SystemRandom
) -> None:
    """Sync whenever something is new, there or here (`stirred`); until cancelled. Raises what `sync` does but Unavailable.

    Every attempt to connect begins with a sync, so that a network that lets no WebSocket through still brings everything home.
    """
    failures = 0
    while True:
        wait = 0.0
        try:
            await sync()
            async with connect(server.replace("http", "ws", 1) + "/api/sync/ws") as socket:
                await _authenticate(socket, session)
                async with asyncio.timeout(READY_SECONDS):
                    head = await _head(socket)
                failures = 0  # not before: a proxy may shake hands for a server that is gone
                await _listen(socket, head, session, sync, is_news, stirred)
        except Unavailable as error:
            wait = error.retry_after
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError):  # a redirect may lead anywhere
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


async def _listen(
    socket: ClientConnection, head: tuple[int, str | None], session: Session, sync: Sync, is_news: IsNews, stirred: asyncio.Event
) -> None:
    """Until the connection ends, which raises ConnectionClosed. `head`: the first that was said."""
    heads = [head]
    reading = asyncio.create_task(_read(socket, heads, stirred))
    try:
        while not reading.done():
            stirred.clear()
            if is_news(heads[-1]):
                await sync()
            renewal = max(session.seconds_left() - EARLY_SECONDS, LEAST_REST_SECONDS)
            await _rest(stirred, min(renewal, LOOK_SECONDS))
            if session.seconds_left() <= EARLY_SECONDS:
                await _authenticate(socket, session)
        reading.result()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(socket: ClientConnection, heads: list[tuple[int, str | None]], stirred: asyncio.Event) -> None:
    """Keep the newest head. It is read even while a sync is under way: what is not read keeps a socket from being closed."""
    try:
        while True:
            heads[:] = [await _head(socket)]
            stirred.set()
    finally:
        stirred.set()


async def _rest(stirred: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stirred.wait()
    except TimeoutError:
        pass


async def _head(socket: ClientConnection) -> tuple[int, str | None]:
    """The next head; whatever else comes, from a later server or somebody on the way, is passed over."""
    while not answers.is_head(said := _understood(await socket.recv())):
        pass
    return said["version"], said["hash"]


def _understood(message: str | bytes) -> Any:
    try:
        return json.loads(message)
    except ValueError:
        return None
