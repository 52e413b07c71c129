"""Facts as a device reads them: the chain that proves them, and the folding of their changes. No rules are needed."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from client.errors import BrokenLog

Fact = dict[str, Any]
"""A fact as the wire has it, with its hash."""
Fields = dict[str, Any]
"""An entity's fields that are not null, with `deleted_at` once it is deleted."""
Key = tuple[str, str]
"""(kind, id): one contact, transaction or reminder."""
Account = tuple[str, str]
"""(contact, currency)."""


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces, and no escape that JSON does not require. Raises ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content(fact: Fact) -> str:
    """What the hash of `fact` covers: its canonical JSON without `hash`."""
    return canonical({name: value for name, value in fact.items() if name != "hash"})


def link(previous: str | None, covered: str) -> str:
    """The hash of a fact after `previous` (both hex; None before the first); `covered` is its content."""
    before = bytes.fromhex(previous) if previous else b""
    return hashlib.sha256(before + hashlib.sha256(covered.encode()).digest()).hexdigest()


def proven(fact: Fact, seq: int, previous: str | None) -> str:
    """The content of `fact`. Raises BrokenLog unless it is the one at `seq` behind `previous`."""
    covered = content(fact)
    if fact["seq"] != seq:
        raise BrokenLog(f"seq {seq} is missing: {fact['seq']} came")
    if fact["hash"] != link(previous, covered):
        raise BrokenLog(f"seq {seq}: the hash is not that of this fact behind the one before")
    return covered


def changed(before: Fields | None, change: Mapping[str, Any], seq: int) -> Fields:
    """An entity after one change. Raises BrokenLog where it was not as the change says."""
    if (before is None) != (change["op"] == "create"):
        raise BrokenLog(f"seq {seq}: {change['op']} of {change['aggregate_type']} {change['aggregate_id']}")
    fields = dict(before or {})
    for name, (was, becomes) in change["fields"].items():
        if fields.get(name) != was:
            raise BrokenLog(f"seq {seq}: {name} was not what the fact says that it was")
        fields[name] = becomes
    return {name: value for name, value in fields.items() if value is not None}


def settles(fact: Fact) -> str | None:
    """The event id of the conflict that the fact settles: one that met a conflict itself settles nothing."""
    found: str | None = fact["event_data"].get("resolves") if fact["status"] == "accepted" else None
    return found and found.lower()


def undoes(fact: Fact) -> str | None:
    """The event id of the fact that it takes back."""
    found: str | None = fact["event_data"].get("undone_event_id")
    return found and found.lower()


def foresee(fields: Fields | None, item: Mapping[str, Any], undone: Fact | None) -> Fields | None:
    """What an entity will probably look like once the command `item` is accepted: what to show meanwhile."""
    match item["event_type"]:
        case "CREATED":
            return _present(item["event_data"]) if fields is None else fields
        case "UPDATED" if fields is not None:
            return _present(fields | {name: value for name, value in item["event_data"].items() if name != "resolves"})
        case "DELETED" if fields is not None:
            return {"deleted_at": item["timestamp"]} | fields
        case "RESTORED" if fields is not None:
            return {name: value for name, value in fields.items() if name != "deleted_at"}
        case "UNDO" if fields is not None and undone is not None:
            return _taken_back(fields, item, undone)
    return fields


def _taken_back(fields: Fields, item: Mapping[str, Any], undone: Fact) -> Fields:
    for change in undone["changes"]:
        if change["aggregate_id"] != item["aggregate_id"]:
            continue
        if change["op"] == "create":
            return fields | {"deleted_at": item["timestamp"]}
        fields = _present(fields | {name: before for name, (before, _) in change["fields"].items()})
    return fields


def _present(fields: Mapping[str, Any]) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def balances(entities: Iterable[tuple[Key, Fields]]) -> dict[Account, int]:
    """Minor units by contact and currency, without what is zero; positive: they owe the user."""
    sums: Counter[Account] = Counter()
    for (kind, _), fields in entities:
        if kind == "transaction" and fields.get("type", "money") == "money" and "deleted_at" not in fields:
            sign = 1 if fields["direction"] == "lent" else -1
            sums[fields["contact_id"], fields["currency"]] += sign * fields["amount"]
    return {account: amount for account, amount in sums.items() if amount}
