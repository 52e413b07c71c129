"""Keeps in a file what a slow reader has not taken yet, so that the snapshot it is made from need not wait for them."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator
from typing import IO, Final

CHUNK_BYTES: Final = 64 * 1024
"""Small parts are gathered up to this: a write for each would cost more than its bytes."""
AHEAD_BYTES = 32 * 1024 * 1024
"""Of one answer, as it is sent: whoever reads less than 36 KB/s has no time for more (routing.STREAM_SECONDS)."""
DRAIN_SECONDS = 120.0
"""How long the source waits for as much to be taken: whoever has more than that coming must take 280 KB/s."""


async def read(source: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """What `source` gives. It is read to its end as fast as it goes, however slowly this is, and closed with this at the latest.

    Raises what `source` raises, and TimeoutError where a reader is too slow for an answer that is too large.
    """
    with tempfile.SpooledTemporaryFile(CHUNK_BYTES, prefix="debitum-stream-") as file:
        backlog = _Backlog(file)
        filling = asyncio.create_task(backlog.fill(source))
        filling.add_done_callback(lambda _: backlog.moved.set())
        try:
            while True:
                if over := filling.done():
                    filling.result()
                if chunk := backlog.take():
                    yield chunk
                elif over:
                    return
                else:
                    await backlog.moved.wait()
                    backlog.moved.clear()
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)
            del filling  # with its error, which would hold this frame


class _Backlog:
    """What was written to the file and not taken yet; once all of it is taken, the file is written from its beginning again.

    On the event loop: the system takes a chunk in less time than a thread would need to begin.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._written = self._taken = 0
        self._drained = asyncio.Event()
        self.moved = asyncio.Event()
        """Something was written."""

    async def fill(self, source: AsyncGenerator[bytes, None]) -> None:
        """Write all of `source`. Raises TimeoutError."""
        async with contextlib.aclosing(source):
            async for chunk in source:
                if self._written >= AHEAD_BYTES:
                    async with asyncio.timeout(DRAIN_SECONDS):
                        await self._drained.wait()
                self._drained.clear()
                self._file.seek(self._written)
                self._written += self._file.write(chunk)
                self.moved.set()

    def take(self) -> bytes:
        """The next of it; empty: there is nothing."""
        self._file.seek(self._taken)
        chunk = self._file.read(min(CHUNK_BYTES, self._written - self._taken))
        self._taken += len(chunk)
        if self._taken == self._written:
            self._taken = self._written = 0
            self._drained.set()
        return chunk
