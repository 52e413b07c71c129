"""The connection of a client: Sanic's own, with a limit to how slowly a request may come in, and to what it may look like."""

import asyncio
import contextlib
import re
from typing import Any

from sanic import Request
from sanic.exceptions import BadRequest, BadURL
from sanic.http import Http
from sanic.http.constants import Stage
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from api.transfer import MAX_IMPORT_BYTES

RECEIVE_SECONDS = 10.0
"""How long a request may keep us waiting, beside what its bytes earn; and how long a new connection may say nothing."""
MIN_BYTES_PER_SECOND = 1024
"""What earns a second more: a phone at the edge of its cell is twice as fast, so that even 256 MiB have the time they need."""
MOST_PATIENCE_SECONDS = 60.0
"""What a request that began fast can save up: enough for a tunnel, not for holding a connection on a few bytes."""
LINGER_SECONDS = 60.0
"""How long the rest of a request is read that was answered before it: as long as a connection may rest between requests."""
LINGER_BYTES = MAX_IMPORT_BYTES
"""How much of it: nobody who means well sends more than the largest body that is taken."""
STRANGERS_BYTES = 64 * 1024
"""Of a body from somebody whom we do not know: many times what can be said there, and little where hundreds send it slowly."""


class TooSlow(BadRequest):
    """The request came too slowly. A BadRequest: for those Sanic drops the connection even while it reads a rest of a body."""

    status_code = 408
    quiet = True


_TOKENS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+\n)+")
_DIGITS = {10: re.compile(r"[0-9]{1,18}"), 16: re.compile(r"[0-9a-fA-F]{1,15}")}


class StrictRequest(Request):
    """A request whose head means the same to every reader (RFC 9112, 3.2 and 5.1; RFC 9110, 5.5).

    Sanic takes `Content-Length : 5` for a header that it does not know, and the body for the next request: a proxy that
    reads it otherwise could be made to let requests through that it has never looked at.
    """

    __slots__ = ()

    def __init__(self, url_bytes: bytes, headers: Any, version: str, method: str, *rest: Any, **named: Any) -> None:
        """Raises BadRequest, after which the connection is closed."""
        if head := named.get("head"):  # else it stands for one that could not be read at all
            hosts = len(headers.getall("host", ()))
            if hosts > 1 or (version == "1.1" and not hosts):
                raise BadRequest("one Host is wanted")
            # All together: to look at them one by one costs as much as all the rest of this.
            are_lines = head.count(b"\r") == head.count(b"\n") == len(headers) and b"\0" not in head
            if not are_lines or not _TOKENS.fullmatch("\n".join((method, *headers, ""))):
                raise BadRequest("the head is not well-formed")
        super().__init__(url_bytes, headers, version, method, *rest, **named)

    async def receive_body(self) -> None:
        """Read the body into memory: a small one from anybody, a large one where the route's `admit` does not object."""
        http: Any = self.stream  # whose types are narrower than what it is
        if http.request_body == "chunked" or http.request_bytes > STRANGERS_BYTES:
            admit = getattr(self.route and self.route.ctx, "admit", None)
            if admit is None:
                http.request_max_size = STRANGERS_BYTES
            elif http.request_bytes <= http.request_max_size:  # else there is nothing to ask
                await admit(self)
        await super().receive_body()


class _Http(Http):
    """Tells the connection where a request begins, and that what comes behind its last one is to be thrown away."""

    __slots__ = ()

    async def http1(self) -> None:
        """Answer requests until the connection is to be closed."""
        await super().http1()
        if self.request_body or self.recv_buffer:  # what was answered is not all that was sent
            assert isinstance(self.protocol, Protocol)
            await self.protocol.linger()

    def create_empty_request(self) -> None:
        """What stands for a request that could not be read, so that it can be answered."""
        try:
            super().create_empty_request()
        except BadURL:
            self.url = None
            super().create_empty_request()

    @staticmethod
    def _safe_int(value: str, base: int = 10) -> int:
        """The length of a body or a chunk: digits, and nothing else that Python takes for a number. Raises ValueError."""
        if _DIGITS[base].fullmatch(value.strip(" \t")) is None:
            raise ValueError(value)
        return int(value, base)

    def init_for_request(self) -> None:
        super().init_for_request()
        assert isinstance(self.protocol, Protocol)
        self.protocol.request_begins()

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:
        """The head of an answer, which says that it is the last where Sanic will not read the rest of the request's body."""
        if self.request_body:  # of chunks nobody knows how many there will be
            known = "transfer-encoding" not in self.request.headers
            self.keep_alive = self.keep_alive and known and self.request_bytes <= self.protocol.request_max_size
        await super().http1_response_header(data, end_stream)

    async def head_response_ignored(self, data: bytes, end_stream: bool) -> None:  # type: ignore[override]
        """What a streamed answer to HEAD would have had for a body; Sanic waits for this, and its own is no coroutine."""
        super().head_response_ignored(data, end_stream)


