"""Who calls: from the Authorization header to a user, a device and a ledger."""

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
    here = services.of(request)
    session_id = here.tokens.session(token.strip())
    async with here.transaction() as connection:
        row = await identity.caller(connection, session_id, now=services.now())
    if row is None:
        raise problems.Unauthorized("the session has ended")
    defaults = Defaults(row.default_currency, row.time_zone)
    return Caller(row.user_id, row.ledger_id, session_id, row.device_id, defaults)
