"""A command and the state that it meets: what the rules of decision share."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from domain import errors, facts
from domain.facts import Change, Command, Conflict, Fact
from domain.fold import DELETED_AT, Entity, Ledger, Mark


class Defaults(Struct, frozen=True):
    """What the server fills in for a user: an ISO 4217 code and an IANA time zone."""

    currency: str
    time_zone: str


@dataclass
class Draft:
    """A fact in the making."""

    changes: list[Change] = field(default_factory=list)
    overwrote: dict[str, Any] = field(default_factory=dict)
    conflict: Conflict | None = None


class Case(Struct, frozen=True):
    """A command, and the ledger at whose head it is decided; `undone`: the fact that it takes back, where that is known."""

    ledger: Ledger
    command: Command
    base_seq: int
    recorded_at: str
    defaults: Defaults
    undone: Fact | None = None

    def existing(self) -> Entity:
        """The aggregate that the command changes. Raises errors.Rejected also where what it `resolves` does not fit."""
        entity = self.ledger.entities.get(self.command.key)
        if entity is None:
            raise errors.UnknownAggregate(f"there is no {self.command.aggregate_type} {self.command.aggregate_id}")
        if self.command.if_match is not None and self.command.if_match != entity.changed_seq:
            raise errors.Stale(entity.changed_seq)
        self._check_settlement()
        return entity

    def _check_settlement(self) -> None:
        if (named := self.command.resolves) is None:
            return
        dispute = self.ledger.conflicts.get(named)
        if dispute is None:
            raise errors.UnknownConflict(f"{named} is no conflict", errors=pointing_to("resolves"))
        if dispute.key != self.command.key:
            raise errors.WrongAggregate(
                "that conflict is about something else", errors=pointing_to("resolves", "of another aggregate")
            )
        if dispute.resolved_by is not None:
            raise errors.AlreadyResolved(
                f"{dispute.resolved_by} has settled it", errors=pointing_to("resolves", "settled already")
            )

    def moved(self, mark: Mark) -> bool:
        """Whether another device made this mark after what the commanding device had seen."""
        seq, device = mark
        return seq > self.base_seq and (device is None or device != self.command.device_id)

    def collides(self, mark: Mark) -> bool:
        """The same, but a mark does not count that the conflict which the command settles has shown to the user."""
        settled = self.ledger.conflicts.get(self.command.resolves or "")
        return self.moved(mark) and (settled is None or mark[0] > settled.with_seq)


def live(ledger: Ledger, aggregate_type: facts.AggregateType) -> list[Entity]:
    """The entities of a type that are not deleted."""
    return [other for other in ledger.entities.values() if other.aggregate_type == aggregate_type and other.live]


def live_repayments(ledger: Ledger, transaction_ids: Collection[str]) -> list[Entity]:
    """The live transactions that repay one of these, in the order of their ids."""
    found = (other for other in live(ledger, "transaction") if other.fields["repays"] in transaction_ids)
    return sorted(found, key=lambda other: other.id)


def restored(entity: Entity) -> Change:
    """What makes a deleted entity live again."""
    return Change(*entity.key, "restore", {DELETED_AT: (entity.deleted_at, None)})


def pointing_to(name: str, detail: str = "unknown") -> tuple[errors.FieldError, ...]:
    """The error of one member of the command: by default, that it names something which is not there."""
    return (errors.FieldError(f"/{name}", detail),)
