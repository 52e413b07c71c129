"""The network of a hotel: lets browsers through to a server, or answers in its place, as where nobody has paid."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.fakes.line import CHUNK_BYTES, listening

_LENGTH = re.compile(rb"(?im)^content-length: *(\d+)")


@dataclass
class Portal:
    """`url` leads to `server`; while there is an `answer` (bytes of HTTP), whoever asks for what is under `captive` gets that."""

    server: str
    url: str = ""
    answer: bytes | None = None
    captive: str = "/api/"
    kept: list[str] = field(default_factory=list)
    """The first lines of the requests that were not let through."""
    passed: list[str] = field(default_factory=list)
    """Those of the others."""
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def close_in(self, answer: bytes) -> None:
        """Answer that from now on; what is open breaks off."""
        self.answer = answer
        self.break_off()

    def break_off(self) -> None:
        """End what is open."""
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            line = head.partition(b"\r\n")[0].decode()
            if self.answer is not None and line.split()[1].startswith(self.captive):
                length = _LENGTH.search(head)
                await reader.readexactly(int(length[1]) if length else 0)  # else the answer is lost, to a reset
                self.kept.append(line)
                writer.write(self.answer)
                await writer.drain()
            else:
                self.passed.append(line)
                await self._through(head.replace(b"Connection: keep-alive", b"Connection: close"), reader, writer)
        writer.close()

    async def _through(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = urlsplit(self.server)
        there_reader, there_writer = await asyncio.open_connection(address.hostname, address.port)
        there_writer.write(head)
        both = {writer, there_writer}
        self._open |= both
        ways = [asyncio.ensure_future(_carry(reader, there_writer)), asyncio.ensure_future(_carry(there_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self._open -= both
            there_writer.transport.abort()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(CHUNK_BYTES):
            target.write(data)
            await target.drain()


@asynccontextmanager
async def portal(server: str) -> AsyncIterator[Portal]:
    """One before `server`, on a port of its own, that lets everybody through."""
    made = Portal(server)
    async with listening(made._serve) as made.url:
        try:
            yield made
        finally:
            made.break_off()


def http(status: int, body: bytes | str = b"", *, kind: str = "text/html", **headers: str) -> bytes:
    """An answer, whole; header names with _ for -."""
    content = body.encode() if isinstance(body, str) else body
    lines = {"Content-Type": kind, "Content-Length": str(len(content)), "Connection": "close"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} So\r\n{head}\r\n".encode() + content
