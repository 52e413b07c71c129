"""Commands, facts and changes: what a device means, what the server decided, and what follows field by field."""

import datetime
import re
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from domain import errors, money
from domain.delivery import Channel

AggregateType = Literal["contact", "transaction", "reminder"]
EventType = Literal["CREATED", "UPDATED", "DELETED", "RESTORED", "UNDO"]
Status = Literal["accepted", "conflict"]
ConflictKind = Literal["edit", "edit_of_deleted", "delete_vs_edit", "delete_vs_new"]
Operation = Literal["create", "update", "delete", "restore"]
Key = tuple[AggregateType, str]
"""One contact, transaction or reminder of a ledger."""

MAX_CHANGES = 10_000
"""Of a fact. To delete a contact with more transactions, some of those are deleted first."""
VERSION = 1
"""The version of the command language that devices push."""

_NO_NUL = r"^[^\x00]*$"
_SPACE = r"\x1c-\x1f\x85\ufeff"
"""White space beside \\s: what only Python's or only JSON Schema's \\s takes for it."""
_NOT_BLANK = rf"^[\s{_SPACE}]*[^\s\x00{_SPACE}][^\x00]*$"
"""It can match in one way only: with several, a text that does not match would take the square of its length."""
# Python's $ also stands before a line break at the end; (?!\n) means the same to JSON Schema and closes that.
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=_NOT_BLANK)]
"""A contact's name: 1 … 200 characters, not blank."""
Short = Annotated[str, Meta(max_length=64, pattern=_NO_NUL)]
Email = Annotated[str, Meta(max_length=254, pattern=rf"^[^@\s\x00{_SPACE}]+@[^@\s\x00{_SPACE}]+$(?!\n)")]
Text = Annotated[str, Meta(max_length=4_000, pattern=_NO_NUL)]
Item = Annotated[str, Meta(min_length=1, max_length=4_000, pattern=_NOT_BLANK)]
Amount = Annotated[int, Meta(ge=1, le=money.MAX_AMOUNT)]
"""Minor units of the currency; of an item the quantity."""
CurrencyCode = Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)", extra_json_schema={"enum": sorted(money.CURRENCIES)})]
Moment = Annotated[datetime.datetime, Meta(tz=True)]
Seq = Annotated[int, Meta(ge=0, le=money.MAX_AMOUNT)]
"""The seq of a fact, 0 before the first."""
ZoneName = Annotated[str, Meta(min_length=1, max_length=64, pattern=_NO_NUL)]
Channels = Annotated[list[Channel], Meta(min_length=1, max_length=2, extra_json_schema={"uniqueItems": True})]


class Payload(Struct, frozen=True, forbid_unknown_fields=True):
    """The members of a command's event_data; absent ones are UNSET, null clears."""

    creates: ClassVar[bool] = False


class Settling(Payload, frozen=True):
    """What may settle a conflict of its aggregate: `resolves` is the event id of that conflict."""

    resolves: UUID | UnsetType = UNSET


class ContactCreated(Payload, frozen=True):
    """A new contact."""

    creates = True
    name: Name
    username: Short | UnsetType | None = UNSET
    phone: Short | UnsetType | None = UNSET
    email: Email | UnsetType | None = UNSET
    notes: Text | UnsetType | None = UNSET


class ContactUpdated(Settling, frozen=True):
    """Changed members of a contact."""

    name: Name | UnsetType = UNSET
    username: Short | UnsetType | None = UNSET
    phone: Short | UnsetType | None = UNSET
    email: Email | UnsetType | None = UNSET
    notes: Text | UnsetType | None = UNSET


class TransactionCreated(Payload, frozen=True):
    """Money or a thing that changed hands."""

    creates = True
    contact_id: UUID
    direction: Literal["lent", "owed"]
    type: Literal["money", "item"] | UnsetType = UNSET
    amount: Amount | UnsetType = UNSET
    currency: CurrencyCode | UnsetType | None = UNSET
    item: Item | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    transaction_date: datetime.date | UnsetType = UNSET
    due_date: datetime.date | UnsetType | None = UNSET
    repays: UUID | UnsetType | None = UNSET
    returned_at: Moment | UnsetType | None = UNSET


class TransactionUpdated(Settling, frozen=True):
    """Changed members of a transaction."""

    contact_id: UUID | UnsetType = UNSET
    direction: Literal["lent", "owed"] | UnsetType = UNSET
    type: Literal["money", "item"] | UnsetType = UNSET
    amount: Amount | UnsetType = UNSET
    currency: CurrencyCode | UnsetType | None = UNSET
    item: Item | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    transaction_date: datetime.date | UnsetType = UNSET
    due_date: datetime.date | UnsetType | None = UNSET
    repays: UUID | UnsetType | None = UNSET
    returned_at: Moment | UnsetType | None = UNSET


