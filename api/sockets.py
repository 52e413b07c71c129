"""GET /api/sync/ws: a WebSocket that says where the ledger stands after every change. Ids and hashes only, never contents."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Coroutine
from typing import Any

import msgspec
from msgspec import Struct
from sanic import Request, Sanic
from sanic.exceptions import WebsocketClosed
from sanic.server.websockets.impl import WebsocketImplProtocol
from websockets.exceptions import ConnectionClosed

from api import auth, body, deadline, limits, problems, services
from api.feed import Listener, Over
from api.metrics import Metrics
from domain import errors

PATH, NAME = "/api/sync/ws", "sync_ws"
AUTH_SECONDS = 5.0
"""How long a new socket may take to say who it is."""
PING_SECONDS = 25.0
LAG_SECONDS = 30.0
LAG_BYTES = 256 * 1024
MAX_MESSAGE_BYTES = 64 * 1024
MAX_FRAME_BYTES = 2 * MAX_MESSAGE_BYTES
"""Beyond it the connection is cut by the protocol (1009) before a message is whole."""
SEND_BUFFER_BYTES = 32 * 1024
"""Of the operating system: a reader that does not read shows after a few hundred heads, and 1,000 sockets stay small."""
GOING_AWAY, TRY_AGAIN, BAD_MESSAGE, UNAUTHORIZED, TOO_MANY, TOO_LARGE, LAGS = 1001, 1013, 4400, 4401, 4409, 4413, 4429


class Auth(Struct, tag_field="type", tag="auth", frozen=True, forbid_unknown_fields=True):
    """A device says who it is: first, and again whenever it has a newer token."""

    token: str | None = None
    """Required: whoever leaves it out is told that no token came."""


class Ready(Struct, tag_field="type", tag="ready", frozen=True):
    """The socket is open, and the ledger stands here."""

    ledger_id: str
    version: int
    hash: str | None


class Moved(Struct, tag_field="type", tag="head", frozen=True):
    """Something changed: the ledger stands here now."""

    ledger_id: str
    version: int
    hash: str | None


class _Close(Exception):
    """The socket is to be closed with `code`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def install(app: "Sanic[Any, Any]") -> None:
    """Serve the feed."""
    app.config.update(
        WEBSOCKET_MAX_SIZE=MAX_FRAME_BYTES, WEBSOCKET_PING_INTERVAL=PING_SECONDS, WEBSOCKET_PING_TIMEOUT=PING_SECONDS
    )

    def same_origin(request: Request) -> None:
        if not _may_connect(request):
            raise problems.ForeignOrigin("this page is not allowed to listen")

    app.register_named_middleware(same_origin, [f"{app.name}.{NAME}"])

    @app.websocket(PATH, name=NAME)  # type: ignore[untyped-decorator]  # Sanic leaves it untyped
    async def feed(request: Request, ws: WebsocketImplProtocol) -> None:
        try:
            await _serve(request, ws)
        except _Close as end:
            if end.code == LAGS:
                ws.fail_connection(end.code, str(end))
            else:
                await ws.close(end.code, str(end))
        except (ConnectionClosed, WebsocketClosed):
            pass
        except asyncio.CancelledError:
            # Sanic would say 1000, as if all were said.
            ws.end_connection(GOING_AWAY, "the server stops")  # type: ignore[no-untyped-call]
            raise
        finally:
            # Sanic's socket and its parts hold each other: what came of a message that never ended would wait for the collector.
            ws.assembler.chunks.clear()


def _may_connect(request: Request) -> bool:
    """Native apps send no Origin; pages must be our own, or allowed by the operator."""
    origin = request.headers.get("origin")
    if origin is None:
        return True
    return origin.partition("://")[2] == request.host or origin in services.of(request).settings.cors_origins


