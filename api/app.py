"""The application: its routes, what happens around each request, and how errors leave it."""

import re
import time
from typing import Any

import structlog
from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import RequestCancelled, SanicException

from api import (
    accounts,
    attention,
    balances,
    body,
    browser,
    compression,
    contacts,
    cors,
    credentials,
    deletion,
    devices,
    events,
    export,
    headers,
    health,
    import_json,
    join_page,
    limits,
    metrics,
    openapi,
    pages,
    personal_tokens,
    problems,
    registration,
    reminders,
    reports,
    reset_page,
    routing,
    scrape,
    search,
    services,
    sessions,
    sockets,
    state,
    statements,
    sync,
    transactions,
    transfer,
    unsubscribe_page,
    verify_page,
    webhooks,
)
from api.protocol import StrictRequest
from api.settings import Settings
from domain import errors, ids
from storage import roles

RESOURCES = (
    health,
    registration,
    accounts,
    deletion,
    sessions,
    credentials,
    devices,
    personal_tokens,
    contacts,
    statements,
    transactions,
    reminders,
    balances,
    reports,
    search,
    events,
    sync,
    state,
    attention,
    transfer,
    import_json,
    export,
)
ROUTES = [route for resource in RESOURCES for route in resource.routes.all]
GRACE_SECONDS = 10.0
"""What a stopping server gives to requests in flight."""
LATE_SECONDS = 15.0
"""Sanic's own deadline lies behind ours (api.deadline), which also waits until Postgres has let go."""
CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that went before there was an answer."""
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CODES = {404: "not_found", 405: "method_not_allowed", 408: "too_slow", 413: "too_large", 503: "unavailable"}
_log = structlog.get_logger("api")


class Application(Sanic[Any, Any]):
    """Sanic parses the source of each handler to find out how its errors should look, which takes longer than all else here."""

    def _determine_error_format(self, handler: object) -> str:
        return "json"  # and it is for _setup_errors to say


def create_app(settings: Settings, *, name: str = "debitum") -> "Sanic[Any, Any]":
    """The Sanic application; connections are opened when a worker starts."""
    app = Application(name, configure_logging=False, request_class=StrictRequest)
    app.config.update(
        REQUEST_MAX_SIZE=body.MAX_BODY_BYTES,
        GRACEFUL_SHUTDOWN_TIMEOUT=GRACE_SECONDS,
        ACCESS_LOG=False,
        MOTD=False,
        KEEP_ALIVE_TIMEOUT=60,
        RESPONSE_TIMEOUT=settings.request_seconds + LATE_SECONDS,
    )
    _setup_lifecycle(app, settings)
    _setup_requests(app, settings)
    _setup_errors(app)
    cors.install(app, settings.cors_origins)
    limits.install(app, settings)
    health.install(app)
    openapi.install(app, ROUTES)
    pages.install(app)
    verify_page.install(app)
    reset_page.install(app)
    join_page.install(app)
    unsubscribe_page.install(app)
    browser.install(app)
    sockets.install(app)
    webhooks.install(app, settings.sendgrid_webhook_key)
    for resource in RESOURCES:
        resource.routes.install(app)
    scrape.install(app, settings)
    app.ctx.metrics = metrics.Metrics(app.router.routes, settings.workers)
    return app


def _setup_lifecycle(app: "Sanic[Any, Any]", settings: Settings) -> None:
    @app.before_server_start
    async def start(app: "Sanic[Any, Any]") -> None:
        app.ctx.services = services.make(settings, app.ctx.metrics)

    @app.after_server_stop
    async def stop(app: "Sanic[Any, Any]") -> None:
        await app.ctx.services.close()


def _setup_requests(app: "Sanic[Any, Any]", settings: Settings) -> None:
    """One middleware before each request and one after it: Sanic spends time on every further one."""
    set_headers = headers.setter(settings.public_url)

    @app.on_request
    def begin(request: Request) -> None:
        given = request.headers.get("x-request-id", "")
        _identify(request, given if _SANE_ID.fullmatch(given) else _new_id())
        request.ctx.began = time.perf_counter()

    @app.on_response  # type: ignore[untyped-decorator]  # Sanic types this one as Any
    def end(request: Request, response: HTTPResponse) -> None:
        response.headers["X-Request-ID"] = _request_id(request)
        set_headers(request, response)
        limits.tell(request, response)
        _compress(request, response)
        began = getattr(request.ctx, "began", time.perf_counter())
        route = request.route.name if request.route else metrics.NO_ROUTE
        seconds = time.perf_counter() - began
        counted: metrics.Metrics = request.app.ctx.metrics
        counted.request(route, request.method, response.status, seconds)
        milliseconds = round(seconds * 1_000, 1)
        _log.info(
            "request", method=request.method, route=counted.paths.get(route, route), status=response.status, ms=milliseconds
        )


def _request_id(request: Request) -> str:
    """The request's id; a request that could not even be parsed has none yet."""
    if not hasattr(request.ctx, "id"):
        _identify(request, _new_id())
    return str(request.ctx.id)


def _identify(request: Request, request_id: str) -> None:
    """From here on what is logged or asked for this request bears its id, no longer that of the one before on the connection."""
    request.ctx.id = request_id
    roles.asker.set(request_id)
    structlog.contextvars.bind_contextvars(request_id=request_id)


def _new_id() -> str:
    return ids.text(ids.uuid7(services.now()))


def _compress(request: Request, response: HTTPResponse) -> None:
    if not isinstance(response, HTTPResponse) or response.body is None:
        return
    headers.vary(response, "Accept-Encoding")
    if len(response.body) >= compression.FROM_BYTES and compression.accepted(request):
        response.body = compression.whole(response.body)
        response.headers["Content-Encoding"] = "gzip"


def _setup_errors(app: "Sanic[Any, Any]") -> None:
    @app.exception(errors.DomainError)
    async def refused(request: Request, error: errors.DomainError) -> HTTPResponse:
        return problems.respond(error, _request_id(request))

    @app.exception(*services.DATABASE_ERRORS)
    async def unavailable(request: Request, error: Exception) -> HTTPResponse:
        request_id = _request_id(request)
        _log.warning("database_unavailable", error=type(error).__name__)
        return problems.respond(problems.Unavailable("the database does not answer"), request_id)

    @app.exception(RequestCancelled)  # type: ignore[arg-type]  # a BaseException: Sanic looks for these too
    async def hung_up(request: Request, error: RequestCancelled) -> HTTPResponse:
        return HTTPResponse(status=CLIENT_CLOSED_REQUEST)  # nobody reads it: for the log and the metrics

    @app.exception(SanicException)
    async def refused_by_server(request: Request, error: SanicException) -> HTTPResponse:
        code = _CODES.get(error.status_code, "invalid" if error.status_code < 500 else "internal")
        headers = dict(error.headers)
        if error.status_code == 405:
            headers.setdefault("Allow", ", ".join(routing.methods(ROUTES, request.path)))
        return problems.encode(problems.describe(code, _request_id(request)), headers)

    @app.exception(Exception)
    async def unforeseen(request: Request, error: Exception) -> HTTPResponse:
        request_id = _request_id(request)
        _log.error("request_failed", exc_info=error)
        return problems.encode(problems.describe("internal", request_id))
