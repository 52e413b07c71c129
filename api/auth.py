"""Who calls: from the Authorization header to a user, a device and a ledger."""

import datetime
from dataclasses import dataclass
from uuid import UUID

from sanic import Request

from api import problems, services
from domain.case import Defaults
from storage import identity


@dataclass(frozen=True)
class Caller:
    """A signed-in user on one of their devices."""

    user_id: UUID
    ledger_id: UUID
    session_id: UUID
    device_id: UUID
    defaults: Defaults


async def authenticate(request: Request) -> Caller:
    """The caller of `request`. Raises problems.Unauthorized; a session that has ended is as good as none."""
    scheme, _, token = (request.headers.get("authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise problems.Unauthorized("send Authorization: Bearer <access token>")
    return (await sign_in(services.of(request), token.strip())).caller


@dataclass(frozen=True)
class SignedIn:
    """A caller, for as long as the token says."""

    caller: Caller
    expires_at: datetime.datetime


async def sign_in(here: services.Services, token: str) -> SignedIn:
    """Who an access token stands for. Raises problems.Unauthorized."""
    claims = here.tokens.read(token)
    async with here.transaction() as connection:
        row = await identity.caller(connection, claims.session_id, now=services.now())
    if row is None:
        raise problems.Unauthorized("the session has ended")
    defaults = Defaults(row.default_currency, row.time_zone)
    return SignedIn(Caller(row.user_id, row.ledger_id, claims.session_id, row.device_id, defaults), claims.expires_at)
