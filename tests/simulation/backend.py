"""The server of the simulation: handlers, writer and Postgres as they are, without sockets, identity and the wall clock.

Sanic and the sign-in are left out: a request goes straight to the handler of its route, as the user whose ledger it is.
"""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock
from uuid import UUID

import httpx
import msgspec
import psycopg
from psycopg import sql
from sanic import HTTPResponse

from api import app, body, problems, routing, services
from api.auth import Caller
from api.metrics import Metrics
from api.services import Services
from api.settings import Settings
from domain import errors
from storage import identity, urls
from storage.encryption import KeyRing, new_ring
from tests.factories import DEFAULTS
from tests.fixtures import pooler

TABLES = ("ledgers", "events", "rejections", "contacts", "transactions", "reminders", "postings", "conflicts")
"""What a backup of one ledger holds."""
SAVED = (errors.DomainError, *services.DATABASE_ERRORS)

_CLOCK = """
create schema simulated;
create sequence simulated.ticks;
create function simulated.clock_timestamp() returns timestamptz language sql
    as $$ select timestamptz '2026-11-22 20:00:00Z' + nextval('simulated.ticks') * interval '1 millisecond' $$;
grant usage on schema simulated to public;
grant usage on sequence simulated.ticks to public;
"""
"""Postgres's clock, under another's hand: found before the real one by whoever does not name a schema."""

Backup = Mapping[str, list[dict[str, Any]]]


@dataclass
class Backend:
    """One server; each simulation has a ledger of its own on it."""

    services: Services
    control: psycopg.Connection[Any]
    """For what no client can do: clocks, backups."""
    routes: dict[tuple[str, str], routing.Route] = field(default_factory=dict)

    async def new_ledger(self, dice: Any) -> UUID:
        """An empty ledger whose secrets come from `dice`: they go into salts, and with them into hashes."""
        new = identity.NewUser(f"{uuid.uuid4()}@example.org", "", None, "Europe/Berlin", "en", "EUR")
        with mock.patch("secrets.token_bytes", dice.randbytes):
            async with self.services.transaction() as connection:
                user_id = await identity.register(connection, new, self.services.settings.keys, now=services.now())
                return await identity.ledger_of(connection, user_id)

    async def answer(self, request: httpx.Request, ledger_id: UUID, device_id: UUID) -> httpx.Response:
        """What the server says to a request of this device."""
        try:
            reply = await self._reply(request, ledger_id, device_id)
            response = routing.respond(reply)
        except SAVED as error:
            known = error if isinstance(error, errors.DomainError) else problems.Unavailable("the database does not answer")
            response = problems.respond(known, "simulated")
        return _http(response, request)

    async def _reply(self, request: httpx.Request, ledger_id: UUID, device_id: UUID) -> routing.Reply:
        route = self.routes[request.method, request.url.path]
        who = Caller(ledger_id, ledger_id, credential_id=ledger_id, device_id=device_id, defaults=DEFAULTS, scope="session")
        call = routing.Call[Any, Any](
            request=None,  # type: ignore[arg-type]  # none of these handlers looks at it
            services=self.services,
            body=None if route.body is None else body.decode_bytes(request.content, route.body),
            query=msgspec.convert(dict(request.url.params), route.query, strict=False),
            path={},
            who=who,
        )
        return await route.handler(call)

    def set_clock(self, ticks: int) -> None:
        """Milliseconds since the beginning of the world; backwards too, as clocks do."""
        self.control.execute("select setval('simulated.ticks', %s)", (ticks,))

    def backup(self, ledger_id: UUID) -> Backup:
        """Everything that a dump of the database would hold of the ledger."""
        return {name: self._rows(name, ledger_id) for name in TABLES}

    def _rows(self, name: str, ledger_id: UUID) -> list[dict[str, Any]]:
        found = self.control.execute(
            sql.SQL("select coalesce(json_agg(x), '[]') from debitum.{} x where {} = %s").format(*_named(name)), (ledger_id,)
        ).fetchone()
        assert found is not None
        rows: list[dict[str, Any]] = found[0]
        return rows

    def restore(self, ledger_id: UUID, backup: Backup) -> None:
        """Put it back: what came later never happened."""
        with self.control.transaction():
            for name in TABLES:
                table, key = _named(name)
                self.control.execute(sql.SQL("delete from debitum.{} where {} = %s").format(table, key), (ledger_id,))
                put_back = sql.SQL("insert into debitum.{0} select * from json_populate_recordset(null::debitum.{0}, %s::json)")
                self.control.execute(put_back.format(table), (msgspec.json.encode(backup[name]).decode(),))


def _named(table: str) -> tuple[sql.Identifier, sql.Identifier]:
    return sql.Identifier(table), sql.Identifier("id" if table == "ledgers" else "ledger_id")


def _http(response: HTTPResponse, request: httpx.Request) -> httpx.Response:
    return httpx.Response(response.status, headers=dict(response.headers), content=response.body, request=request)


@asynccontextmanager
async def running(database_url: str) -> AsyncIterator[Backend]:
    """A backend over a fresh database, whose clock it takes over."""
    direct = pooler.direct(database_url)
    with psycopg.connect(urls.libpq_url(direct), autocommit=True) as control:
        control.execute(_CLOCK)
        name = sql.Identifier(control.info.dbname)
        control.execute(sql.SQL("alter database {} set search_path = simulated, pg_catalog").format(name))
        control.execute(
            sql.SQL("alter database {} set synchronous_commit = off").format(name)
        )  # nothing crashes here but devices
        settings = Settings(database_url=database_url, direct_url=direct, keys=KeyRing.parse(new_ring()))
        here = services.make(settings, Metrics((), workers=1))
        routes = {(route.method, route.path): route for route in app.ROUTES}
        try:
            yield Backend(here, control, routes)
        finally:
            await here.close()
