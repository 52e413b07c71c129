"""The rules of decision: from a ledger and a command to a fact. Pure, and the same for every way a command comes in."""

import datetime
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import UNSET

from domain import checks, errors, facts, ids, zones
from domain.balance_range import check_range
from domain.case import Case, Defaults, Draft, live, live_repayments, pointing_to, restored
from domain.facts import Change, Command, Conflict, Fact
from domain.fold import DELETED_AT, Entity, Ledger, Mark, Step, fold
from domain.undo import undo


def decide(
    ledger: Ledger,
    command: Command,
    *,
    recorded_at: str,
    defaults: Defaults,
    salt: Callable[[], str],
    undone: Fact | None = None,
) -> tuple[Fact, Step]:
    """The fact that `command` becomes at the head of `ledger`, and what it does; `ledger` stays as it is.

    `recorded_at` is RFC 3339 in UTC, `salt` makes what goes into facts that hold a phone number or an address, `undone` is the
    fact that an UNDO names. Raises errors.Rejected. The rules in words: docs/events.md.
    """
    base_seq = ledger.version if command.base_seq is None else command.base_seq
    draft = _RULES[command.event_type](Case(ledger, command, base_seq, recorded_at, defaults, undone))
    _check_size(len(draft.changes))
    fact = Fact(
        seq=ledger.version + 1,
        id=command.id,
        aggregate_type=command.aggregate_type,
        aggregate_id=command.aggregate_id,
        event_type=command.event_type,
        event_data=command.event_data,
        base_seq=base_seq,
        timestamp=command.timestamp or recorded_at,
        device_id=command.device_id or UNSET,
        recorded_at=recorded_at,
        status="conflict" if draft.conflict else "accepted",
        changes=draft.changes,
        overwrote=draft.overwrote or UNSET,
        conflict=draft.conflict or UNSET,
        salt=salt() if checks.is_private(command.aggregate_type, [command.event_data], draft.changes) else UNSET,
    )
    step = fold(ledger, fact)
    check_range(ledger, step)
    return fact, step


def _check_size(changes: int) -> None:
    if changes > facts.MAX_CHANGES:
        raise errors.HasDependants(f"more than {facts.MAX_CHANGES} changes would follow: do a part of it before")


def _create(case: Case) -> Draft:
    command = case.command
    if command.key in case.ledger.entities:
        raise errors.AlreadyExists(f"{command.aggregate_type} {command.aggregate_id} exists")
    values = _with_defaults(case, facts.plain(command.payload))
    checks.check_whole(command.aggregate_type, dict.fromkeys(facts.FIELDS[command.aggregate_type]) | values)
    created = Change(*command.key, "create", {name: (None, value) for name, value in values.items() if value is not None})
    return Draft([created, *_references(case, values)])


def _with_defaults(case: Case, values: dict[str, Any]) -> dict[str, Any]:
    match case.command.aggregate_type:
        case "transaction":
            if values.setdefault("type", "money") == "money":
                values.setdefault("currency", case.defaults.currency)
            else:
                values.setdefault("amount", 1)
            if "transaction_date" not in values:
                values["transaction_date"] = today(case.recorded_at, case.defaults.time_zone).isoformat()
        case "reminder":
            values.setdefault("time_zone", case.defaults.time_zone)
            values.setdefault("channels", ["email", "push"])
    return values


def _update(case: Case) -> Draft:
    entity = case.existing()
    patch = facts.plain(case.command.payload)
    if not entity.live and patch:
        _check_offered(case, entity, patch)
        assert entity.deleted_seq is not None
        kept = {DELETED_AT: entity.deleted_at}
        return Draft(conflict=Conflict("edit_of_deleted", kept, patch, entity.deleted_seq))
    draft = Draft()
    applied: dict[str, Any] = {}
    for group, offered in _by_group(entity, patch).items():
        if all(entity.fields[name] == value for name, value in offered.items()):
            continue
        mark, known = entity.mark(group), {name: entity.fields[name] for name in offered}
        if group in facts.GROUP_FIELDS and case.collides(mark):
            _check_offered(case, entity, offered)
            draft.conflict = Conflict("edit", known, offered, mark[0])
            continue
        applied |= offered
        if group not in facts.GROUP_FIELDS and case.moved(mark):
            draft.overwrote |= known
    changed = {name: (entity.fields[name], value) for name, value in applied.items() if entity.fields[name] != value}
    if changed:
        checks.check_whole(entity.aggregate_type, entity.fields | applied)
        new = {name: value for name, (_, value) in changed.items()}
        draft.changes = [Change(*entity.key, "update", changed), *_references(case, new)]
    return draft


def _check_offered(case: Case, entity: Entity, offered: dict[str, Any]) -> None:
    """A conflict keeps `offered` for the user to choose later, so it has to be something that can be chosen."""
    checks.check_offered(entity.aggregate_type, entity.fields | offered, offered)
    _check_named(case, offered)


def _by_group(entity: Entity, patch: dict[str, Any]) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for name, value in patch.items():
        groups.setdefault(facts.group(entity.aggregate_type, name), {})[name] = value
    return groups


