"""A telephone line between a device and its server: TCP on loopback that can be cut, at any byte, in both directions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK_BYTES = 4_096


@dataclass
class Line:
    """`url` leads to whatever `server` (a URL) is at the moment of a connection; without one, connections are closed at once."""

    server: str | None
    url: str = ""
    cut_after_sent: int | None = None
    """Bytes from the device until the line is cut, once."""
    cut_after_received: int | None = None
    """The same for bytes to the device."""
    cuts: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Everything that is open breaks off now."""
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.server is None:
            writer.transport.abort()
            return
        address = urlsplit(self.server)
        try:
            there_reader, there_writer = await asyncio.open_connection(address.hostname, address.port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, there_writer}
        self._open |= both
        try:
            await asyncio.gather(
                self._carry(reader, there_writer, "cut_after_sent"), self._carry(there_reader, writer, "cut_after_received")
            )
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open -= both
            for one in both:
                one.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, limit: str) -> None:
        while data := await source.read(CHUNK_BYTES):
            left: int | None = getattr(self, limit)
            if left is not None and len(data) >= left:
                target.write(data[:left])
                with contextlib.suppress(ConnectionError):
                    await target.drain()
                setattr(self, limit, None)
                self.cuts += 1
                raise ConnectionAbortedError("the line is cut")
            if left is not None:
                setattr(self, limit, left - len(data))
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()


@asynccontextmanager
async def line(server: str | None) -> AsyncIterator[Line]:
    """A line to `server`, on a port of its own."""
    made = Line(server)
    async with listening(made._serve) as made.url:
        try:
            yield made
        finally:
            made.cut()


@asynccontextmanager
async def listening(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """The address at which `serve` is called for each connection."""
    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