class ReminderCreated(Payload, frozen=True):
    """A note to the user's later self."""

    creates = True
    remind_at: Moment
    contact_id: UUID | UnsetType | None = UNSET
    transaction_id: UUID | UnsetType | None = UNSET
    time_zone: ZoneName | UnsetType = UNSET
    repeat: Text | UnsetType | None = UNSET
    channels: Channels | UnsetType = UNSET
    message: Text | UnsetType | None = UNSET
    snoozed_until: Moment | UnsetType | None = UNSET
    done_at: Moment | UnsetType | None = UNSET


class ReminderUpdated(Settling, frozen=True):
    """Changed members of a reminder."""

    remind_at: Moment | UnsetType = UNSET
    contact_id: UUID | UnsetType | None = UNSET
    transaction_id: UUID | UnsetType | None = UNSET
    time_zone: ZoneName | UnsetType = UNSET
    repeat: Text | UnsetType | None = UNSET
    channels: Channels | UnsetType = UNSET
    message: Text | UnsetType | None = UNSET
    snoozed_until: Moment | UnsetType | None = UNSET
    done_at: Moment | UnsetType | None = UNSET


class Deleted(Settling, frozen=True):
    """The aggregate goes."""


class Restored(Settling, frozen=True):
    """The aggregate comes back, with what its deletion took along."""


class Undone(Payload, frozen=True):
    """What an earlier event did to the aggregate is taken back."""

    undone_event_id: UUID


PAYLOADS: dict[tuple[str, str], type[Payload]] = {
    ("contact", "CREATED"): ContactCreated,
    ("contact", "UPDATED"): ContactUpdated,
    ("transaction", "CREATED"): TransactionCreated,
    ("transaction", "UPDATED"): TransactionUpdated,
    ("reminder", "CREATED"): ReminderCreated,
    ("reminder", "UPDATED"): ReminderUpdated,
    **{(kind, "DELETED"): Deleted for kind in ("contact", "transaction", "reminder")},
    **{(kind, "RESTORED"): Restored for kind in ("contact", "transaction", "reminder")},
    **{(kind, "UNDO"): Undone for kind in ("contact", "transaction", "reminder")},
}
"""The shape of event_data by aggregate type and event type."""


def _fields(payload: type[Payload]) -> tuple[str, ...]:
    return tuple(name for name in payload.__struct_fields__ if name not in Settling.__struct_fields__)


FIELDS: dict[AggregateType, tuple[str, ...]] = {
    "contact": _fields(ContactUpdated),
    "transaction": _fields(TransactionUpdated),
    "reminder": _fields(ReminderUpdated),
}
"""The fields of an aggregate that clients write."""

REFERENCES: tuple[tuple[str, AggregateType], ...] = (
    ("contact_id", "contact"),
    ("transaction_id", "transaction"),
    ("repays", "transaction"),
)
"""The fields that name another aggregate, and its type."""

MONEY = ("type", "direction", "amount", "currency", "contact_id", "item")
SCHEDULE = ("remind_at", "time_zone", "repeat", "channels")
_GROUPS = {("transaction", name): "MONEY" for name in MONEY} | {("reminder", name): "SCHEDULE" for name in SCHEDULE}
GROUP_FIELDS = {"MONEY": MONEY, "SCHEDULE": SCHEDULE}


def group(aggregate_type: str, field: str) -> str:
    """The register that `field` belongs to: MONEY and SCHEDULE change as one, every other field stands alone."""
    return _GROUPS.get((aggregate_type, field), field)


class Command(Struct, frozen=True):
    """What a user meant. `base_seq` None: the head (REST); `timestamp` None: recorded_at (REST, imports)."""

    id: str
    aggregate_type: AggregateType
    aggregate_id: str
    event_type: EventType
    payload: Payload
    event_data: dict[str, Any]
    """The validated members as they were sent."""
    fingerprinted: Any
    """What makes two commands of one id the same."""
    base_seq: int | None = None
    timestamp: str | None = None
    device_id: str | None = None
    if_match: int | None = None
    """The version that the aggregate must have."""
    remembered: bool = True
    """Whether a rejection may be remembered: not where the id cannot come again (REST without a key), or no other (import)."""
    within: str = ""
    """The JSON pointer of event_data in what was sent: rules point into the former, rejections into the latter."""

    @property
    def key(self) -> Key:
        """The aggregate that the command is about."""
        return (self.aggregate_type, self.aggregate_id)

    @property
    def resolves(self) -> str | None:
        """The event id of the conflict that it settles."""
        return _id(self.payload.resolves) if isinstance(self.payload, Settling) else None

    @property
    def undoes(self) -> str | None:
        """The event id of the fact that it takes back."""
        return _id(self.payload.undone_event_id) if isinstance(self.payload, Undone) else None

    def item(self) -> dict[str, Any]:
        """The command as an item of a push."""
        return {
            "id": self.id,
            "aggregate_type": self.aggregate_type,
            "aggregate_id": self.aggregate_id,
            "event_type": self.event_type,
            "event_data": self.event_data,
            "base_seq": self.base_seq,
            "timestamp": self.timestamp,
            "version": VERSION,
        }


