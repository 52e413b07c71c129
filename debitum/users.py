"""Accounts from the command line: made, invited, given a way to another password, erased."""

import asyncio
import datetime
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncConnection

from api import accounts, passwords, refusals
from api.registration import RegisterBody
from debitum import database, rings, schema
from debitum.commands import Say
from debitum.settings import Settings
from domain import addresses, errors
from notifications import channel, channels, contexts, message, render
from storage import account_mails, deletion, engine, identity, invites, outbox, recipients, roles
from storage import passwords as stored
from storage.encryption import KeyRing

Result = TypeVar("Result")


class UserError(Exception):
    """It cannot be done; the text says why, and where it helps what to do."""


@dataclass(frozen=True)
class Administration:
    """What the commands share: the settings, the operator's screen and clock."""

    settings: Settings
    say: Say
    clock: Callable[[], datetime.datetime]

    def create(self, email: str, profile: Mapping[str, str | None]) -> None:
        """An account that its owner gets a link to set a password for. `profile`: name, time_zone, locale, default_currency."""
        new, ring, now = _new_user(email, profile), self._keys(), self.clock()

        async def work(connection: AsyncConnection) -> str | None:
            made = await identity.create(connection, new, ring, now=now)
            if made is None:
                raise UserError(f"{new.email} has an account already")
            if not self._mails():
                return await _mint(connection, made.user_id, recipients.LINK_HOURS, now)
            mail = account_mails.asked("welcome", made.ledger_id, account_mails.window(now), now=now)
            await connection.run_sync(lambda sync: outbox.enqueue(sync, [mail], now=now))
            return None

        self._tell(f"{new.email} has an account", self._run(work), recipients.LINK_HOURS)

    def reset_password(self, email: str) -> None:
        """A link by which the owner sets a new password; the old one is good until then."""
        now = self.clock()

        async def work(connection: AsyncConnection) -> str | None:
            user_id = await _user(connection, email)
            if not self._mails():
                return await _mint(connection, user_id, recipients.RESET_HOURS, now)
            await stored.forgotten(connection, email, now=now)
            return None

        self._tell(f"{addresses.canonical(email)} can set a new password", self._run(work), recipients.RESET_HOURS)

    def invite(self, email: str | None) -> None:
        """An invitation for whoever has this address, or for whoever has the link. It is mailed by this process itself."""
        if refusals.signup(self.settings.environment.get("DEBITUM_SIGNUP", "")) == "closed":
            raise UserError("DEBITUM_SIGNUP is closed: an invitation would be good for nothing; use `debitum user create`")
        address, now = None if email is None else _address(email), self.clock()

        async def work(connection: AsyncConnection) -> str:
            if address is not None and await identity.credentials(connection, address) is not None:
                raise UserError(f"{address} has an account already")
            return await invites.create(connection, address, now=now)

        hours = int(invites.LIFETIME.total_seconds()) // 3_600
        link = f"{self.settings.public_url}/join?invite={quote(self._run(work))}"
        if address is None or not self._mails():
            self.say(f"an invitation for {address or 'whoever has this link'}, good for {hours // 24} days: {link}")
            return
        outcome = self._send(address, contexts.AccountContext(address=address, link=link, valid_hours=hours), now)
        if not isinstance(outcome, channel.Sent):
            raise UserError(f"the invitation could not be mailed ({outcome.detail}); hand it over yourself: {link}")
        self.say(f"an invitation is on its way to {address}, good for {hours // 24} days")

    def delete(self, email: str, *, at_once: bool) -> None:
        """Have a user erased, after the days in which they may take it back or at the next run of the erasure."""
        now, grace = self.clock(), datetime.timedelta() if at_once else deletion.GRACE

        async def work(connection: AsyncConnection) -> datetime.datetime:
            return await deletion.schedule(connection, await _user(connection, email), grace=grace, now=now)

        due = self._run(work)
        when = "at the next run of the erasure" if due <= now else f"after {due:%Y-%m-%d %H:%M} UTC, unless they take it back"
        self.say(f"{addresses.canonical(email)} is signed out everywhere and will be erased {when}")

    def _tell(self, what: str, token: str | None, hours: int) -> None:
        if token is None:
            self.say(f"{what}: a mail with a link is on its way")
        else:
            link = f"{self.settings.public_url}/reset?token={quote(token)}"
            self.say(f"{what}: no mail is configured, so hand over this link, which works for {hours} h: {link}")

    def _mails(self) -> bool:
        """Whether mails leave this machine."""
        return not self._channel().local

    def _send(self, address: str, context: contexts.AccountContext, now: datetime.datetime) -> channel.Outcome:
        words = render.render("invite", context, language=render.LANGUAGES[0])
        mail = message.Message(
            id=uuid.uuid4(),
            key=f"invite:{uuid.uuid4()}",
            kind="invite",
            to=message.EmailTarget(address),
            subject=words.subject,
            text=words.text,
            html=words.html,
            created_at=now,
        )
        with closing(self._channel()) as way:
            return way.send(mail, now=now)

    def _channel(self) -> channel.Channel:
        try:
            return channels.mail(self.settings.environment, self.settings.data_dir)[0]
        except channel.SettingError as error:
            raise UserError(str(error)) from error

    def _keys(self) -> KeyRing:
        """The keys; of a data folder that has its own database they are made where there are none yet."""
        if self.settings.database_url is None:
            rings.made(self.settings)
        return rings.sealing(self.settings)

    def _run(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """What `work` does in one transaction. Raises database.DatabaseError."""
        with database.borrowed(self.settings) as found:
            schema.require(found)
            return asyncio.run(_in_transaction(found.url, work))


async def _in_transaction(url: str, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
    opened = engine.async_engine(url, "debitum-user", poolclass=NullPool)
    try:
        async with opened.begin() as connection:
            await roles.enter_async(connection, roles.API)
            return await work(connection)
    finally:
        await opened.dispose()


async def _mint(connection: AsyncConnection, user_id: uuid.UUID, hours: int, now: datetime.datetime) -> str:
    return await connection.run_sync(lambda sync: recipients.mint(sync, user_id, "reset", hours=hours, now=now))


async def _user(connection: AsyncConnection, email: str) -> uuid.UUID:
    found = await identity.credentials(connection, email)
    if found is None:
        raise UserError(f"nobody has an account as {addresses.canonical(email)}")
    user_id: uuid.UUID = found.id
    return user_id


_FORMS: Final = {
    "email": "an address like ada@example.org, of up to 254 characters",
    "name": "a name of up to 200 characters",
    "time_zone": "an IANA name like Europe/Berlin",
    "locale": "a language tag like de-AT",
    "default_currency": "an ISO 4217 code like EUR",
}


def _misfit(reason: str, given: Mapping[str, Any]) -> str:
    """What msgspec says of a value, in words: its own name the field by a path, and the form by a regular expression."""
    field = reason.rpartition("`$.")[2].rstrip("`")
    return f"{field}: {given[field]!r} is not {_FORMS[field]}" if field in _FORMS and field in given else reason


def _address(email: str) -> str:
    return _new_user(email, {}).email


def _new_user(email: str, profile: Mapping[str, str | None]) -> identity.NewUser:
    """What registration would take; the password is one that nobody knows."""
    given: dict[str, Any] = {name: value for name, value in profile.items() if value is not None}
    try:
        wanted = msgspec.convert({"email": email, "password": "x" * 8, **given}, RegisterBody)
        accounts.check_profile(wanted.time_zone, wanted.default_currency)
    except msgspec.ValidationError as error:
        raise UserError(_misfit(str(error), {"email": email, **given})) from error
    except errors.Invalid as error:
        raise UserError("; ".join(f"{one.pointer[1:]}: {one.detail}" for one in error.errors)) from error
    return identity.NewUser(
        email=addresses.canonical(wanted.email),
        password_hash=passwords.nobodys_hash(),
        name=wanted.name,
        time_zone=wanted.time_zone,
        locale=wanted.locale,
        default_currency=wanted.default_currency,
    )
