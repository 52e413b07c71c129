"""Somebody who uses a device: does at random what fits what the device shows, settles conflicts, undoes, gives up on refusals."""

import random
from typing import Any

from client import Device
from client.facts import Fields, Key

NAMES, WORDS = (
    ("Ana", "Björn", "Chloé", "Дмитрий"),
    ("lunch", "rent", "a tent", 'with "quotes" \\ and \n breaks', "\u2028 \x7f 😀"),
)


class User:
    """Acts by its own dice."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def act(self, device: Device) -> None:
        """One thing."""
        shown = device.shown()
        if not shown or self._dice.random() < 0.3:
            self._create(device, shown)
            return
        attention = device.attention()
        if attention.conflicts and self._dice.random() < 0.3:
            self._settle(device, self._dice.choice(attention.conflicts))
            return
        self._change(device, shown)

    def _create(self, device: Device, shown: dict[Key, Fields]) -> None:
        contacts = [key[1] for key in shown if key[0] == "contact"]
        if not contacts or self._dice.random() < 0.3:
            device.create("contact", self._contact())
        elif self._dice.random() < 0.75:
            debts = [key[1] for key in shown if key[0] == "transaction"]
            device.create("transaction", self._transaction(contacts, debts))
        else:
            device.create("reminder", self._reminder(contacts))

    def _change(self, device: Device, shown: dict[Key, Fields]) -> None:
        kind, entity_id = self._dice.choice(sorted(shown))
        match self._dice.choices(["update", "delete", "restore", "undo"], [60, 15, 10, 15])[0]:
            case "update":
                device.update(kind, entity_id, self._patch(kind, shown))
            case "delete":
                device.delete(kind, entity_id)
            case "restore":
                deleted = [key for key, fields in device.state().items() if "deleted_at" in fields]
                if deleted:
                    device.restore(*self._dice.choice(sorted(deleted)))
            case "undo":
                facts = [fact for fact in device.log() if fact["event_type"] != "UNDO"][-6:]
                if facts:
                    device.undo(self._dice.choice(facts)["id"])

    def _patch(self, kind: str, shown: dict[Key, Fields]) -> dict[str, Any]:
        contacts = [key[1] for key in shown if key[0] == "contact"]
        match kind:
            case "transaction" if contacts:
                members = self._transaction(contacts, [])
            case "reminder":
                members = self._reminder(contacts)
            case _:
                members = self._contact() if kind == "contact" else {"description": self._any(*WORDS)}
        return {name: value for name, value in members.items() if self._dice.random() < 0.4}

    def _settle(self, device: Device, fact: dict[str, Any]) -> None:
        kind, entity_id, event_id = fact["aggregate_type"], fact["aggregate_id"], fact["id"]
        deleted = "deleted_at" in (device.get(kind, entity_id) or {})
        match fact["conflict"]["kind"]:
            case "edit" if not deleted and self._dice.random() < 0.5:
                device.update(kind, entity_id, fact["conflict"]["offered"], resolves=event_id)
            case "delete_vs_edit" | "delete_vs_new" if self._dice.random() < 0.5:
                device.delete(kind, entity_id, resolves=event_id)
            case "edit_of_deleted" if self._dice.random() < 0.5:
                device.restore(kind, entity_id, resolves=event_id)
            case _:
                device.update(kind, entity_id, {}, resolves=event_id)

    def _contact(self) -> dict[str, Any]:
        return {"name": self._any(*NAMES), "notes": self._any(None, *WORDS), "phone": self._any(None, "+34 600")}

    def _transaction(self, contacts: list[str], debts: list[str]) -> dict[str, Any]:
        members = {
            "contact_id": self._any(*contacts),
            "direction": self._any("lent", "owed"),
            "description": self._any(None, *WORDS),
            "transaction_date": f"2026-11-{self._dice.randint(10, 28)}",
            "due_date": self._any(None, "2026-12-01"),
        }
        if self._dice.random() < 0.2:
            return members | {"type": "item", "item": self._any(*WORDS), "amount": self._dice.randint(1, 3), "currency": None}
        repays = self._any(None, *debts[:3])
        return members | {
            "type": "money",
            "item": None,
            "amount": self._dice.randint(1, 10**6),
            "currency": self._any("EUR", "JPY"),
            "repays": repays,
        }

    def _reminder(self, contacts: list[str]) -> dict[str, Any]:
        return {
            "contact_id": self._any(None, *contacts),
            "remind_at": f"2026-12-0{self._dice.randint(1, 9)}T09:00:00+01:00",
            "message": self._any(None, *WORDS),
            "channels": self._any(["email"], ["email", "push"]),
        }

    def _any(self, *choices: Any) -> Any:
        return self._dice.choice(choices)
