"""Messages from the command line: whether a provider takes one, and what waits in the outbox."""

import datetime
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing

from debitum import database, keys
from debitum.settings import Settings
from notifications import channels
from notifications.channel import Outcome, Sent, SettingError
from notifications.message import EmailTarget, Message, PushTarget, Registration
from storage import outbox, outbox_rows, recipients, roles

Say = Callable[[str], object]
TEXT = "This is a test. If you can read it, Debitum can reach you."
_STATES: dict[str, Sequence[outbox.State]] = {
    "open": outbox_rows.OPEN,
    "all": ("pending", "leased", "dead", "suppressed", "sent"),
    **{state: (state,) for state in ("pending", "leased", "dead", "suppressed", "sent")},
}


class MessageError(Exception):
    """It cannot be done; the text says why."""


def mail_test(settings: Settings, address: str, say: Say, now: datetime.datetime) -> bool:
    """Send one mail past the outbox, and say what the provider answered. Raises MessageError."""
    with closing(_channels(settings)) as ways:
        outcome = ways.email.send(_test("email", EmailTarget(address), now), now=now)
        return _tell(say, ways.email.name, outcome)


def push_test(settings: Settings, email: str, say: Say, now: datetime.datetime) -> bool:
    """Send one push to each device of a user, and say what the provider answered. Raises MessageError, DatabaseError."""
    ring = keys.required(settings)
    with database.opened(settings, "debitum-messages") as engine, engine.begin() as connection:
        roles.enter(connection, roles.JOBS)
        found = recipients.devices_of(connection, email, ring)
    if found is None:
        raise MessageError(f"nobody has an account as {email.lower()}")
    user_id, devices = found
    with closing(_channels(settings)) as ways:
        targets = [PushTarget(user_id, one.id, Registration(one.kind, one.value)) for one in devices]
        if ways.push.local:
            targets = [PushTarget(user_id)]
        if not targets:
            raise MessageError(f"{email.lower()} has no device that takes pushes")
        outcomes = [(target, ways.push.send(_test("push", target, now), now=now)) for target in targets]
        told = [_tell(say, f"{ways.push.name}, device {target.device_id or '-'}", outcome) for target, outcome in outcomes]
        return all(told)


def outbox_list(settings: Settings, which: str, limit: int, say: Say) -> None:
    """Say what is in the outbox, and the messages in the states `which`. Raises DatabaseError."""
    with database.opened(settings, "debitum-messages") as engine, engine.begin() as connection:
        roles.enter(connection, roles.JOBS)
        counts = outbox_rows.counted(connection)
        rows = outbox_rows.listed(connection, _STATES[which], limit=limit)
    say(", ".join(f"{count} {state} ({channel})" for (channel, state), count in counts.items()) or "the outbox is empty")
    for row in rows:
        attempt = "" if row.provider is None else f", {row.provider}: {row.outcome or 'no answer'} {row.detail or ''}".rstrip()
        state = row.state if row.reason is None else f"{row.state} ({row.reason})"
        say(f"{row.id}  {row.channel} {row.kind}: {state}, due {row.next_at:%Y-%m-%d %H:%M}, {row.attempts} calls{attempt}")


def outbox_retry(settings: Settings, ids: list[uuid.UUID] | None, say: Say, now: datetime.datetime) -> bool:
    """Have messages sent again; None: all that were given up. False: not all of `ids` could be. Raises DatabaseError."""
    with database.opened(settings, "debitum-messages") as engine, engine.begin() as connection:
        roles.enter(connection, roles.JOBS)
        count = outbox_rows.retry(connection, ids, now=now)
    say(f"{count} messages will be sent")
    return ids is None or count == len(ids)


def outbox_drop(settings: Settings, ids: list[uuid.UUID], say: Say, now: datetime.datetime) -> bool:
    """Give messages up. False: not all of `ids` waited. Raises DatabaseError."""
    with database.opened(settings, "debitum-messages") as engine, engine.begin() as connection:
        roles.enter(connection, roles.JOBS)
        count = outbox_rows.drop(connection, ids, now=now)
    say(f"{count} messages are dropped")
    return count == len(ids)


def _channels(settings: Settings) -> channels.Channels:
    try:
        return channels.from_environment(settings.environment, settings.data_dir)
    except SettingError as error:
        raise MessageError(str(error)) from error


def _test(kind: str, target: EmailTarget | PushTarget, now: datetime.datetime) -> Message:
    made = uuid.uuid4()
    return Message(id=made, key=f"test:{made}", kind=f"{kind}_test", to=target, subject="Debitum test", text=TEXT, created_at=now)


def _tell(say: Say, provider: str, outcome: Outcome) -> bool:
    say(f"{provider}: {outcome.code}: {outcome.detail}")
    return isinstance(outcome, Sent)
