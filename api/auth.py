"""Who calls: from the Authorization header to a user, a ledger, and a device or a personal token."""

import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct
from sanic import Request

from api import problems, services
from domain import ids
from domain.case import Defaults
from storage import personal_tokens

Scope = Literal["read", "write", "session"]
"""What a caller may do, and what a route needs; each includes those before it, and only a session is a `session`."""
_REACH: dict[Scope, int] = {"read": 0, "write": 1, "session": 2}
NEVER = datetime.datetime.max.replace(tzinfo=datetime.UTC)


class Caller(Struct, frozen=True):
    """A signed-in user on one of their devices, or a program with a personal token of theirs, which is no device.

    `credential_id` is the session's id, or the token's.
    """

    user_id: UUID
    ledger_id: UUID
    credential_id: UUID
    device_id: UUID | None
    defaults: Defaults
    scope: Scope

    @property
    def device(self) -> str | None:
        """The device as commands name it."""
        return None if self.device_id is None else ids.text(self.device_id)


async def authenticate(request: Request) -> Caller:
    """The caller of `request`. Raises problems.Unauthorized; a session that has ended is as good as none."""
    scheme, _, token = (request.headers.get("authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise problems.Unauthorized("send Authorization: Bearer <access token or personal token>")
    return (await sign_in(services.of(request), token.strip())).caller


def require(caller: Caller, needed: Scope) -> None:
    """Raises problems.OutOfScope unless the caller may do what needs this scope."""
    if _REACH[caller.scope] < _REACH[needed]:
        raise problems.OutOfScope(
            "this needs a signed-in device" if needed == "session" else f"this needs a token of scope {needed}"
        )


class SignedIn(Struct, frozen=True):
    """A caller, for as long as the token says."""

    caller: Caller
    expires_at: datetime.datetime


async def sign_in(here: services.Services, token: str) -> SignedIn:
    """Who a token stands for. Raises problems.Unauthorized."""
    if not token.isascii():  # bytes of a head that are no text cannot even be encoded again
        raise problems.Unauthorized("this is not a token")
    if token.startswith(personal_tokens.PREFIX):
        return await _program(here, token)
    claims = here.tokens.read(token)
    row = await here.callers.get(claims.session_id)
    if row is None:
        raise problems.Unauthorized("the session has ended")
    caller = Caller(
        user_id=row.user_id,
        ledger_id=row.ledger_id,
        credential_id=claims.session_id,
        device_id=row.device_id,
        defaults=Defaults(row.default_currency, row.time_zone),
        scope="session",
    )
    return SignedIn(caller, claims.expires_at)


async def _program(here: services.Services, token: str) -> SignedIn:
    async with here.transaction() as connection:
        row = await personal_tokens.caller(connection, token, now=services.now())
    if row is None:
        raise problems.Unauthorized("the token is not good, or not any more")
    caller = Caller(
        user_id=row.user_id,
        ledger_id=row.ledger_id,
        credential_id=row.id,
        device_id=None,
        defaults=Defaults(row.default_currency, row.time_zone),
        scope=row.scope,
    )
    return SignedIn(caller, row.expires_at or NEVER)
