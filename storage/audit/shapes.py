"""What each table that follows from the log looks like: written down anew, so that the audit shares no code with the fold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

TIME: Final = "to_char({} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
_DIGITS: Final = "encode({}, 'hex')"
_JSON: Final = "array_to_json({})::text"
_TEXT: Final = "{}::text"


@dataclass(frozen=True)
class Shape:
    """An entity's table: `fields` with how Postgres writes each as text, `groups` of fields that have one mark together.

    `timed` is the column that tells when one of the fields beside it last changed; `cleared`: it is empty where the field is.
    """

    kind: str
    table: str
    fields: Mapping[str, str]
    groups: Mapping[str, tuple[str, ...]]
    timed: str = ""
    timed_fields: tuple[str, ...] = ()
    cleared: bool = False
    private: tuple[str, ...] = ()
    """Fields whose columns are sealed."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What is compared, by name."""
        marks = tuple(f"mark_{group}" for group in self.groups)
        return (*self.fields, *STANDARD, *((self.timed,) if self.timed else ()), *marks, "mark_count")

    @property
    def in_postgres(self) -> str:
        """The columns as Postgres's own texts."""
        fields = [how.format(name) for name, how in self.fields.items()]
        timed = [TIME.format(self.timed)] if self.timed else []
        marks = [f"concat(marks #>> '{{{group},0}}', ':', marks #>> '{{{group},1}}')" for group in self.groups]
        count = "(select count(*)::text from jsonb_object_keys(marks))"
        return ", ".join([*fields, *STANDARD.values(), *timed, *marks, count])


STANDARD: Final = {
    "created_seq": "created_seq::text",
    "created_device": "created_device::text",
    "created_at": TIME.format("created_at"),
    "changed_seq": "changed_seq::text",
    "updated_at": TIME.format("updated_at"),
    "deleted_seq": "deleted_seq::text",
    "deleted_at": TIME.format("deleted_at"),
}
"""What every entity has."""


def _alone(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: (name,) for name in names}


CONTACTS: Final = Shape(
    "contact",
    "contacts",
    {"name": _TEXT, "username": _TEXT, "phone": _DIGITS, "email": _DIGITS, "notes": _TEXT},
    _alone("name", "username", "phone", "email", "notes", "deleted_at"),
    private=("phone", "email"),
)
_MONEY: Final = ("type", "direction", "amount", "currency", "contact_id", "item")
TRANSACTIONS: Final = Shape(
    "transaction",
    "transactions",
    dict.fromkeys((*_MONEY, "description", "transaction_date", "due_date", "repays"), _TEXT) | {"returned_at": TIME},
    {"MONEY": _MONEY} | _alone("description", "transaction_date", "due_date", "repays", "returned_at", "deleted_at"),
    timed="due_changed_at",
    timed_fields=("due_date",),
    cleared=True,
)
_SCHEDULE: Final = ("remind_at", "time_zone", "repeat", "channels")
REMINDERS: Final = Shape(
    "reminder",
    "reminders",
    {
        "remind_at": TIME,
        "time_zone": _TEXT,
        "repeat": _TEXT,
        "channels": _JSON,
        "contact_id": _TEXT,
        "transaction_id": _TEXT,
        "message": _TEXT,
        "snoozed_until": TIME,
        "done_at": TIME,
    },
    {"SCHEDULE": _SCHEDULE} | _alone("contact_id", "transaction_id", "message", "snoozed_until", "done_at", "deleted_at"),
    timed="schedule_changed_at",
    timed_fields=_SCHEDULE,
)
SHAPES: Final = (CONTACTS, TRANSACTIONS, REMINDERS)
