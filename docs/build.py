"""Writes the parts of the documents that follow from code: `python docs/build.py`; with --check it only says what differs.

A part stands between `<!-- begin: name -->` and `<!-- end -->`; everything outside is written by people.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from domain import chain, facts, sequence
from domain.case import Defaults
from domain.facts import Command
from domain.fold import Ledger

DOCS = Path(__file__).parent
EXAMPLE_LOG = DOCS / "example-log.jsonl"
_PART = re.compile(r"(<!-- begin: (?P<name>[^>]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_DEFAULTS = Defaults("EUR", "Europe/Berlin")
_KEY = bytes(range(32))
"""The data key of the example ledger: its salts and fingerprints are the same each time."""


def main(arguments: list[str]) -> int:
    """0 where everything is up to date (or was written), 1 where --check found a difference."""
    wrong = {path: text for path, text in built().items() if not path.exists() or path.read_text() != text}
    for path, text in wrong.items():
        if "--check" in arguments:
            print(f"{path.name} does not say what the code does: run python docs/build.py")
        else:
            path.write_text(text)
    return int(bool(wrong) and "--check" in arguments)


def built() -> dict[Path, str]:
    """What the generated files should hold."""
    log = story()
    parts = {f"fields {kind} {what}": _fields(shape) for (kind, what), shape in facts.PAYLOADS.items()}
    parts |= {f"fact {fact.seq}": _fact(fact) for fact in log}
    page = DOCS / "events.md"
    text = _PART.sub(lambda found: found[1] + parts[found["name"]] + found[3], page.read_text())
    lines = "".join(f"{chain.canonical(fact).decode()}\n" for fact in log)
    return {page: text, EXAMPLE_LOG: lines}


# --- fields ---------------------------------------------------------------------------------------------------------


def _fields(shape: type[facts.Payload]) -> str:
    schema = msgspec.json.schema(shape)["$defs"][shape.__name__]
    required = schema.get("required", ())
    rows = [
        f"| `{name}` | {_type(member)}{'; required' if name in required else ''} |"
        for name, member in sorted(schema["properties"].items(), key=lambda pair: pair[0] in facts.Settling.__struct_fields__)
    ]
    return "\n".join(["| member | value |", "|---|---|", *rows, ""])


def _type(schema: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        few = schema["enum"] if len(schema["enum"]) < 9 else ["an ISO 4217 code"]
        return ", ".join(f"`{one}`" if one is not few[0] or len(few) > 1 else str(one) for one in few)
    match schema:
        case {"type": "null"}:
            return "`null`"
        case {"type": "integer", "minimum": low, "maximum": high}:
            return f"{low} … {high}"
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"format": found}:
            return {"uuid": "UUID", "date": "date", "date-time": "time"}[found]
        case {"type": "string", "maxLength": most}:
            blank = ", not blank" if schema.get("minLength") else ""
            return f"text, ≤ {most:,} characters{blank}"
    raise AssertionError(f"no words for {schema}")


# --- examples -------------------------------------------------------------------------------------------------------


def _fact(fact: facts.WireFact) -> str:
    members: dict[str, Any] = msgspec.to_builtins(fact)
    changes = ",\n    ".join(json.dumps(change) for change in members["changes"])
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in members.items() if name != "changes"]
    lines.insert(-1, f'  "changes": [\n    {changes}]' if changes else '  "changes": []')
    return "```json\n{\n" + ",\n".join(lines) + "\n}\n```\n"


def story() -> list[facts.WireFact]:
    """The example log: one ledger, two devices A and B, every type of event and every kind of conflict."""
    book = sequence.Book(Ledger("example"), _KEY, "")
    for number, (device, kind, what, name, data, base_seq) in enumerate(_STORY, start=1):
        book.recorded_at = f"2026-11-22T20:{number:02}:00.000000Z"
        command = Command(
            id=_id("e", number),
            aggregate_type=kind,
            aggregate_id=_NAMES[name],
            event_type=what,
            payload=msgspec.convert(data, facts.PAYLOADS[kind, what]),
            event_data=data,
            fingerprinted=data,
            base_seq=number - 1 if base_seq is None else base_seq,
            timestamp=f"2026-11-22T21:{number:02}:00+01:00",
            device_id=_NAMES[device],
        )
        [outcome] = sequence.take(book, [command], defaults=_DEFAULTS)
        assert outcome.status != "rejected", outcome
    known = sorted(book.known.values(), key=lambda one: one.seq)
    return [msgspec.json.decode(one.wire(), type=facts.WireFact) for one in known]


def _id(letter: str, number: int) -> str:
    return f"0199f0a0-0000-7000-8000-0000000{letter}{number:04}"


_NAMES = {
    "A": _id("a", 1),
    "B": _id("a", 2),
    "ana": _id("c", 1),
    "lunch": _id("b", 1),
    "drill": _id("b", 2),
    "part": _id("b", 3),
    "cinema": _id("b", 4),
    "call": _id("d", 1),
}

_Told = tuple[str, facts.AggregateType, facts.EventType, str, dict[str, Any], int | None]
_ANA, _LUNCH = _NAMES["ana"], _NAMES["lunch"]
_LENT = {
    "contact_id": _ANA,
    "direction": "lent",
    "amount": 1250,
    "currency": "EUR",
    "description": "lunch",
    "transaction_date": "2026-11-20",
    "due_date": "2026-12-01",
}
_THING = {"contact_id": _ANA, "direction": "lent", "type": "item", "item": "drill"}
_REPAID = {"contact_id": _ANA, "direction": "owed", "amount": 500, "repays": _LUNCH}
_CALL = {"remind_at": "2026-12-01T18:00:00+01:00", "transaction_id": _LUNCH, "message": "call Ana"}
_STORY: tuple[_Told, ...] = (
    ("A", "contact", "CREATED", "ana", {"name": "Ana", "phone": "+34 600 000 000"}, None),
    ("A", "transaction", "CREATED", "lunch", _LENT, None),
    ("A", "transaction", "CREATED", "drill", _THING, None),
    ("B", "contact", "UPDATED", "ana", {"notes": "from work"}, 3),
    ("A", "contact", "UPDATED", "ana", {"notes": "from the gym"}, 3),
    ("B", "transaction", "UPDATED", "lunch", {"amount": 1300}, 5),
    ("A", "transaction", "UPDATED", "lunch", {"amount": 1100, "description": "lunch and coffee"}, 5),
    ("A", "transaction", "UPDATED", "lunch", {"amount": 1200, "resolves": _id("e", 7)}, None),
    ("B", "transaction", "CREATED", "part", _REPAID, None),
    ("A", "reminder", "CREATED", "call", _CALL, None),
    ("B", "reminder", "UPDATED", "call", {"remind_at": "2026-12-02T18:00:00+01:00"}, None),
    ("B", "transaction", "DELETED", "lunch", {}, 7),
    ("B", "transaction", "DELETED", "lunch", {"resolves": _id("e", 12)}, None),
    ("A", "transaction", "UPDATED", "lunch", {"description": "lunch, paid by card"}, 12),
    ("A", "transaction", "RESTORED", "lunch", {"resolves": _id("e", 14)}, None),
    ("A", "transaction", "UNDO", "lunch", {"undone_event_id": _id("e", 15)}, None),
    ("B", "transaction", "RESTORED", "lunch", {}, None),
    ("B", "reminder", "DELETED", "call", {}, None),
    ("B", "reminder", "RESTORED", "call", {}, None),
    ("B", "reminder", "UPDATED", "call", {"message": "call Ana about lunch"}, None),
    ("B", "reminder", "UNDO", "call", {"undone_event_id": _id("e", 20)}, None),
    ("B", "transaction", "CREATED", "cinema", {"contact_id": _ANA, "direction": "owed", "amount": 900}, None),
    ("A", "contact", "DELETED", "ana", {}, 21),
    ("A", "contact", "DELETED", "ana", {"resolves": _id("e", 23)}, None),
    ("A", "contact", "RESTORED", "ana", {}, None),
    ("A", "contact", "UNDO", "ana", {"undone_event_id": _id("e", 25)}, None),
)
"""(device, aggregate type, event type, name, event_data, base_seq; None: everything before was seen)."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
