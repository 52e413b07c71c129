"""Questions that only a part which really works can answer."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

TIMEOUT_SECONDS: Final = 5.0
"""For one question; a part that is just starting up on a busy machine may be slow."""

Probe = Callable[[], Awaitable[bool]]
"""True when the part answers, False when it does not yet."""


def http(url: str) -> Probe:
    """Whether GET `url` is answered with 200. Speaks HTTP/1.0 itself: a client library would cost the supervisor 20 MB."""
    parts = urlsplit(url)

    async def ask() -> bool:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(f"GET {parts.path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
            status = await reader.readline()
        finally:
            writer.close()
        return status.split(b" ")[1:2] == [b"200"]

    return _patient(ask)


def unix_socket(path: Path) -> Probe:
    """Whether somebody accepts connections there. Dagster's code server binds its socket after it has loaded the definitions."""

    async def ask() -> bool:
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.close()
        return True

    return _patient(ask)


def file(path: Path) -> Probe:
    """Whether it is there: who works has put it there, and it is removed before each start."""

    async def ask() -> bool:
        return await asyncio.to_thread(path.exists)

    return ask


def _patient(ask: Probe) -> Probe:
    async def probe() -> bool:
        try:
            return await asyncio.wait_for(ask(), TIMEOUT_SECONDS)
        except (OSError, TimeoutError):
            return False

    return probe
