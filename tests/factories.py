"""Commands as devices send them: by name, and at random from a seed."""

import random
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

from domain import facts
from domain.case import Defaults
from domain.facts import AggregateType, Command, EventType
from domain.sequence import Outcome

DEFAULTS = Defaults("EUR", "Europe/Berlin")


def command(
    kind: AggregateType,
    event_type: EventType,
    aggregate_id: str,
    data: dict[str, Any] | None = None,
    *,
    event_id: str | None = None,
    base_seq: int | None = None,
    device_id: str | None = None,
) -> Command:
    """A decoded command; `base_seq` None is the head."""
    members = data or {}
    return Command(
        id=event_id or str(uuid.uuid4()),
        aggregate_type=kind,
        aggregate_id=aggregate_id,
        event_type=event_type,
        payload=msgspec.convert(members, facts.PAYLOADS[kind, event_type]),
        event_data=members,
        fingerprinted=[kind, aggregate_id, event_type, members],
        base_seq=base_seq,
        timestamp="2026-11-22T21:00:00+01:00",
        device_id=device_id,
    )


def contact(contact_id: str, **members: Any) -> Command:
    """A new contact."""
    return command("contact", "CREATED", contact_id, {"name": "Ana", **members})


def lent(transaction_id: str, contact_id: str, amount: int, **members: Any) -> Command:
    """Money lent, in EUR unless said otherwise."""
    data = {"contact_id": contact_id, "direction": "lent", "amount": amount, "currency": "EUR", **members}
    return command("transaction", "CREATED", transaction_id, data)


class Chaos:
    """An endless source of commands that often fit the ledger and sometimes do not: few ids, so that they meet.

    Whoever tells it the outcomes (`hear`) gets more that fit.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # a seed is what makes a failure repeatable
        self.ids = {
            kind: [self._id() for _ in range(count)] for kind, count in (("contact", 4), ("transaction", 8), ("reminder", 4))
        }
        self.devices = [self._id() for _ in range(3)]
        self.sent: dict[str, Command] = {}
        self.taken: list[Command] = []
        self.conflicts: list[Command] = []

    def hear(self, outcomes: Iterable[Outcome]) -> None:
        """Learn what became of commands."""
        for outcome in outcomes:
            if outcome.status in ("accepted", "conflict"):
                self.taken.append(self.sent[outcome.id])
            if outcome.status == "conflict":
                self.conflicts.append(self.sent[outcome.id])

    def hear_of(self, items: Iterable[Command], outcomes: Iterable[Outcome]) -> None:
        """The same of commands that were sent under other ids."""
        self.sent |= {item.id: item for item in items}
        self.hear(outcomes)

    def fresh_id(self) -> str:
        """An id that no command has."""
        return self._id()

    def next(self, version: int) -> Command:
        """One more command, of a device that had seen anything up to `version`; sometimes an old one again."""
        dice = self.random.random()
        if dice < 0.1 and self.sent:
            return self.random.choice(list(self.sent.values()))
        if dice < 0.22 and self.taken:
            return self._undo(version)
        if dice < 0.34 and self.conflicts:
            return self._settle(version)
        there = {command.key for command in self.taken}
        kind = self._any("contact", "transaction", "transaction", "transaction", "reminder")
        known = [one for one in self.ids[kind] if (kind, one) in there]
        if not known or self.random.random() < 0.3:
            new = [one for one in self.ids[kind] if one not in known] if self.random.random() < 0.9 else self.ids[kind]
            return self._send(kind, "CREATED", self.random.choice(new or known), self._data(kind, "CREATED"), version)
        event_type = self._any("UPDATED", "UPDATED", "UPDATED", "DELETED", "RESTORED")
        aggregate_id = self.random.choice(known) if self.random.random() < 0.95 else self._one(kind)
        return self._send(kind, event_type, aggregate_id, self._data(kind, event_type), version)

    def _undo(self, version: int) -> Command:
        """Undo something, mostly something recent and by its right aggregate."""
        earlier = self.random.choice(self.taken[-5:] if self.random.random() < 0.7 else self.taken)
        kind, aggregate_id = earlier.key if self.random.random() < 0.95 else ("contact", self._one("contact"))
        event_id = earlier.id if self.random.random() < 0.95 else self._id()
        return self._send(kind, "UNDO", aggregate_id, {"undone_event_id": event_id}, version)

    def _settle(self, version: int) -> Command:
        """Settle a conflict one way or the other; sometimes what is none."""
        earlier = self.random.choice(self.conflicts if self.random.random() < 0.95 else self.taken)
        kind, aggregate_id = earlier.key
        event_type = self._any("UPDATED", "DELETED", "RESTORED")
        data = self._data(kind, event_type) if self.random.random() < 0.7 else {}
        return self._send(kind, event_type, aggregate_id, data | {"resolves": earlier.id}, version)

    def _send(self, kind: AggregateType, event_type: EventType, aggregate_id: str, data: dict[str, Any], version: int) -> Command:
        made = command(
            kind,
            event_type,
            aggregate_id,
            data,
            event_id=self._id(),
            base_seq=self.random.randint(max(0, version - 6), version),
            device_id=self.random.choice(self.devices),
        )
        self.sent[made.id] = made
        return made

    def _data(self, kind: str, event_type: str) -> dict[str, Any]:
        if event_type in ("DELETED", "RESTORED"):
            return {}
        members = getattr(self, f"_{kind}")()
        if event_type == "CREATED":
            return members  # type: ignore[no-any-return]
        return {name: value for name, value in members.items() if self.random.random() < 0.5}

    def _contact(self) -> dict[str, Any]:
        return {
            "name": self._any("Ana", "Bo", "Cy"),
            "notes": self._any(None, "met at work"),
            "phone": self._any(None, "+34 600"),
        }

    def _transaction(self) -> dict[str, Any]:
        common = {"contact_id": self._one("contact"), "direction": self._any("lent", "owed")}
        dates = {"transaction_date": f"2026-11-{self.random.randint(10, 28)}", "due_date": self._any(None, "2026-12-01")}
        if self.random.random() < 0.2:
            thing = {"type": "item", "item": "drill", "amount": self.random.randint(1, 3), "currency": None}
            return common | dates | thing | {"returned_at": self._any(None, "2026-11-20T10:00:00Z")}
        amount = self.random.randint(1, 1_000)
        repays = self._any(None, None, self._one("transaction"))
        return (
            common
            | dates
            | {"type": "money", "amount": amount, "currency": self._any("EUR", "JPY"), "item": None, "repays": repays}
        )

    def _reminder(self) -> dict[str, Any]:
        about = {"contact_id": self._any(None, self._one("contact")), "transaction_id": self._any(None, self._one("transaction"))}
        return about | {"remind_at": "2026-12-01T09:00:00+01:00", "message": self._any(None, "call"), "channels": ["email"]}

    def _one(self, kind: str) -> str:
        return self.random.choice(self.ids[kind])

    def _any(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def _id(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))
