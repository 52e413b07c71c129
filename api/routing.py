"""Routes as data: what a handler reads and answers is declared once, for the server and for the OpenAPI document."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct
from sanic import HTTPResponse, Request, Sanic
from sanic.http import Http
from sqlalchemy.ext.asyncio import AsyncConnection

from api import ahead, auth, body, compression, deadline, idempotency, limits, problems, services
from api.auth import Caller, Scope
from api.services import Services
from domain import errors
from storage import sessions
from storage.encryption import Cipher

Body = TypeVar("Body")
Query = TypeVar("Query")


SIGNING_IN = "/api/auth/"
"""Where somebody can guess passwords and tokens: limited by address, before anybody knows who it is."""
IMPORT_SECONDS = 900.0
"""From the first byte to the answer: 256 MiB over a slow line, and 100,000 rows to decide."""
STREAM_SECONDS = 900.0
"""From the first byte of an answer to its last."""
PACKED = ("application/zip",)
"""Media types that gain nothing from being compressed."""
STALL_SECONDS = 30.0
"""A reader that takes nothing for so long has gone."""


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No body, or no parameters."""


@dataclass
class Call(Generic[Body, Query]):
    """One request, decoded and authenticated; `path` holds the ids of the path."""

    request: Request
    services: Services
    body: Body
    query: Query
    path: dict[str, UUID]
    who: Caller | None = None

    @property
    def caller(self) -> Caller:
        """The signed-in user; only on routes that are not public."""
        assert self.who is not None, "this route is public"
        return self.who

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """One consistent snapshot of the caller's ledger."""
        return self.services.reading(self.caller.ledger_id)

    @asynccontextmanager
    async def changing(self, *ledgers: UUID) -> AsyncIterator[AsyncConnection]:
        """A transaction for what only a signed-in device may change. Raises problems.Unauthorized once its session has ended."""
        async with self.services.transaction(*ledgers) as connection:
            if not await sessions.hold(connection, self.caller.user_id, self.caller.credential_id, now=services.now()):
                raise problems.Unauthorized("the session has ended")
            yield connection

    async def cipher(self, connection: AsyncConnection) -> Cipher:
        """What opens the sealed values of the caller's ledger, which the transaction sees."""
        return await self.services.ciphers.of(connection, self.caller.ledger_id)