class Protocol(WebSocketProtocol):
    """Sanic counts its REQUEST_TIMEOUT anew from every byte, so that a byte a minute holds a connection for ever.

    Here only the time counts in which we wait for the client, over the whole of a request: RECEIVE_SECONDS and a second
    for each MIN_BYTES_PER_SECOND. What comes after the request takes no part in it: handlers, streamed answers, WebSockets.
    Between requests Sanic's KEEP_ALIVE_TIMEOUT holds.
    """

    HTTP_CLASS = _Http
    __slots__ = ("_patience_seconds", "_requests")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once, before anything else."""
        self._requests = 0
        self._patience_seconds = RECEIVE_SECONDS
        super().connection_made(transport)

    def request_begins(self) -> None:
        """The connection waits for its next request."""
        self._requests += 1
        self._patience_seconds = RECEIVE_SECONDS

    def pause_writing(self) -> None:
        """The client does not read, nor do we read what a WebSocket of theirs says: the answer to each ping would be kept."""
        super().pause_writing()
        if self.websocket is not None and self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again, or has gone."""
        super().resume_writing()
        if self.websocket is not None and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    async def receive_more(self) -> None:
        """Wait for bytes. Raises TooSlow."""
        between = self._http.stage is Stage.IDLE and not self._http.request_body  # else: the rest of a body, after its answer
        if not between:
            await self._receive_in_time()
        elif self._requests > 1:
            await super().receive_more()
        else:
            await self._receive_first()

    async def _receive_in_time(self) -> None:
        began, had = self.loop.time(), len(self.recv_buffer)
        try:
            async with asyncio.timeout(self._patience_seconds):
                await super().receive_more()
        except TimeoutError:
            self._http.keep_alive = False
            raise TooSlow("the request came too slowly") from None
        finally:
            earned = (len(self.recv_buffer) - had) / MIN_BYTES_PER_SECOND
            left = self._patience_seconds - (self.loop.time() - began) + earned
            self._patience_seconds = min(left, MOST_PATIENCE_SECONDS)

    async def linger(self) -> None:
        """Say that nothing more is said, and throw away what still comes, until the client closes too (RFC 9112, 9.6).

        What is unread when a socket is closed is answered by a reset, for which the client's system throws away what it has
        of our answer: whoever sends all of a body before they read would never know why it was refused. It is read no more
        slowly than a request, of whose time only RECEIVE_SECONDS are left, and at most LINGER_BYTES and LINGER_SECONDS.
        """
        if self.websocket is not None or self.transport is None or self.transport.is_closing():
            return
        self._http.stage = Stage.RESPONSE  # which is not over before it can be read: no shutdown takes this for idle
        with contextlib.suppress(OSError, TooSlow, TimeoutError):  # OSError: the client is gone
            self.transport.write_eof()
            left = LINGER_BYTES
            async with asyncio.timeout(LINGER_SECONDS):
                while (left := left - len(self.recv_buffer)) > 0:
                    self.recv_buffer.clear()
                    self._patience_seconds = min(self._patience_seconds, RECEIVE_SECONDS)
                    await self._receive_in_time()

    async def _receive_first(self) -> None:
        """There is no request yet that could be answered: the connection is closed without a word."""
        giving_up = self.loop.call_later(RECEIVE_SECONDS, self.close)
        try:
            await super().receive_more()
        finally:
            giving_up.cancel()

    def close_if_idle(self) -> bool:
        """Close unless a request is there, or has come and not been looked at yet; whether it was closed."""
        if self.websocket is None and self.recv_buffer:
            return False
        return bool(super().close_if_idle())
