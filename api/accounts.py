"""Accounts: signing in and out, and what a user sets for themselves."""

import datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy.ext.asyncio import AsyncConnection

from api import guesses, problems, services
from api.passwords import Given
from api.routing import Call, Nothing, Reply, Routes
from domain import errors, facts, money, reminders, zones
from storage import devices, identity, passwords, sessions

routes = Routes("identity")
Locale = Annotated[str, Meta(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$(?!\n)", max_length=35)]
DEFAULT_ZONE, DEFAULT_LOCALE, DEFAULT_CURRENCY = "UTC", "en", "EUR"
UNNAMED_DEVICE = "unnamed device"


class DeviceBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A client keeps its `id` and sends it at every login."""

    name: facts.Name
    id: UUID | UnsetType = UNSET
    platform: facts.Short | None = None


class LoginBody(Struct, frozen=True, forbid_unknown_fields=True):
    """An address and its password."""

    email: facts.Email
    password: Given
    device: DeviceBody | None = None


class RefreshBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The refresh token of the last answer."""

    refresh_token: Annotated[str, Meta(max_length=200)]


class ReminderSettingsPatch(Struct, frozen=True, forbid_unknown_fields=True):
    """The members to change; offsets in days from the due date, times on the user's clock."""

    due_offsets_days: reminders.Offsets | UnsetType = UNSET
    local_time: reminders.Clock | UnsetType = UNSET
    quiet_hours: reminders.QuietHours | UnsetType | None = UNSET
    channels: reminders.Channels | UnsetType = UNSET
    digest: bool | UnsetType = UNSET
    explicit_channels: reminders.Channels | UnsetType = UNSET
    muted_contacts: reminders.Contacts | UnsetType = UNSET


class MeBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The members to change."""

    name: facts.Name | UnsetType | None = UNSET
    time_zone: facts.ZoneName | UnsetType = UNSET
    locale: Locale | UnsetType = UNSET
    default_currency: facts.CurrencyCode | UnsetType = UNSET
    reminder_settings: ReminderSettingsPatch | UnsetType = UNSET


class MailProblem(Struct, frozen=True):
    """Since when no reminders are mailed: mails came back, or the reader said that they are spam."""

    kind: Literal["bounced", "complained"]
    since: str


class User(Struct, frozen=True):
    """A user as they see themselves; proving the address anew ends a `mail_problem`."""

    id: UUID
    email: str
    email_verified: bool
    name: str | None
    time_zone: str
    locale: str
    default_currency: str
    reminder_settings: reminders.Settings
    deleting_at: str | None
    mail_problem: MailProblem | None


class SignedIn(Struct, frozen=True):
    """`access_token` is good for `expires_in` seconds; `refresh_token` gets the next one, once."""

    user: User
    ledger_id: UUID
    device_id: UUID
    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"]
    expires_in: int


async def profile(connection: AsyncConnection, user_id: UUID) -> User:
    """The user as they see themselves. Raises problems.Unauthorized where they have been erased meanwhile."""
    row = await identity.user(connection, user_id)
    if row is None:
        raise problems.Unauthorized("this user does not exist any more")
    return User(
        id=row.id,
        email=row.email,
        email_verified=row.email_verified_at is not None,
        name=row.name,
        time_zone=row.time_zone,
        locale=row.locale,
        default_currency=row.default_currency,
        reminder_settings=reminders.read_settings(row.reminder_settings),
        deleting_at=None if row.deleting_at is None else facts.wire_time(row.deleting_at),
        mail_problem=None if row.mail_problem is None else MailProblem(row.mail_problem, facts.wire_time(row.mail_problem_at)),
    )


def check_profile(time_zone: str | UnsetType, currency: str | UnsetType) -> None:
    """Raises errors.Invalid unless both are known, where they are given."""
    wrong = []
    if time_zone is not UNSET and not zones.is_zone(time_zone):
        wrong.append(errors.FieldError("/time_zone", "not an IANA time zone"))
    if currency is not UNSET and currency not in money.CURRENCIES:
        wrong.append(errors.FieldError("/default_currency", "not an ISO 4217 currency"))
    if wrong:
        raise errors.Invalid("a member does not fit", errors=tuple(wrong))


def new_device(given: DeviceBody | None) -> devices.Device:
    """The device that a client says it is, or one that nobody has named."""
    if given is None:
        return devices.Device(uuid4(), UNNAMED_DEVICE)
    return devices.Device(uuid4() if given.id is UNSET else given.id, given.name, given.platform)


async def signed_in(call: Call[Any, Any], session: sessions.Session, now: datetime.datetime, status: int = 200) -> Reply:
    """The answer that signs a device in."""
    async with call.services.transaction() as connection:
        user = await profile(connection, session.user_id)
    tokens = call.services.tokens
    answer = SignedIn(
        user=user,
        ledger_id=session.ledger_id,
        device_id=session.device_id,
        access_token=tokens.issue(session.user_id, session.id, now=now),
        refresh_token=session.refresh_token,
        token_type="Bearer",  # noqa: S106  # the name of a scheme, not a secret
        expires_in=tokens.lifetime_seconds,
    )
    return Reply(answer, status, {"Cache-Control": "no-store"})


@routes.add("POST", "/api/auth/login", answer=SignedIn, body=LoginBody, codes=("invalid_credentials",), public=True)
async def login(call: Call[LoginBody, Nothing]) -> Reply:
    """Sign a device in."""
    guess = guesses.of_anybody(call.request, call.body.email)
    async with call.services.hasher.place() as place:
        async with call.services.transaction() as connection:
            await guess.count(connection)
            found = await identity.credentials(connection, call.body.email)
        right = await place.verify(None if found is None else found.password_hash, call.body.password)
    if found is None or not right or not _may_enter(call, found):
        raise problems.InvalidCredentials("the address or the password is wrong")
    async with call.services.transaction() as connection:
        await guess.was_right(connection)
    now = services.now()
    async with call.services.transaction() as connection:
        if not await passwords.hold(connection, found.id, found.password_hash):
            raise problems.InvalidCredentials("the password has been changed meanwhile")
        session = await sessions.begin(connection, found.id, new_device(call.body.device), now=now)
    return await signed_in(call, session, now)


def _may_enter(call: Call[Any, Any], found: Any) -> bool:
    """With signup `verified` an account is good once its address is proven; until then it answers like a wrong password."""
    return call.services.settings.signup != "verified" or found.email_verified_at is not None


@routes.add("POST", "/api/auth/refresh", answer=SignedIn, body=RefreshBody, codes=("invalid_token",), public=True)
async def refresh(call: Call[RefreshBody, Nothing]) -> Reply:
    """Exchange a refresh token for new tokens."""
    now = services.now()
    async with call.services.transaction() as connection:
        session = await sessions.refresh(connection, call.body.refresh_token, now=now)
    if session is None:  # raised only here: what was found out about the token's reuse has to be committed
        raise problems.InvalidToken("the refresh token is not valid")
    return await signed_in(call, session, now)


@routes.add("POST", "/api/auth/logout", status=204, needs="session")
async def logout(call: Call[None, Nothing]) -> Reply:
    """End this session; its tokens are good for nothing from now on."""
    async with call.services.transaction() as connection:
        await sessions.end(connection, call.caller.user_id, call.caller.credential_id, now=services.now())
    return Reply(None, 204)


@routes.add("GET", "/api/me", answer=User)
async def me(call: Call[None, Nothing]) -> Reply:
    """The signed-in user."""
    async with call.services.transaction() as connection:
        return Reply(await profile(connection, call.caller.user_id))


@routes.add("PATCH", "/api/me", answer=User, body=MeBody, needs="session")
async def update_me(call: Call[MeBody, Nothing]) -> Reply:
    """Change the members that are sent."""
    check_profile(call.body.time_zone, call.body.default_currency)
    changed: dict[str, Any] = msgspec.to_builtins(call.body)
    async with call.changing() as connection:
        await identity.update_user(connection, call.caller.user_id, changed)
        return Reply(await profile(connection, call.caller.user_id))
