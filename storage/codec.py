"""Between rows and entities: Postgres's JSON of a row in, the columns of a row out."""

from typing import Any

from domain import checks, facts, recurrence, words
from domain.fold import Entity
from storage import sealing
from storage.encryption import Cipher

_TIMED = {"transaction": "due_changed_at", "reminder": "schedule_changed_at"}
"""The column that holds Entity.timed_at."""
_TIMES = frozenset({"returned_at", "remind_at", "snoozed_until", "done_at"})
"""Fields of entities that are times."""
_PRIVATE = {"contact": sorted(checks.PRIVATE)}
"""Fields whose columns are sealed."""

_SEARCHED: dict[str, dict[str, str]] = {
    "contact": {"A": "name", "B": "username", "C": "notes"},
    "transaction": {"A": "item", "B": "description"},
}
"""The fields that search looks at, by the weight of what is found in them."""


def entity(aggregate_type: facts.AggregateType, row: dict[str, Any], cipher: Cipher) -> Entity:
    """The entity of a row as `row_to_json` writes it in a session whose time zone is UTC. Raises KeyRingError."""
    fields = {name: _time(row[name]) if name in _TIMES else row[name] for name in facts.FIELDS[aggregate_type]}
    for name in _PRIVATE.get(aggregate_type, ()):
        if row[name] is not None:
            fields[name] = cipher.open(aggregate_type, row["id"], name, sealing.from_hexadecimal(row[name]))
    timed = _TIMED.get(aggregate_type)
    return Entity(
        aggregate_type=aggregate_type,
        id=row["id"],
        fields=fields,
        created_seq=row["created_seq"],
        created_device=row["created_device"],
        created_at=_certain_time(row["created_at"]),
        changed_seq=row["changed_seq"],
        updated_at=_certain_time(row["updated_at"]),
        deleted_seq=row["deleted_seq"],
        deleted_at=_time(row["deleted_at"]),
        timed_at=_time(row[timed]) if timed else None,
        marks={group: (mark[0], mark[1]) for group, mark in row["marks"].items()},
    )


def columns(cipher: Cipher, entity: Entity) -> dict[str, Any]:
    """The columns of the row of `entity` in the cipher's ledger, as JSON values."""
    row = {
        "ledger_id": cipher.ledger_id,
        "id": entity.id,
        "created_seq": entity.created_seq,
        "created_device": entity.created_device,
        "created_at": entity.created_at,
        "changed_seq": entity.changed_seq,
        "updated_at": entity.updated_at,
        "deleted_seq": entity.deleted_seq,
        "deleted_at": entity.deleted_at,
        "marks": entity.marks,
        **entity.fields,
    }
    if (timed := _TIMED.get(entity.aggregate_type)) is not None:
        row[timed] = entity.timed_at
    for name in _PRIVATE.get(entity.aggregate_type, ()):
        if row[name] is not None:
            row[name] = sealing.hexadecimal(cipher.seal(entity.aggregate_type, entity.id, name, row[name]))
    return row | derived(entity)


def derived(entity: Entity) -> dict[str, Any]:
    """The columns that only help to find the row: they follow from its fields."""
    if entity.aggregate_type == "reminder":
        return _repeat_columns(entity.fields)
    return {"words": words.vector({weight: entity.fields[name] for weight, name in _SEARCHED[entity.aggregate_type].items()})}


def _repeat_columns(fields: dict[str, Any]) -> dict[str, Any]:
    """What an index can know of a repeat rule: it follows from repeat and remind_at, and from nothing that moves."""
    if fields["repeat"] is None:
        return {"repeat_days": None, "repeat_until": None}
    remind_at = facts.parse_time(fields["remind_at"])
    last = recurrence.last_day(fields["repeat"], remind_at)
    return {"repeat_days": recurrence.marks(fields["repeat"], remind_at), "repeat_until": last and last.isoformat()}


def _time(text: str | None) -> str | None:
    return None if text is None else _certain_time(text)


def _certain_time(text: str) -> str:
    """Postgres leaves trailing zeros away and writes +00:00; the wire has six digits and Z."""
    assert text.endswith("+00:00"), "the session's time zone is not UTC"
    seconds, _, fraction = text[:-6].partition(".")
    return f"{seconds}.{fraction:0<6}Z"
