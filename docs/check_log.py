"""Checks a log that a device has pulled: python check_log.py FILE|- [VERSION HASH].

FILE holds facts as /api/sync/pull returns them, one a line or as a JSON array; VERSION and HASH are what /api/sync/hash said.
Prints the head and the balances, or the first seq that is wrong. Needs nothing but Python.
"""

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path


def check(facts):
    """The version, the hash and the entities after `facts`; ValueError says what is wrong with which."""
    digest, entities = b"", {}
    for seq, fact in enumerate(facts, start=1):
        if fact.get("seq") != seq:
            raise ValueError(f"seq {seq} is missing")
        said = bytes.fromhex(fact.pop("hash"))
        canonical = json.dumps(fact, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest = hashlib.sha256(digest + hashlib.sha256(canonical.encode()).digest()).digest()
        if digest != said:
            raise ValueError(f"seq {seq}: the hash is not that of this fact after the one before")
        for change in fact["changes"]:
            key = change["aggregate_type"], change["aggregate_id"]
            if (key in entities) == (change["op"] == "create"):
                raise ValueError(f"seq {seq}: {change['op']} of {key[0]} {key[1]}")
            entity = entities.setdefault(key, {})
            for name, (before, after) in change["fields"].items():
                if entity.get(name) != before:
                    raise ValueError(f"seq {seq}: {name} was not what the fact says that it was")
                entity[name] = after
    return len(facts), digest.hex() or None, entities


def balances(entities):
    """Minor units by contact and currency; positive: they owe the user."""
    sums = Counter()
    for (kind, _), fields in entities.items():
        if kind == "transaction" and fields["type"] == "money" and not fields.get("deleted_at"):
            sign = 1 if fields["direction"] == "lent" else -1
            sums[fields["contact_id"], fields["currency"]] += sign * fields["amount"]
    return {account: amount for account, amount in sums.items() if amount}


if __name__ == "__main__":
    text = sys.stdin.read() if sys.argv[1] == "-" else Path(sys.argv[1]).read_text(encoding="utf-8")
    try:
        facts = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.split("\n") if line]
        version, digest, entities = check(facts)
        if sys.argv[2:] not in ([], [str(version), str(digest)]):
            raise ValueError(f"the log ends at {version} {digest}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        sys.exit(f"wrong: {error}")
    print(f"version {version}, hash {digest}")
    for (contact_id, currency), amount in sorted(balances(entities).items()):
        print(f"{contact_id} {currency} {amount}")
