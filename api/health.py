"""Whether this server answers, and whether it is fit to; what it can do (/api/meta)."""

import asyncio
import importlib.metadata
from typing import Any

import msgspec
from msgspec import Struct
from sanic import HTTPResponse, Request, Sanic

from api import body, paging, services, sync
from api.routing import Call, Nothing, Reply, Response, Routes
from domain import facts, money

routes = Routes("service")
READY_SECONDS = 3.0
"""For Postgres to answer: probes have a limit too, and should hear before it that Postgres hangs."""
VERSION = importlib.metadata.version("debitum")
FEATURES = [
    "contacts",
    "transactions",
    "reminders",
    "balances",
    "reports",
    "search",
    "sync",
    "import_debitum",
    "import_json",
    "export",
]


class Live(Struct, frozen=True):
    """The process answers."""

    status: str


class Ready(Struct, frozen=True):
    """`checks`: "ok" or what is wrong, by name; lag in seconds."""

    status: str
    checks: dict[str, str | float]


class CurrencyInfo(Struct, frozen=True):
    """An amount of 1 is 10**-exponent of the currency; `active`: not withdrawn."""

    code: str
    exponent: int
    active: bool


class Versions(Struct, frozen=True):
    """Versions of pushed commands that are read."""

    min: int
    max: int


class Meta(Struct, frozen=True):
    """What a client should know before it signs in."""

    version: str
    push_versions: Versions
    limits: dict[str, int]
    features: list[str]
    registration: str
    currencies: list[CurrencyInfo]


def install(app: "Sanic[Any, Any]") -> None:
    """Serve /health as plain text, for whatever watches processes."""

    @app.route("/health", methods=["GET", "HEAD"], name="health")
    async def health(request: Request) -> HTTPResponse:
        return Response("OK", content_type="text/plain; charset=utf-8")


@routes.add("GET", "/health/live", answer=Live, public=True)
async def live(call: Call[None, Nothing]) -> Reply:
    """The process answers."""
    return Reply(Live("ok"))


@routes.add("GET", "/health/ready", answer=Ready, public=True)
async def ready(call: Call[None, Nothing]) -> Reply:
    """200 where requests may come, 503 with the reasons where not."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            found = await call.services.condition.get(None)
        assert found is not None
    except (*services.DATABASE_ERRORS, TimeoutError):
        return Reply(Ready("unavailable", {"postgres": "does not answer"}), 503, {"Retry-After": "1"})
    checks: dict[str, str | float] = {"postgres": "ok", **msgspec.structs.asdict(found)}
    return Reply(Ready("ok" if found.ready else "unavailable", checks), 200 if found.ready else 503)


@routes.add("GET", "/api/meta", answer=Meta, public=True)
async def meta(call: Call[None, Nothing]) -> Reply:
    """Versions, limits, features, currencies."""
    limits = {
        "body_bytes": body.MAX_BODY_BYTES,
        "push_events": sync.MAX_PUSH,
        "pull_events": sync.MAX_PULL,
        "page_items": paging.MAX_LIMIT,
        "amount": money.MAX_AMOUNT,
    }
    currencies = [
        CurrencyInfo(one.code, one.exponent, one.active) for one in sorted(money.CURRENCIES.values(), key=lambda c: c.code)
    ]
    versions = Versions(facts.VERSION, facts.VERSION)
    return Reply(Meta(VERSION, versions, limits, FEATURES, call.services.settings.signup, currencies))
