"""Messages from the command line: whether a provider takes one, and what waits in the outbox."""

import datetime
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from debitum import rings, schema
from debitum.commands import Say
from debitum.settings import Settings
from domain import addresses
from notifications import channels
from notifications.channel import Outcome, Sent, SettingError
from notifications.message import EmailTarget, Message, PushTarget, Registration
from storage import circuits, outbox, outbox_rows, recipients, roles

TEXT: Final = "This is a test. If you can read it, Debitum can reach you."
_STATES: Final[dict[str, Sequence[outbox.State]]] = {
    "open": outbox_rows.OPEN,
    "all": ("pending", "leased", "dead", "suppressed", "sent"),
    "pending": ("pending",),
    "leased": ("leased",),
    "dead": ("dead",),
    "suppressed": ("suppressed",),
    "sent": ("sent",),
}


class MessageError(Exception):
    """It cannot be done; the text says why."""


@dataclass(frozen=True)
class Desk:
    """What the commands share: the settings, the operator's screen, the time. Each says whether all went well."""

    settings: Settings
    say: Say
    now: datetime.datetime

    def mail(self, address: str) -> bool:
        """Send one mail by each provider past the outbox, and say what they answered. Raises MessageError."""
        with self._channels() as ways:
            told = [self._tell(way.name, way.send(self._test("mail", EmailTarget(address)), now=self.now)) for way in ways.email]
        return all(told)

    def push(self, email: str) -> bool:
        """Push to each device of a user, and say what the provider answered. Raises MessageError, DatabaseError."""
        ring = rings.required(self.settings)
        with self._transaction() as connection:
            found = recipients.devices_of(connection, email, ring)
        if found is None:
            raise MessageError(f"nobody has an account as {addresses.canonical(email)}")
        user_id, devices = found
        with self._channels() as ways:
            [way] = ways.push
            targets = [PushTarget(user_id, one.id, Registration(one.kind, one.value)) for one in devices]
            if way.local:
                targets = [PushTarget(user_id)]
            if not targets:
                raise MessageError(f"{addresses.canonical(email)} has no device that takes pushes")
            outcomes = [(target, way.send(self._test("push", target), now=self.now)) for target in targets]
        told = [self._tell(f"{way.name}, device {target.device_id or 'any'}", outcome) for target, outcome in outcomes]
        return all(told)

    def show(self, which: str, limit: int) -> bool:
        """Say what is in the outbox, and the messages in the states `which`. Raises DatabaseError."""
        with self._transaction() as connection:
            counts = outbox_rows.counted(connection)
            rows = outbox_rows.listed(connection, _STATES[which], limit=limit)
            down = circuits.opened(connection, channels.names(self.settings.environment))
        self.say(", ".join(f"{count} {state} ({channel})" for (channel, state), count in counts.items()) or "the outbox is empty")
        for one in down:
            since = f"{one.opened_at.astimezone(datetime.UTC):%Y-%m-%d %H:%M}"
            self.say(f"{one.channel}: {one.provider} is down since {since} UTC: {one.detail}")
        for row in rows:
            attempt = (
                "" if row.provider is None else f", {row.provider}: {row.outcome or 'no answer'} {row.detail or ''}".rstrip()
            )
            state = row.state if row.reason is None else f"{row.state} ({row.reason})"
            when = f"due {row.next_at.astimezone(datetime.UTC):%Y-%m-%d %H:%M}"
            self.say(f"{row.id}  {row.channel} {row.kind}: {state}, {when}, {row.attempts} calls{attempt}")
        return True

    def retry(self, ids: list[uuid.UUID] | None) -> bool:
        """Have messages sent again; None: all that were given up. Who is down is tried at once. Raises DatabaseError."""
        with self._transaction() as connection:
            count = outbox_rows.retry(connection, ids, now=self.now)
            circuits.retry_all(connection, now=self.now)
        self.say(f"{count} messages will be sent" + (", and those that wait" if ids is None else ""))
        return ids is None or count == len(ids)

    def drop(self, ids: list[uuid.UUID]) -> bool:
        """Give messages up. Raises DatabaseError."""
        with self._transaction() as connection:
            count = outbox_rows.drop(connection, ids, now=self.now)
        self.say(f"{count} messages are dropped")
        return count == len(ids)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with schema.opened(self.settings, "debitum-messages") as engine, roles.transaction(engine, roles.JOBS) as connection:
            yield connection

    def _channels(self) -> channels.Channels:
        try:
            return channels.from_environment(self.settings.environment, self.settings.data_dir)
        except SettingError as error:
            raise MessageError(str(error)) from error

    def _test(self, kind: str, target: EmailTarget | PushTarget) -> Message:
        made = uuid.uuid4()
        return Message(
            id=made, key=f"test:{made}", kind=f"{kind}_test", to=target, subject="Debitum test", text=TEXT, created_at=self.now
        )

    def _tell(self, provider: str, outcome: Outcome) -> bool:
        self.say(f"{provider}: {outcome.code}: {outcome.detail}")
        return isinstance(outcome, Sent)