class Reply(Struct, frozen=True):
    """What a handler answers: a struct or plain JSON values, encoded here, or bytes of `content_type` already."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = {}
    content_type: str = "application/json"
    chunks: AsyncGenerator[bytes, None] | None = None
    """Instead of `body`: sent as it comes. Where it fails the connection ends without its last chunk, so that clients notice."""


Handler = Callable[[Call[Any, Any]], Awaitable[Reply]]


@dataclass(frozen=True)
class Route:
    """One operation of the wire. `codes`: the problems beyond those of every route; `answer`: the type of the 2xx body."""

    method: str
    path: str
    handler: Handler
    tag: str
    answer: Any
    status: int
    body: type[Struct] | None
    query: type[Struct]
    codes: tuple[str, ...]
    public: bool
    replays: bool
    streams: str | None
    """The media type of a body that the handler reads by itself, as it comes in."""
    body_optional: bool
    """Whether the body may be left out: then every member is."""
    media: tuple[str, ...]
    """The media types in which it can answer beside `answer` as JSON."""
    needs: Scope
    """What the caller must be allowed to do: `read`, `write`, or what only a signed-in device may (`session`)."""
    accepts: bool
    """Whether it can answer 202 without a body instead: what was asked for follows later, or not."""

    @property
    def name(self) -> str:
        """The operation's id: its handler's module and name."""
        return f"{self.tag}_{self.handler.__name__}_{self.method.lower()}"

    @property
    def limited(self) -> bool:
        """Whether it can be asked too often."""
        return not self.public or self.path.startswith(SIGNING_IN)

    @property
    def reads_body(self) -> bool:
        """Whether a body must come with it."""
        return self.body is not None or self.streams is not None


class Routes:
    """The operations of one resource, in the order in which they are documented."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.all: list[Route] = []

    def add(
        self,
        method: str,
        path: str,
        *,
        answer: Any = None,
        status: int = 200,
        body: type[Struct] | None = None,
        query: type[Struct] = Nothing,
        codes: tuple[str, ...] = (),
        public: bool = False,
        replays: bool = False,
        streams: str | None = None,
        body_optional: bool = False,
        media: tuple[str, ...] = (),
        needs: Scope | None = None,
        accepts: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated handler; `path` as in OpenAPI (`/api/contacts/{id}`). GET needs `read`, the others `write`."""
        scope = needs or ("read" if method == "GET" else "write")

        def declare(handler: Handler) -> Handler:
            described = (answer, status, body, query, codes, public, replays, streams, body_optional, media, scope, accepts)
            self.all.append(Route(method, path, handler, self.tag, *described))
            return handler

        return declare

    def install(self, app: "Sanic[Any, Any]") -> None:
        """Serve every operation."""
        for route in self.all:
            path = route.path.replace("{id}", "<id:str>")
            methods = [route.method, "HEAD"] if route.method == "GET" else [route.method]
            admit = None if route.public else _admit
            app.add_route(_endpoint(route), path, methods=methods, name=route.name, ctx_admit=admit)


def methods(routes: Iterable[Route], path: str) -> list[str]:
    """The methods of `path`; Sanic forgets them where the path has an id in it."""
    steps, found = path.rstrip("/").split("/"), set()
    for route in routes:
        template = route.path.split("/")
        if len(template) == len(steps) and all(one == step or one[:1] == "{" for one, step in zip(template, steps, strict=True)):
            found |= {route.method, "HEAD"} if route.method == "GET" else {route.method}
    return sorted(found)


def _endpoint(route: Route) -> Callable[..., Coroutine[Any, Any, HTTPResponse | None]]:
    @functools.wraps(route.handler)
    async def endpoint(request: Request, **path: str) -> HTTPResponse | None:
        here = services.of(request)
        async with deadline.within(here.settings.request_seconds if route.streams is None else IMPORT_SECONDS):
            who = await _who(request, route)
            call = Call[Any, Any](
                request=request,
                services=here,
                body=await _body(request, route, who),
                query=body.parameters(request, route.query),
                path={name: _id(value) for name, value in path.items()},
                who=who,
            )
            reply = await route.handler(call)
        if reply.chunks is None:
            return respond(reply)
        async with here.streams.hold(call.caller.user_id):
            await _stream(request, reply, reply.chunks)
        return None  # it has been sent

    return endpoint


async def _admit(request: Request) -> None:
    """Whether a large body is read at all. Who sends it is asked again once it is there: until then a session may have ended."""
    async with deadline.within(services.of(request).settings.request_seconds):
        await auth.authenticate(request)


async def _who(request: Request, route: Route) -> Caller | None:
    """The caller, unless the route is for everybody; and whether they, or their address, may ask so often, and this."""
    if route.path.startswith(SIGNING_IN):
        limits.of(request).count_address(request)
    if route.public:
        return None
    who = await auth.authenticate(request)
    limits.of(request).count_user(request, who.user_id)
    auth.require(who, route.needs)
    return who


async def _body(request: Request, route: Route, who: Caller | None) -> Any:
    try:
        if route.body is not None:
            return route.body() if route.body_optional and not request.body else body.decode(request, route.body)
        if request.body and route.streams is None and route.method != "GET":
            body.decode_bytes(request.body, Nothing)  # what is not read is refused, and not passed over
    except errors.Invalid as unfit:
        if who is None or not route.replays or (event_id := idempotency.key(request)) is None:
            raise
        raise await idempotency.refusal(services.of(request), who, request, event_id, unfit) from unfit
    return None


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise problems.NotFound("this is not the id of anything") from error


async def _stream(request: Request, reply: Reply, chunks: AsyncGenerator[bytes, None]) -> None:
    """Send `reply` as it comes; what fails before the first chunk is still a problem like any other.

    HEAD has the head of a GET, that it is in chunks included (RFC 9110, 9.3.2), and no more than the first chunk is made.
    """
    assert isinstance(request.stream, Http)
    request.stream.protocol.response_timeout = STREAM_SECONDS  # of this connection alone
    headers, packed = {"Vary": "Accept-Encoding", **reply.headers}, chunks
    if reply.content_type not in PACKED and compression.accepted(request):
        headers["Content-Encoding"], packed = "gzip", compression.stream(chunks)
    is_head = request.method == "HEAD"
    async with contextlib.aclosing(packed if is_head else ahead.read(packed)) as source, asyncio.timeout(STREAM_SECONDS):
        async with deadline.within(services.of(request).settings.request_seconds):
            chunk = await anext(source, None)
        if is_head:
            await source.aclose()
        response: HTTPResponse = await request.respond(status=reply.status, headers=headers, content_type=reply.content_type)
        try:
            while chunk is not None:
                async with asyncio.timeout(STALL_SECONDS):
                    await response.send(chunk)
                chunk = await anext(source, None)
            await response.send(end_stream=True)
        except BaseException:
            if (transport := request.stream.protocol.transport) is not None:
                transport.abort()  # Sanic would end the body as if it were whole
            raise


class Response(HTTPResponse):
    """Sanic takes line breaks out of every header, sign by sign; most answers have none, which is seen at one look."""

    __slots__ = ()

    @property
    def processed_headers(self) -> Iterator[tuple[bytes, bytes]]:
        """Names and values as they are sent."""
        if self.content_type is not None:  # where there is no body, Sanic would say that it is of the type "None"
            self.headers.setdefault("content-type", self.content_type)
        found = [(name, str(value)) for name, value in self.headers.items()]
        if not "".join(map("".join, found)).isprintable():
            found = [(self._sanitize_header_value(name), self._sanitize_header_value(value)) for name, value in found]
        return ((name.encode("ascii"), value.encode(errors="surrogateescape")) for name, value in found)


def respond(reply: Reply) -> HTTPResponse:
    """`reply` as JSON."""
    if reply.body is None:
        return Response(None, status=reply.status, headers=reply.headers)
    data = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
    return Response(data, status=reply.status, headers=reply.headers, content_type=reply.content_type)
