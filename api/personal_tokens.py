"""Personal tokens, for a user's own programs: made, listed and deleted on a signed-in device.

They are good for everything but what belongs to a person: signing in and out, devices, passwords, settings and tokens.
"""

import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from api import paging, problems, services
from api.paging import Items, PageQuery
from api.routing import Call, Nothing, Reply, Routes
from domain import errors, facts
from storage import personal_tokens
from storage.pages import Record

routes = Routes("identity")
_ORDER = paging.Order("tokens", datetime.datetime)
MAX_LIFETIME = datetime.timedelta(days=3_653)
"""Whoever wants a token for longer than ten years wants one that does not expire."""


class TokenCreate(Struct, frozen=True, forbid_unknown_fields=True):
    """`read` or `write`, which includes it; without `expires_at` it is good until it is deleted."""

    name: facts.Name
    scope: personal_tokens.Scope
    expires_at: facts.Moment | None = None


class PersonalToken(Struct, frozen=True, kw_only=True):
    """A personal token; `last_used_at` to the minute."""

    id: UUID
    name: str
    scope: personal_tokens.Scope
    created_at: str
    expires_at: str | None
    last_used_at: str | None


class NewPersonalToken(PersonalToken, frozen=True, kw_only=True):
    """`token` is shown this once, and sent as any access token is."""

    token: str


@routes.add(
    "POST", "/api/tokens", answer=NewPersonalToken, status=201, body=TokenCreate, codes=("too_many_tokens",), needs="session"
)
async def create_token(call: Call[TokenCreate, Nothing]) -> Reply:
    """Make a personal token."""
    now, expires_at = services.now(), call.body.expires_at
    if expires_at is not None and not now < expires_at <= now + MAX_LIFETIME:
        raise errors.Invalid.at("/expires_at", "not in the future, or more than ten years away")
    new = personal_tokens.NewToken(call.body.name, call.body.scope, expires_at)
    async with call.changing() as connection:
        row, token = await personal_tokens.create(connection, call.caller.user_id, new, now=now)
    return Reply(NewPersonalToken(**_members(row), token=token), 201)


@routes.add("GET", "/api/tokens", answer=Items[PersonalToken], query=PageQuery, needs="session")
async def list_tokens(call: Call[None, PageQuery]) -> Reply:
    """The personal tokens, newest first, expired ones too."""
    page = _ORDER.page(call.query.limit, call.query.cursor)
    async with call.services.transaction() as connection:
        found = await personal_tokens.of_user(connection, call.caller.user_id, page)
    return Reply(Items([PersonalToken(**_members(row)) for row in found.rows], _ORDER.cursor(found.next)))


@routes.add("DELETE", "/api/tokens/{id}", status=204, needs="session")
async def delete_token(call: Call[None, Nothing]) -> Reply:
    """Delete a personal token; it is good for nothing from now on."""
    async with call.changing() as connection:
        if not await personal_tokens.remove(connection, call.caller.user_id, call.path["id"]):
            raise problems.NotFound("there is no such token")
    return Reply(None, 204)


def _members(row: Record) -> dict[str, Any]:
    times = {
        name: None if (moment := getattr(row, name)) is None else facts.wire_time(moment)
        for name in ("created_at", "expires_at", "last_used_at")
    }
    return {"id": row.id, "name": row.name, "scope": row.scope, **times}