class Unreadable(Struct, frozen=True):
    """An item of a push that is no command, under a readable id; `sent` is its JSON text."""

    id: str
    error: errors.Rejected
    sent: str
    fingerprinted: Any
    key: Key | None = None
    """The aggregate that it was about, where that much is readable."""
    base_seq: int | None = None
    """What its device had folded, likewise."""


class Change(Struct, frozen=True):
    """What happens to one aggregate: {name: (before, after)} of JSON values."""

    aggregate_type: AggregateType
    aggregate_id: str
    op: Operation
    fields: dict[str, tuple[Any, Any]]

    @property
    def key(self) -> Key:
        """The aggregate that it changes."""
        return (self.aggregate_type, self.aggregate_id)


class Conflict(Struct, frozen=True):
    """What was kept, what was offered, and the newest seq that the offer collided with."""

    kind: ConflictKind
    kept: dict[str, Any]
    offered: dict[str, Any]
    with_seq: int


def _id(given: Any) -> str | None:
    """An id in event_data as the log writes ids: clients may send capitals. None where there is none."""
    if given is None or given is UNSET:
        return None
    try:
        return str(UUID(str(given)))
    except ValueError:
        return None


class Fact(Struct, frozen=True, kw_only=True):
    """A decided command; canonical JSON of this, without the hash, is what the chain covers."""

    seq: int
    id: str
    aggregate_type: AggregateType
    aggregate_id: str
    event_type: EventType
    event_data: dict[str, Any]
    base_seq: int
    timestamp: str
    recorded_at: str
    status: Status
    changes: list[Change]
    device_id: str | UnsetType = UNSET
    overwrote: dict[str, Any] | UnsetType = UNSET
    conflict: Conflict | UnsetType = UNSET
    salt: str | UnsetType = UNSET

    @property
    def key(self) -> Key:
        """The aggregate that the fact is about; its changes may touch others too."""
        return (self.aggregate_type, self.aggregate_id)

    @property
    def settles(self) -> str | None:
        """The event id of the conflict that is settled by it: a command that met a new conflict settles nothing."""
        return _id(self.event_data.get("resolves")) if self.status == "accepted" else None

    @property
    def undoes(self) -> str | None:
        """The event id of the fact that it takes back."""
        return _id(self.event_data.get("undone_event_id"))


class WireFact(Fact, frozen=True, kw_only=True):
    """A fact as clients read it."""

    hash: str


_RFC_3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})")


def check_time(text: str, pointer: str) -> None:
    """Raises errors.Invalid at `pointer` where a moment is not written as RFC 3339 has it; msgspec reads other forms as well.

    A `timestamp` stands in the log for ever as it was sent, and other devices have to read it.
    """
    if not _RFC_3339.fullmatch(text):
        raise errors.Invalid.at(pointer, "not a time as RFC 3339 has it")


_WIRE_TIME_LENGTH = len("2026-01-02T03:04:05.000006Z")


def wire_time(moment: datetime.datetime, pointer: str = "") -> str:
    """RFC 3339 in UTC with six digits and Z. Raises errors.Invalid, at `pointer`, outside of the years 1 … 9999."""
    try:
        text = str(msgspec.to_builtins(moment.astimezone(datetime.UTC)))  # ten times as fast as isoformat
    except OverflowError as error:
        raise errors.Invalid.at(pointer, "outside of the years 1 to 9999") from error
    return text if len(text) == _WIRE_TIME_LENGTH else f"{text[:-1]}.000000Z"


def parse_time(text: str) -> datetime.datetime:
    """The moment of an RFC 3339 text."""
    return msgspec.json.decode(f'"{text}"'.encode(), type=datetime.datetime)


def plain(payload: Payload) -> dict[str, Any]:
    """The fields that `payload` gives, as the JSON values that changes hold."""
    members: dict[str, Any] = msgspec.to_builtins(payload, builtin_types=(datetime.datetime,))
    for name in Settling.__struct_fields__:
        members.pop(name, None)
    return {
        name: wire_time(value, f"/{name}") if isinstance(value, datetime.datetime) else value for name, value in members.items()
    }
