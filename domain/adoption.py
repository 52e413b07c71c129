"""Takes over a fact as it was decided elsewhere: nothing is decided again, but it must fold, and leave a valid state.

Only its times are new: recorded_at is that of the ledger that takes it over, and so is every time that follows from it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, structs

from domain import checks, errors, facts
from domain.balance_range import check_range
from domain.facts import Change, Conflict, Fact
from domain.fold import DELETED_AT, Entity, Ledger, Step, fold

_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Decided(Struct, frozen=True):
    """A fact of an exported log, at `index` of the file."""

    fact: Fact
    index: int

    @property
    def id(self) -> str:
        """Its event id."""
        return self.fact.id

    @property
    def key(self) -> facts.Key:
        """The aggregate that it is about."""
        return self.fact.key

    @property
    def fingerprinted(self) -> dict[str, Any]:
        """What a device that pushes the same command again would send."""
        fact = self.fact
        return {
            "aggregate_type": fact.aggregate_type,
            "aggregate_id": fact.aggregate_id,
            "event_type": fact.event_type,
            "event_data": fact.event_data,
        }


def adopt(ledger: Ledger, fact: Fact, *, recorded_at: str, undone: Fact | None) -> tuple[Fact, Step]:
    """`fact` with new times as the next of `ledger`, and what it does; `undone` is the fact that it undoes.

    Raises errors.Invalid with pointers into the fact, errors.BalanceOutOfRange.
    """
    _check_envelope(ledger, fact)
    _check_settlement(ledger, fact, undone)
    if len(fact.changes) > facts.MAX_CHANGES:
        raise _wrong("/changes", f"more than {facts.MAX_CHANGES}")
    for number, change in enumerate(fact.changes):
        _check_change(ledger, fact, change, f"/changes/{number}")
    if len({change.key for change in fact.changes}) < len(fact.changes):
        raise _wrong("/changes", "an aggregate stands there twice")
    stamped = _stamped(ledger, fact, recorded_at)
    step = fold(ledger, stamped)
    for number, change in enumerate(fact.changes):
        _check_result(ledger, step, change, f"/changes/{number}")
    check_range(ledger, step)
    return stamped, step


def _wrong(pointer: str, detail: str) -> errors.Invalid:
    return errors.Invalid.at(pointer, detail, whole="the fact does not follow from those before")


def _check_envelope(ledger: Ledger, fact: Fact) -> None:
    if fact.seq != ledger.version + 1:
        raise _wrong("/seq", f"{ledger.version + 1} comes here")
    if not 0 <= fact.base_seq < fact.seq:
        raise _wrong("/base_seq", "lies beyond what was there")
    for name in ("id", "aggregate_id", "device_id"):
        if (value := getattr(fact, name)) is not UNSET and not is_id(value):
            raise _wrong(f"/{name}", "not a UUID in lower case")
    for name in ("timestamp", "recorded_at"):
        _check_type(facts.Moment, getattr(fact, name), f"/{name}")
        facts.check_time(getattr(fact, name), f"/{name}")
    _check_type(facts.PAYLOADS[fact.aggregate_type, fact.event_type], fact.event_data, "/event_data")
    if (fact.status == "conflict") != bool(fact.conflict):
        raise _wrong("/conflict", "goes with the status conflict")
    if fact.conflict and not 0 < fact.conflict.with_seq < fact.seq:
        raise _wrong("/conflict/with_seq", "is no seq of before")
    known = {*facts.FIELDS[fact.aggregate_type], DELETED_AT, "ids"}
    said: list[Mapping[str, Any]] = [fact.overwrote or {}]
    said += [fact.conflict.kept, fact.conflict.offered] if fact.conflict else []
    if not all(one.keys() <= known for one in said):
        raise _wrong("/conflict" if fact.conflict else "/overwrote", "names something that is no field")
    if fact.salt is UNSET:
        if checks.is_private(fact.aggregate_type, [fact.event_data, *said], fact.changes):
            raise _wrong("/salt", "is missing: the fact holds a contact's phone or e-mail")
    elif not (len(fact.salt) == 32 and all(sign in "0123456789abcdef" for sign in fact.salt)):
        raise _wrong("/salt", "not 32 hex digits")


def _check_settlement(ledger: Ledger, fact: Fact, undone: Fact | None) -> None:
    if fact.settles is not None:
        dispute = ledger.conflicts.get(fact.settles)
        if dispute is None or dispute.key != fact.key or dispute.resolved_by is not None:
            raise _wrong("/event_data/resolves", "is no open conflict of this aggregate")
    if fact.event_type == "UNDO" and (undone is None or undone.key != fact.key or fact.undoes in ledger.undone):
        raise _wrong("/event_data/undone_event_id", "is no event of this aggregate that can be undone")


def _check_change(ledger: Ledger, fact: Fact, change: Change, pointer: str) -> None:
    entity = ledger.entities.get(change.key)
    if not is_id(change.aggregate_id):
        raise _wrong(f"{pointer}/aggregate_id", "not a UUID in lower case")
    if (entity is None) != (change.op == "create"):
        raise _wrong(f"{pointer}/op", "there is no such thing" if entity is None else "it is there already")
    fields = {name: pair for name, pair in change.fields.items() if name != DELETED_AT}
    if not change.fields or fields.keys() - set(facts.FIELDS[change.aggregate_type]):
        raise _wrong(f"{pointer}/fields", "names something that is no field")
    _check_deletion(entity, change, pointer)
    for name, (before, _) in fields.items():
        if before != (None if entity is None else entity.fields[name]):
            raise _wrong(f"{pointer}/fields/{name}/0", "was not this before")
    after = {name: pair[1] for name, pair in fields.items()}
    if change.op == "create" and None in after.values():
        raise _wrong(f"{pointer}/fields", "a create leaves out what is null")
    shape = facts.PAYLOADS[change.aggregate_type, "CREATED" if change.op == "create" else "UPDATED"]
    if facts.plain(_check_type(shape, after, f"{pointer}/fields")) != after:
        raise _wrong(f"{pointer}/fields", "times are not written as the log writes them")


def _check_deletion(entity: Entity | None, change: Change, pointer: str) -> None:
    """A delete sets deleted_at and nothing else, a restore clears it, and other changes leave it alone."""
    pair = change.fields.get(DELETED_AT)
    if (pair is not None) != (change.op in ("delete", "restore")) or (pair is not None and len(change.fields) > 1):
        raise _wrong(f"{pointer}/fields", f"not those of a {change.op}")
    if pair is None or entity is None:
        return
    set_to, was = (pair[1], pair[0]) if change.op == "delete" else (pair[0], pair[1])
    _check_type(facts.Moment, set_to, f"{pointer}/fields/{DELETED_AT}")
    if was is not None or entity.live != (change.op == "delete"):
        raise _wrong(f"{pointer}/fields/{DELETED_AT}", "was not this before")


def _stamped(ledger: Ledger, fact: Fact, recorded_at: str) -> Fact:
    """`fact` with every time in it that is the recorded_at of some fact replaced."""
    conflict = fact.conflict
    if conflict:
        kept, offered = _restamped(conflict.kept, recorded_at), _restamped(conflict.offered, recorded_at)
        conflict = Conflict(conflict.kind, kept, offered, conflict.with_seq)
    changes = []
    for change in fact.changes:
        fields = dict(change.fields)
        if DELETED_AT in fields:
            entity = ledger.entities[change.key]
            fields[DELETED_AT] = (None, recorded_at) if change.op == "delete" else (entity.deleted_at, None)
        changes.append(structs.replace(change, fields=fields))
    return structs.replace(
        fact,
        recorded_at=recorded_at,
        timestamp=recorded_at if fact.timestamp == fact.recorded_at else fact.timestamp,
        changes=changes,
        conflict=conflict,
    )


def _restamped(values: dict[str, Any], recorded_at: str) -> dict[str, Any]:
    return values | ({DELETED_AT: recorded_at} if values.get(DELETED_AT) is not None else {})


def _check_result(ledger: Ledger, step: Step, change: Change, pointer: str) -> None:
    """Beside its contact only what `change` names is loaded, so that only this can be required to exist."""
    entity = step.entities[change.key]
    for problem in checks.problems(entity.aggregate_type, entity.fields):
        raise _wrong(f"{pointer}/fields{problem.pointer}", problem.detail)
    for name, kind in facts.REFERENCES:
        named = entity.fields.get(name)
        other = None if named is None else _after(ledger, step, (kind, named))
        if named is not None and other is None and name in change.fields:
            raise _wrong(f"{pointer}/fields/{name}", "there is no such thing")
        if name == "contact_id" and other is not None and entity.live and not other.live:
            raise _wrong(f"{pointer}/fields/{name}", "the contact of something live is live")
    if entity.aggregate_type == "contact" and not entity.live and any(_hanging_on(ledger, step, entity)):
        raise _wrong(f"{pointer}/op", "something live needs this contact")


def _after(ledger: Ledger, step: Step, key: facts.Key) -> Entity | None:
    return step.entities.get(key) or ledger.entities.get(key)


def _hanging_on(ledger: Ledger, step: Step, contact: Entity) -> Iterator[Entity]:
    for key in ledger.entities.keys() | step.entities.keys():
        other = _after(ledger, step, key)
        if other is not None and other.live and other.fields.get("contact_id") == contact.id:
            yield other


def is_id(value: Any) -> bool:
    """Whether `value` is a UUID as the log writes it."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _check_type(shape: Any, value: Any, pointer: str) -> Any:
    try:
        return msgspec.convert(value, shape)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _wrong(pointer, str(error).replace("\x00", "\ufffd")) from error
