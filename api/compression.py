"""Gzip for whoever accepts it: of whole bodies, and of streams as they come."""

import contextlib
import functools
import gzip
import re
import zlib
from collections.abc import AsyncGenerator
from typing import Final

from sanic import Request

FROM_BYTES: Final = 1024
LEVEL: Final = 5
"""Beyond it the bytes saved are few and the time is not."""
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
"""The format of zlib.compressobj that has gzip's head and check sum."""
_SECRET: Final = ("/api/auth/", "/api/tokens")
"""Paths whose answers hold tokens."""


class Constant(bytes):
    """A body that is the same for everybody, and packed once for all."""

    @functools.cached_property
    def packed(self) -> bytes:
        """Its gzip form."""
        return _packed(self)


def accepted(request: Request) -> bool:
    """Whether the client reads gzip, and may have it: a secret that is compressed beside what a client chose leaks (BREACH)."""
    return not request.path.startswith(_SECRET) and _names_gzip(request.headers.get("accept-encoding", ""))


def whole(body: bytes) -> bytes:
    """`body`, packed."""
    return body.packed if isinstance(body, Constant) else _packed(body)


async def stream(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """`chunks`, packed as they come, and closed with this."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    async with contextlib.aclosing(chunks):
        async for chunk in chunks:
            if packed := packer.compress(chunk):
                yield packed
    yield packer.flush()


def _packed(body: bytes) -> bytes:
    return gzip.compress(body, LEVEL, mtime=0)


def _names_gzip(header: str) -> bool:
    for part in header.split(","):
        coding, _, weight = part.strip().partition(";")
        if coding.strip().lower() in ("gzip", "*"):
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return False