async def _serve(request: Request, ws: WebsocketImplProtocol) -> None:
    here = services.of(request)
    try:
        first = await _authenticated(request, await _receive(ws, AUTH_SECONDS))
    except TimeoutError as error:
        raise _Close(UNAUTHORIZED, "no token came") from error
    _limit_send_buffer(request)
    listener = Listener(str(first.caller.ledger_id), first.caller.credential_id, time.time())
    here.feed.join(listener)  # before it looks: what is committed in between is told, and not missed
    try:
        await here.feed.look([listener.ledger_id])
        await _first_of(_tell(ws, listener, here.metrics), _listen(request, ws, listener, first))
    except services.DATABASE_ERRORS as error:
        raise _Close(TRY_AGAIN, "the database does not answer") from error
    finally:
        here.feed.leave(listener)


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Do all until one ends, which it only does by raising; the others are cancelled."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _tell(ws: WebsocketImplProtocol, listener: Listener, metrics: Metrics) -> None:
    """Send every newest head, the first as `ready`."""
    kind: type[Ready | Moved] = Ready
    while True:
        await listener.changed.wait()
        listener.changed.clear()
        if listener.over is not None:
            raise _Close(TOO_MANY if listener.over is Over.TOO_MANY else UNAUTHORIZED, listener.over.value)
        head, listener.head, committed_at = listener.head, None, listener.committed_at
        if head is None or head == listener.told:
            continue
        listener.told = head
        await _send(ws, kind(head.ledger_id, head.version, head.hash))
        if committed_at is not None:
            metrics.told(time.time() - committed_at)
        kind = Moved


async def _send(ws: WebsocketImplProtocol, message: Struct) -> None:
    transport = ws.io_proto.transport if ws.io_proto else None
    if transport is not None and transport.get_write_buffer_size() > LAG_BYTES:
        raise _Close(LAGS, "the reader lags")
    try:
        async with asyncio.timeout(LAG_SECONDS):
            await ws.send(msgspec.json.encode(message).decode())
    except TimeoutError as error:
        raise _Close(LAGS, "the reader lags") from error


async def _listen(request: Request, ws: WebsocketImplProtocol, listener: Listener, signed_in: auth.SignedIn) -> None:
    """Take newer tokens; ends with the last one, or with its session."""
    while True:
        try:
            message = await _receive(ws, signed_in.expires_at.timestamp() - time.time())
        except TimeoutError as error:
            raise _Close(UNAUTHORIZED, "the token has expired") from error
        newer = await _authenticated(request, message)
        if newer.caller.ledger_id != signed_in.caller.ledger_id:
            raise _Close(UNAUTHORIZED, "the token is of another user")
        signed_in = newer
        listener.credential_id = newer.caller.credential_id


async def _receive(ws: WebsocketImplProtocol, seconds: float) -> str | bytes:
    """The next message. Raises TimeoutError, and _Close where the other side has gone."""
    try:
        message = await ws.recv(max(seconds, 0.001))
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        raise _Close(1000, "") from None  # Sanic says by a cancellation that the other side closes
    if message is None:
        raise TimeoutError
    if len(message) > MAX_MESSAGE_BYTES:
        raise _Close(TOO_LARGE, "the message is too large")
    return message


async def _authenticated(request: Request, message: str | bytes) -> auth.SignedIn:
    """Who the message says that it is; each is counted like any request, and by its address where it says nothing good."""
    try:
        limits.of(request).count_address(request)
        signed_in = await _signed_in(request, message)
        limits.of(request).forgive_address(request)
        limits.of(request).count_user(request, signed_in.caller.user_id)
    except (problems.RateLimited, problems.Unavailable) as error:
        raise _Close(TRY_AGAIN, error.detail) from error
    except services.DATABASE_ERRORS as error:
        raise _Close(TRY_AGAIN, "the database does not answer") from error
    return signed_in


async def _signed_in(request: Request, message: str | bytes) -> auth.SignedIn:
    try:
        sent = message.encode() if isinstance(message, str) else message
        token = body.decode_bytes(sent, Auth).token
        body.refuse_duplicates(sent)
    except errors.Invalid as error:
        raise _Close(BAD_MESSAGE, "send {type: auth, token}") from error
    if token is None:
        raise _Close(UNAUTHORIZED, "no token came")
    here = services.of(request)
    try:
        async with deadline.within(here.settings.request_seconds):
            return await auth.sign_in(here, token)
    except problems.Unauthorized as error:
        raise _Close(UNAUTHORIZED, "the token is not valid") from error


def _limit_send_buffer(request: Request) -> None:
    opened = request.transport.get_extra_info("socket") if request.transport else None
    if opened is not None:
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
