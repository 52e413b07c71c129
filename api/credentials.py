"""The password: changing it, and setting a new one for one that is forgotten."""

import asyncio
import time
from typing import Annotated, Any

from msgspec import Meta, Struct

from api import guesses, passwords, problems, services
from api.passwords import Given, Password
from api.routing import Call, Nothing, Reply, Routes
from api.services import Services
from domain import facts
from storage import identity, sessions, throttling
from storage import passwords as stored

routes = Routes("identity")
FORGOT_SECONDS = 0.2
"""How long an answer about a forgotten password takes: how long the work took would tell who has an account."""


class PasswordBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`end_other_sessions`: whoever is signed in elsewhere has to sign in again; personal tokens go on."""

    current_password: Given
    new_password: Password
    end_other_sessions: bool = False


class ForgotBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The address of an account, perhaps."""

    email: facts.Email


class ResetBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The token from the mail."""

    token: Annotated[str, Meta(max_length=200)]
    new_password: Password


@routes.add("POST", "/api/auth/password", status=204, body=PasswordBody, codes=("invalid_credentials",), needs="session")
async def change_password(call: Call[PasswordBody, Nothing]) -> Reply:
    """Change the password; a wrong current one is 401 `invalid_credentials`, as at login, and the session goes on."""
    passwords.refuse_common(call.body.new_password, "/new_password")
    user_id = call.caller.user_id
    async with call.services.hasher.place() as place:
        before = await check(call, place, call.body.current_password)
        after = await place.hash(call.body.new_password)
    async with call.changing() as connection:
        if not await stored.change(connection, user_id, before, after, now=services.now()):
            raise problems.InvalidCredentials("the password has been changed meanwhile")
        if call.body.end_other_sessions:
            await sessions.end_all(connection, user_id, but=call.caller.credential_id, now=services.now())
    return Reply(None, 204)


async def check(call: Call[Any, Any], place: passwords.Place, password: str) -> str:
    """The caller's password hash, if this is their password. Raises problems.InvalidCredentials, problems.RateLimited."""
    async with call.services.transaction() as connection:
        email, before = await stored.read(connection, call.caller.user_id)
        guess = guesses.of_user(call.services, email)
        await guess.count(connection)
    if not await place.verify(before, password):
        raise problems.InvalidCredentials("the password is wrong")
    async with call.services.transaction() as connection:
        await guess.was_right(connection)
    return before


@routes.add("POST", "/api/auth/password/forgot", status=202, body=ForgotBody, public=True)
async def forgot_password(call: Call[ForgotBody, Nothing]) -> Reply:
    """Have a link to a new password mailed; the answer is the same whether the address has an account or not."""
    began = time.monotonic()
    async with call.services.transaction() as connection:
        await stored.forgotten(connection, call.body.email, now=services.now())
    await asyncio.sleep(max(0.0, began + FORGOT_SECONDS - time.monotonic()))
    return Reply(None, 202)


@routes.add("POST", "/api/auth/password/reset", status=204, body=ResetBody, codes=("invalid_token",), public=True)
async def reset_password(call: Call[ResetBody, Nothing]) -> Reply:
    """Set a new password with the token from the mail; every session and every personal token ends."""
    passwords.refuse_common(call.body.new_password, "/new_password")
    if not await reset(call.services, call.body.token, call.body.new_password):
        raise problems.InvalidToken("the token is not valid any more")
    return Reply(None, 204)


async def reset(here: Services, token: str, new_password: str) -> bool:
    """Set a new password. False: the token is not good, and no time was spent on hashing for whoever guesses."""
    async with here.transaction() as connection:
        if not await identity.has_token(connection, token, "reset", now=services.now()):
            return False
    async with here.hasher.place() as place:
        after = await place.hash(new_password)
    async with here.transaction() as connection:
        email = await stored.reset(connection, token, after, now=services.now())
        if email is None:
            return False
        await throttling.clear(connection, throttling.account_key(here.settings.keys, email))
    return True
