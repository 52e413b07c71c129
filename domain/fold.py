"""Folding: what a fact's changes make of the state before it. No rules are needed here, only the changes."""

from typing import Any, Self

from msgspec import Struct, structs

from domain import facts, postings

Mark = tuple[int, str | None]
"""The (seq, device) that last changed a group of fields; device None: one that has no name of its own."""

DELETED_AT = "deleted_at"


class Entity(Struct, frozen=True, kw_only=True):
    """A contact, transaction or reminder after some fact; `fields` has every name of facts.FIELDS, null as None."""

    aggregate_type: facts.AggregateType
    id: str
    fields: dict[str, Any]
    created_seq: int
    created_device: str | None
    created_at: str
    changed_seq: int
    updated_at: str
    deleted_seq: int | None = None
    deleted_at: str | None = None
    timed_at: str | None = None
    """When a transaction's due_date, or a reminder's SCHEDULE, last took its value."""
    marks: dict[str, Mark] = {}
    """By group, for what changed after the creation; `deleted_at` is a group too."""

    @property
    def key(self) -> facts.Key:
        """Its place in the ledger."""
        return (self.aggregate_type, self.id)

    @property
    def live(self) -> bool:
        """Whether it is not deleted."""
        return self.deleted_seq is None

    def mark(self, group: str) -> Mark:
        """The (seq, device) that last changed `group`; at first that is the creation."""
        return self.marks.get(group, (self.created_seq, self.created_device))


class Dispute(Struct, frozen=True, kw_only=True):
    """A fact of status `conflict` that waits for the user, or was settled by the event `resolved_by`."""

    event_id: str
    seq: int
    aggregate_type: facts.AggregateType
    aggregate_id: str
    kind: facts.ConflictKind
    with_seq: int
    resolved_by: str | None = None

    @property
    def key(self) -> facts.Key:
        """The aggregate that it is about."""
        return (self.aggregate_type, self.aggregate_id)


class Ledger(Struct):
    """As much of a ledger as some commands need, and its head; changes only by `take`."""

    id: str
    version: int = 0
    hash: bytes | None = None
    turnover: int = 0
    """Sum of |amount| over all postings: a bound of every balance."""
    entities: dict[facts.Key, Entity] = {}
    conflicts: dict[str, Dispute] = {}
    """By event id, settled ones too."""
    undone: set[str] = set()
    """Ids of events that have been undone."""
    balances: dict[tuple[str, str], int] | None = None
    """By (contact, currency); only there when `turnover` no longer proves that no balance leaves its range."""

    def take(self, step: "Step") -> Self:
        """Make what `fold` found the state."""
        self.version = step.seq
        self.entities.update(step.entities)
        self.conflicts.update(step.conflicts)
        if step.undone is not None:
            self.undone.add(step.undone)
        self.turnover += sum(abs(posting.amount) for posting in step.postings)
        if self.balances is not None:
            for posting in step.postings:
                account = (posting.contact_id, posting.currency)
                self.balances[account] = self.balances.get(account, 0) + posting.amount
        return self


class Step(Struct, frozen=True):
    """What one fact does: the entities and conflicts after it, the postings that it makes, the event that it undoes."""

    seq: int
    entities: dict[facts.Key, Entity]
    postings: list[postings.Posting]
    conflicts: dict[str, Dispute]
    undone: str | None


def fold(ledger: Ledger, fact: facts.Fact) -> Step:
    """What `fact` makes of the entities it names; `ledger` stays as it is."""
    entities: dict[facts.Key, Entity] = {}
    lines: list[postings.Posting] = []
    for change in fact.changes:
        before = entities.get(change.key) or ledger.entities.get(change.key)
        after = _after(before, change, fact)
        entities[change.key] = after
        lines += postings.difference(_effect(before), _effect(after))
    return Step(fact.seq, entities, lines, _disputes(ledger, fact), fact.undoes)


def _disputes(ledger: Ledger, fact: facts.Fact) -> dict[str, Dispute]:
    """The conflicts that `fact` opens, settles, or opens again by undoing their settlement."""
    changed = []
    if fact.conflict:
        opened = Dispute(
            event_id=fact.id,
            seq=fact.seq,
            aggregate_type=fact.aggregate_type,
            aggregate_id=fact.aggregate_id,
            kind=fact.conflict.kind,
            with_seq=fact.conflict.with_seq,
        )
        changed.append(opened)
    if fact.settles is not None:
        changed.append(structs.replace(ledger.conflicts[fact.settles], resolved_by=fact.id))
    if fact.undoes is not None:
        settled = [dispute for dispute in ledger.conflicts.values() if dispute.resolved_by == fact.undoes]
        changed += [structs.replace(dispute, resolved_by=None) for dispute in settled]
    return {dispute.event_id: dispute for dispute in changed}


def _after(before: Entity | None, change: facts.Change, fact: facts.Fact) -> Entity:
    values = {name: pair[1] for name, pair in change.fields.items()}
    device = fact.device_id or None
    if before is None:
        return Entity(
            aggregate_type=change.aggregate_type,
            id=change.aggregate_id,
            fields=dict.fromkeys(facts.FIELDS[change.aggregate_type]) | values,
            created_seq=fact.seq,
            created_device=device,
            created_at=fact.recorded_at,
            changed_seq=fact.seq,
            updated_at=fact.recorded_at,
            timed_at=_timed_at(change, values, None, fact.recorded_at),
        )
    moved: Mark = (fact.seq, device)
    deleted_at = values.pop(DELETED_AT, before.deleted_at)
    return structs.replace(
        before,
        fields=before.fields | values,
        changed_seq=fact.seq,
        updated_at=fact.recorded_at,
        deleted_at=deleted_at,
        deleted_seq=None if deleted_at is None else before.deleted_seq or fact.seq,
        timed_at=_timed_at(change, values, before.timed_at, fact.recorded_at),
        marks=before.marks | {facts.group(change.aggregate_type, name): moved for name in change.fields},
    )


def _timed_at(change: facts.Change, values: dict[str, Any], before: str | None, recorded_at: str) -> str | None:
    if change.aggregate_type == "transaction" and "due_date" in values:
        return None if values["due_date"] is None else recorded_at
    if change.aggregate_type == "reminder" and not values.keys().isdisjoint(facts.SCHEDULE):
        return recorded_at
    return before


def _effect(entity: Entity | None) -> postings.Posting | None:
    if entity is None or not entity.live or entity.aggregate_type != "transaction":
        return None
    return postings.effect(entity.id, entity.fields)
