"""A ledger that is told what devices do, for tests of the rules."""

import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest

from domain import facts
from domain.fold import Entity, Ledger
from domain.sequence import Book, Outcome, take
from tests.factories import DEFAULTS, command

A, B = "0199f0a0-0000-7000-8000-00000000000a", "0199f0a0-0000-7000-8000-00000000000b"
REFERENCES = {"contact_id", "transaction_id", "repays", "resolves", "undone_event_id"}


@dataclass
class Story:
    """A ledger that is told what devices do; names stand for ids."""

    book: Book = field(default_factory=lambda: Book(Ledger("l"), bytes(32), "2026-11-22T20:00:00.000001Z"))
    ids: dict[str, str] = field(default_factory=dict)

    def id(self, name: str) -> str:
        return self.ids.setdefault(name, str(uuid.UUID(int=0xABC0 + len(self.ids), version=4)))

    @property
    def version(self) -> int:
        return self.book.ledger.version

    def make(
        self, device: str | None, what: str, name: str, /, base: int | None = None, event: str = "", **data: Any
    ) -> facts.Command:
        """`what` is "contact CREATED"; members that hold an id may have a name that is known."""
        kind, event_type = what.split()
        members = {key: self.ids.get(value, value) if key in REFERENCES else value for key, value in data.items()}
        return command(
            kind,  # type: ignore[arg-type]
            event_type,  # type: ignore[arg-type]
            self.id(name),
            members,
            event_id=self.id(event) if event else None,
            base_seq=self.version if base is None else base,
            device_id=device,
        )

    def push(self, *commands: facts.Command | facts.Unreadable) -> list[Outcome]:
        return take(self.book, commands, defaults=DEFAULTS)

    def does(self, device: str | None, what: str, name: str, /, base: int | None = None, event: str = "", **data: Any) -> Outcome:
        [outcome] = self.push(self.make(device, what, name, base, event, **data))
        return outcome

    def fact(self) -> facts.Fact:
        return self.book.steps[-1][0]

    def entity(self, kind: facts.AggregateType, name: str) -> Entity:
        return self.book.ledger.entities[kind, self.ids[name]]

    def live(self, kind: facts.AggregateType, name: str) -> bool:
        return self.entity(kind, name).live

    def balance(self) -> int:
        return sum(posting.amount for _, step in self.book.steps for posting in step.postings)


@pytest.fixture
def story() -> Story:
    """Ana (seq 1) owes 1000 for lunch (seq 2), and there is a reminder of it (seq 3); all by device A."""
    told = Story()
    told.does(A, "contact CREATED", "ana", name="Ana")
    told.does(A, "transaction CREATED", "lunch", event="lent", contact_id="ana", direction="lent", amount=1000, currency="EUR")
    told.does(A, "reminder CREATED", "call", remind_at="2026-12-01T09:00:00Z", transaction_id="lunch")
    return told
