"""Mails about accounts, for the outbox. They hold no token: that is minted when a mail is sent, so none lies here in clear."""

import datetime
import uuid
from typing import Final
from uuid import UUID

from storage.outbox import Outgoing

WINDOW_MINUTES: Final = 5
"""At most one mail of a kind in so many minutes, where strangers can have it sent to somebody else's address."""


def verification(ledger_id: UUID, *, now: datetime.datetime) -> Outgoing:
    """The proof of the address that owns `ledger_id`; each request is a mail of its own."""
    return Outgoing(
        ledger_id=ledger_id, dedupe_key=f"verify:{uuid.uuid4()}", kind="verify", channel="email", payload={}, next_at=now
    )


def reset(ledger_id: UUID, *, now: datetime.datetime) -> Outgoing:
    """The mail by which the owner of `ledger_id` sets a new password: one in WINDOW_MINUTES."""
    return asked("reset", ledger_id, window(now), now=now)


def asked(kind: str, ledger_id: UUID, since: datetime.datetime, *, now: datetime.datetime) -> Outgoing:
    """A mail that strangers can ask for: all that ask in the window from `since` share one, which goes out then, or `now`."""
    key = f"{kind}:{since:%Y-%m-%dT%H:%MZ}"
    return Outgoing(ledger_id=ledger_id, dedupe_key=key, kind=kind, channel="email", payload={}, next_at=max(now, since))


def window(now: datetime.datetime) -> datetime.datetime:
    """The beginning of the WINDOW_MINUTES in which `now` lies."""
    utc = now.astimezone(datetime.UTC)
    return utc.replace(minute=utc.minute - utc.minute % WINDOW_MINUTES, second=0, microsecond=0)