def _references(case: Case, values: dict[str, Any]) -> list[Change]:
    """Check what new values point to; a deleted contact that comes to be needed is restored, alone."""
    _check_named(case, values)
    if (repaid := values.get("repays")) is not None:
        _check_repayable(case, repaid)
    contact = case.ledger.entities.get(("contact", values.get("contact_id") or ""))
    return [] if contact is None or contact.live else [restored(contact)]


def _check_named(case: Case, values: dict[str, Any]) -> None:
    """Raises errors.UnknownAggregate, UnknownContact."""
    entities = case.ledger.entities
    for name in ("repays", "transaction_id"):
        if (named := values.get(name)) is not None and ("transaction", named) not in entities:
            raise errors.UnknownAggregate(f"there is no transaction {named}", errors=pointing_to(name))
    if (contact_id := values.get("contact_id")) is not None and ("contact", contact_id) not in entities:
        raise errors.UnknownContact(f"there is no contact {contact_id}", errors=pointing_to("contact_id"))


def _check_repayable(case: Case, repaid: str) -> None:
    debt = case.ledger.entities["transaction", repaid]
    if debt.fields["type"] != "money" or debt.fields["repays"] is not None or debt.key == case.command.key:
        raise errors.RepaysMismatch("a repayment names a debt of money that is no repayment itself")
    if live_repayments(case.ledger, {case.command.aggregate_id}):
        raise errors.RepaysMismatch("this transaction is repaid by others, so it cannot be a repayment")


def _delete(case: Case) -> Draft:
    entity = case.existing()
    if not entity.live:
        return Draft()
    doomed = list(_taken_along(case.ledger, entity))
    _check_size(1 + len(doomed))  # beyond it not all are loaded (storage.loading): a conflict would name only some
    conflict = _delete_conflict(case, entity, doomed)
    if conflict is not None:
        return Draft(conflict=conflict)
    gone = {entity.key, *(other.key for other in doomed)}
    deletions = [
        Change(*other.key, "delete", {DELETED_AT: (None, case.recorded_at)})
        for other in (entity, *sorted(doomed, key=lambda other: (other.aggregate_type != "transaction", other.id)))
    ]
    unlinked = [
        Change(*other.key, "update", {"repays": (other.fields["repays"], None)})
        for other in live_repayments(case.ledger, {key[1] for key in gone})
        if other.key not in gone
    ]
    return Draft(deletions + unlinked)


def _taken_along(ledger: Ledger, entity: Entity) -> Iterator[Entity]:
    """The live entities that go with `entity`: a contact's transactions and reminders, a transaction's reminders."""
    of_contact = entity.id if entity.aggregate_type == "contact" else None
    transactions = {entity.id} if entity.aggregate_type == "transaction" else set()
    for other in live(ledger, "transaction"):
        if of_contact is not None and other.fields["contact_id"] == of_contact:
            transactions.add(other.id)
            yield other
    for other in live(ledger, "reminder"):
        of_it = of_contact is not None and other.fields["contact_id"] == of_contact
        if of_it or other.fields["transaction_id"] in transactions:
            yield other


def _delete_conflict(case: Case, entity: Entity, doomed: list[Entity]) -> Conflict | None:
    offered = {DELETED_AT: case.recorded_at}
    if entity.aggregate_type == "transaction" and case.collides(mark := entity.mark("MONEY")):
        return Conflict("delete_vs_edit", {name: entity.fields[name] for name in facts.MONEY}, offered, mark[0])
    if entity.aggregate_type != "contact":
        return None
    newer = {other.id: max(marks) for other in doomed if (marks := [mark[0] for mark in _births(other) if case.collides(mark)])}
    if not newer:
        return None
    return Conflict("delete_vs_new", {"ids": sorted(newer)}, offered, max(newer.values()))


def _births(entity: Entity) -> list[Mark]:
    """The marks of what would be lost with `entity`: its creation, its restoration, its money."""
    money_mark = [entity.mark("MONEY")] if entity.aggregate_type == "transaction" else []
    return [(entity.created_seq, entity.created_device), entity.mark(DELETED_AT), *money_mark]


def _restore(case: Case) -> Draft:
    entity = case.existing()
    if entity.live:
        return Draft()
    removed = sorted(
        (other for other in case.ledger.entities.values() if other.deleted_seq == entity.deleted_seq and other is not entity),
        key=lambda other: other.key,
    )
    back = {other.key: other for other in (entity, *removed)}
    for other in tuple(back.values()):
        contact = case.ledger.entities.get(("contact", other.fields.get("contact_id") or ""))
        if contact is not None and not contact.live:
            back.setdefault(contact.key, contact)
    return Draft([restored(other) for other in back.values()])


_RULES = {"CREATED": _create, "UPDATED": _update, "DELETED": _delete, "RESTORED": _restore, "UNDO": undo}


def references(command: Command) -> list[facts.Key]:
    """The aggregates that `command` names besides its own."""
    named: list[facts.Key] = []
    for name, aggregate_type in facts.REFERENCES:
        value = getattr(command.payload, name, UNSET)
        if value is not UNSET and value is not None:
            named.append((aggregate_type, ids.text(value)))
    return named


def today(recorded_at: str, time_zone: str) -> datetime.date:
    """The date in `time_zone` at an RFC 3339 moment; in UTC where the zone is no longer known."""
    return facts.parse_time(recorded_at).astimezone(zones.zone(time_zone)).date()
