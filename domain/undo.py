"""UNDO: what an event did is done backwards, as a new event. History is never filtered."""

from collections.abc import Iterator

from domain import checks, errors, facts
from domain.case import Case, Draft, live, live_repayments, restored
from domain.facts import Change, Fact
from domain.fold import DELETED_AT, Entity

_BACKWARDS: dict[str, facts.Operation] = {"create": "delete", "update": "update", "delete": "restore", "restore": "delete"}


def undo(case: Case) -> Draft:
    """The changes of the undone fact with each pair swapped; of a create: its deletion.

    The outcome is the state before the fact, exactly, unless something that came later needs its contact: that stays.
    """
    fact = _undoable(case)
    after = {change.key: _swapped(case, change) for change in fact.changes}
    changes = [change for change in after.values() if not _still_needed(case, change, after)]
    for change in changes:
        if checks.problems(change.aggregate_type, _fields(case, change)):
            raise errors.UndoSuperseded("what it was before does not fit to what came later")
    return Draft([*changes, *_contacts_needed(case, changes)])


def _undoable(case: Case) -> Fact:
    fact, command = case.undone, case.command
    if fact is None:
        raise errors.UnknownEvent(f"there is no event {command.undoes}")
    if fact.key != command.key:
        raise errors.WrongAggregate(f"the event is about {fact.aggregate_type} {fact.aggregate_id}")
    if fact.event_type == "UNDO":
        raise errors.UndoOfUndo("an UNDO is not undone: say what you want anew")
    if fact.id in case.ledger.undone:
        raise errors.AlreadyUndone("the event has been undone before")
    if _superseded(case, fact):
        raise errors.UndoSuperseded("something that came later changed the same, or deleted it")
    if fact.event_type == "CREATED" and any(_dependants(case, fact)):
        raise errors.HasDependants("what the event created is in use")
    return fact


def _superseded(case: Case, fact: Fact) -> bool:
    """Whether a later fact touched the same groups or deleted the aggregate: marks say who changed a group last."""
    if case.existing().mark(DELETED_AT)[0] > fact.seq:
        return True
    for change in fact.changes:
        entity = case.ledger.entities[change.key]
        if change.op == "create":  # it touched every group, also those that it left empty
            if entity.changed_seq != fact.seq:
                return True
        elif any(entity.mark(facts.group(change.aggregate_type, name))[0] != fact.seq for name in change.fields):
            return True
    return False


def _dependants(case: Case, fact: Fact) -> Iterator[Entity]:
    """What is live and hangs on the aggregate: on a contact transactions and reminders, on a debt reminders and repayments."""
    member = f"{fact.aggregate_type}_id"
    for kind in ("transaction", "reminder"):
        yield from (other for other in live(case.ledger, kind) if other.fields.get(member) == fact.aggregate_id)
    yield from live_repayments(case.ledger, {fact.aggregate_id})


def _swapped(case: Case, change: Change) -> Change:
    if change.op == "create":
        return Change(*change.key, "delete", {DELETED_AT: (None, case.recorded_at)})
    pairs = {name: (after, before) for name, (before, after) in change.fields.items()}
    return Change(*change.key, _BACKWARDS[change.op], pairs)


def _still_needed(case: Case, change: Change, after: dict[facts.Key, Change]) -> bool:
    """Whether it would delete a contact on which something else stays live."""
    if change.op != "delete" or change.aggregate_type != "contact":
        return False
    return any(
        _is_live(other, after.get(other.key)) and _value(other, after.get(other.key), "contact_id") == change.aggregate_id
        for other in case.ledger.entities.values()
        if other.aggregate_type != "contact"
    )


def _contacts_needed(case: Case, changes: list[Change]) -> Iterator[Change]:
    """A live transaction's or reminder's contact is live: those that would not be are restored, alone."""
    after = {change.key: change for change in changes}
    needed: dict[str, None] = {}
    for change in changes:
        entity = case.ledger.entities[change.key]
        if change.aggregate_type != "contact" and _is_live(entity, change):
            needed[_value(entity, change, "contact_id") or ""] = None
    for contact_id in needed:
        contact = case.ledger.entities.get(("contact", contact_id))
        if contact is not None and not _is_live(contact, after.get(contact.key)):
            yield restored(contact)


def _fields(case: Case, change: Change) -> dict[str, object]:
    entity = case.ledger.entities[change.key]
    return entity.fields | {name: pair[1] for name, pair in change.fields.items() if name != DELETED_AT}


def _is_live(entity: Entity, change: Change | None) -> bool:
    return entity.live if change is None or change.op == "update" else change.op == "restore"


def _value(entity: Entity, change: Change | None, name: str) -> str | None:
    value: str | None = entity.fields[name]
    return change.fields[name][1] if change is not None and name in change.fields else value
