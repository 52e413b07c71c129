"""What the templates are told: values that are looked up already, one type a kind of message."""

from datetime import date, datetime
from typing import Literal

import msgspec


class Money(msgspec.Struct, frozen=True, tag="money"):
    """What is still open of a debt, in minor units of `currency` with `exponent` digits after the point.

    `original_minor` is what it was at first, where a part is repaid.
    """

    amount_minor: int
    currency: str
    exponent: int
    original_minor: int | None = None


class Item(msgspec.Struct, frozen=True, tag="item"):
    """A thing that was lent, and how many of it."""

    name: str
    quantity: int = 1


class Debt(msgspec.Struct, frozen=True, kw_only=True):
    """One open transaction. `lent`: the contact owes the user, or has what is theirs; `owed`: the other way round."""

    contact: str
    direction: Literal["lent", "owed"]
    what: Money | Item
    transaction_date: date
    description: str | None = None
    due_date: date | None = None


class DueContext(msgspec.Struct, frozen=True, kw_only=True):
    """An automatic reminder of a debt with a due date. `days` since that date in the user's zone; negative: before it.

    `link` opens the debt in a client; `unsubscribe` ends mails of this kind.
    """

    debt: Debt
    days: int
    user_name: str | None = None
    link: str | None = None
    unsubscribe: str | None = None


class Entry(msgspec.Struct, frozen=True):
    """A debt in a digest; `days` and `link` as of a single reminder."""

    debt: Debt
    days: int
    link: str | None = None


class DigestContext(msgspec.Struct, frozen=True, kw_only=True):
    """The reminders of all due dates of a day: `entries`, of which there is at least one, and how many `more` are left out."""

    entries: tuple[Entry, ...]
    more: int = 0
    user_name: str | None = None
    unsubscribe: str | None = None


class ReminderContext(msgspec.Struct, frozen=True, kw_only=True):
    """A reminder that the user asked for, about a debt, a contact, or neither. `at` is its time in the user's zone."""

    at: datetime
    message: str | None = None
    contact: str | None = None
    debt: Debt | None = None
    days: int | None = None
    user_name: str | None = None
    link: str | None = None
    unsubscribe: str | None = None


class AccountContext(msgspec.Struct, frozen=True, kw_only=True):
    """A link that works for `valid_hours`: it proves that an address is the user's, sets a password, or makes an account."""

    address: str
    link: str
    valid_hours: int
    user_name: str | None = None


Context = DueContext | DigestContext | ReminderContext | AccountContext

KINDS: dict[str, type[Context]] = {
    "due": DueContext,
    "digest": DigestContext,
    "reminder": ReminderContext,
    **dict.fromkeys(("verify", "reset", "welcome", "invite"), AccountContext),
}
"""Each kind of message (the outbox's column `kind`, the folder of its templates) with what it must be told."""
