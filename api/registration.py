"""Registering: who may, and from when on an account is good, the operator decides (DEBITUM_SIGNUP)."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from api import guesses, passwords, problems, services
from api.accounts import (
    DEFAULT_CURRENCY,
    DEFAULT_LOCALE,
    DEFAULT_ZONE,
    DeviceBody,
    Locale,
    SignedIn,
    check_profile,
    new_device,
    signed_in,
)
from api.passwords import Given, Password
from api.routing import Call, Nothing, Reply, Routes
from api.services import Services
from domain import addresses, facts
from storage import identity, invites, registration, sessions

routes = Routes("identity")
APPLY_SECONDS: Final = 0.4
"""How long an answer takes after the hashing, where it must not tell what came of it: more than the rest takes when busy."""
MailToken = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00]*$")]


class RegisterBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`time_zone`: IANA; `default_currency`: ISO 4217; `invite`: where one is needed, and looked at only there."""

    email: facts.Email
    password: Password
    name: facts.Name | None = None
    time_zone: facts.ZoneName = DEFAULT_ZONE
    locale: Locale = DEFAULT_LOCALE
    default_currency: facts.CurrencyCode = DEFAULT_CURRENCY
    device: DeviceBody | None = None
    invite: MailToken | None = None


class VerifyBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A token from a mail. `password`: what the user registered with; a client that knows it sends it.

    Where accounts are good once their address is proven, the last registration of an unproven address holds: the password keeps
    its owner from confirming an account that a stranger has registered in their name.
    """

    token: MailToken
    device: DeviceBody | None = None
    password: Given | None = None


@routes.add(
    "POST",
    "/api/auth/register",
    answer=SignedIn,
    status=201,
    body=RegisterBody,
    codes=("email_taken", "signup_closed", "invalid_invite"),
    public=True,
    accepts=True,
)
async def register(call: Call[RegisterBody, Nothing]) -> Reply:
    """Create an account with an empty ledger, and sign in; where accounts need a proven address, 202 and a mail instead."""
    wanted, here = call.body, call.services
    if here.settings.signup == "closed":
        raise problems.SignupClosed("ask the operator for an account")
    if here.settings.signup == "verified":
        await _apply(here, wanted)
        return Reply(None, 202)
    now, invite = services.now(), (wanted.invite or "") if here.settings.signup == "invite" else None
    async with created(here, wanted, invite) as (connection, user_id):
        session = await sessions.begin(connection, user_id, new_device(wanted.device), now=now)
    return await signed_in(call, session, now, 201)


@asynccontextmanager
async def created(here: Services, wanted: RegisterBody, invite: str | None) -> AsyncIterator[tuple[AsyncConnection, UUID]]:
    """A new user's id, in the transaction in which they appear and their invitation is used, if they need one.

    Raises problems.InvalidInvite, identity.EmailTaken.
    """
    if invite is not None:
        async with here.transaction() as connection:
            if not await invites.is_good(connection, invite, wanted.email, now=services.now()):
                raise problems.InvalidInvite("ask for another one")  # and no hash for whoever guesses
    new, now = await _new_user(here, wanted), services.now()
    async with here.transaction() as connection:
        if invite is not None and not await invites.take(connection, invite, new.email, now=now):
            raise problems.InvalidInvite("ask for another one")
        yield connection, await identity.register(connection, new, here.settings.keys, now=now)


async def _apply(here: Services, wanted: RegisterBody) -> None:
    """The same work and the same answer, whoever has the address."""
    new = await _new_user(here, wanted)
    began = time.monotonic()  # not before: after a long wait for a place nothing would be left to hide the rest in
    async with here.transaction() as connection:
        await registration.apply(connection, new, here.settings.keys, now=services.now())
    await asyncio.sleep(max(0.0, began + APPLY_SECONDS - time.monotonic()))


async def _new_user(here: Services, wanted: RegisterBody) -> identity.NewUser:
    check_profile(wanted.time_zone, wanted.default_currency)
    passwords.refuse_common(wanted.password, "/password")
    async with here.hasher.place() as place:
        password_hash = await place.hash(wanted.password)
    return identity.NewUser(
        email=addresses.canonical(wanted.email),
        password_hash=password_hash,
        name=wanted.name,
        time_zone=wanted.time_zone,
        locale=wanted.locale,
        default_currency=wanted.default_currency,
    )


@routes.add(
    "POST",
    "/api/auth/verify",
    answer=SignedIn,
    status=201,
    body=VerifyBody,
    codes=("invalid_token", "invalid_credentials"),
    public=True,
)
async def verify(call: Call[VerifyBody, Nothing]) -> Reply:
    """Prove that the address is the user's, with the token from the mail, and sign in."""
    if call.body.password is not None:
        await check(call.services, call.body.token, call.body.password)
    now = services.now()
    async with call.services.transaction() as connection:
        user_id = await identity.verify_email(connection, call.body.token, now=now)
        if user_id is None:
            raise problems.InvalidToken("the token is not valid any more")
        session = await sessions.begin(connection, user_id, new_device(call.body.device), now=now)
    return await signed_in(call, session, now, 201)


async def check(here: Services, token: str, password: str) -> None:
    """Whether the account that the token proves has this password. Raises problems.InvalidToken, problems.InvalidCredentials."""
    async with here.hasher.place() as place:
        async with here.transaction() as connection:
            owner = await identity.token_owner(connection, token, "verify", now=services.now())
            if owner is None:
                raise problems.InvalidToken("the token is not valid any more")
            guess = guesses.of_user(here, owner.email)
            await guess.count(connection)
        if not await place.verify(owner.password_hash, password):
            raise problems.InvalidCredentials("this is not the password with which the address was registered last")
    async with here.transaction() as connection:
        await guess.was_right(connection)
