"""A message: everything a channel needs to hand it to one person, and nothing that it would have to look up."""

import hashlib
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec


class EmailTarget(msgspec.Struct, frozen=True, tag="email"):
    """One mailbox. `address` is an addr-spec; `name` is shown beside it and may hold any character."""

    address: str
    name: str = ""


class Registration(msgspec.Struct, frozen=True):
    """What a push provider knows a device by."""

    kind: Literal["token", "fid"]
    value: str


class PushTarget(msgspec.Struct, frozen=True, tag="push"):
    """One device of a user, or the user where no provider is asked (files need no registration)."""

    user_id: UUID
    device_id: UUID | None = None
    registration: Registration | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one target.

    `id` and `created_at` (aware) are those of the outbox row: what is made of them is the same at every attempt.
    `key` is the row's deduplication key, `kind` the template. Of a push, `subject` is the title and `text` the body.
    `headers` are further mail headers; `collapse_key` lets a later push take the place of an earlier one;
    `link` is what a tap on a push opens.
    """

    id: UUID
    key: str
    kind: str
    to: EmailTarget | PushTarget
    subject: str
    text: str
    created_at: datetime
    html: str | None = None
    language: str = "en"
    headers: tuple[tuple[str, str], ...] = ()
    collapse_key: str | None = None
    link: str | None = None


def fingerprint(message: Message) -> str:
    """32 hexadecimal digits that stand for the outbox row at every attempt and tell an outsider nothing of its id."""
    return hashlib.sha256(b"debitum outbox " + message.id.bytes).hexdigest()[:32]
