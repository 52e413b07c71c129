"""The checker in the documents, run as a client would: with a plain Python, on logs that are right and on logs that are not."""

import copy
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.fold import Ledger
from domain.sequence import Book, take
from tests.factories import DEFAULTS, Chaos
from tests.fixtures.api import Client

CHECKER = Path(__file__).parent.parent / "docs" / "check_log.py"


def check(log: list[dict[str, Any]], *arguments: str, as_lines: bool = True) -> subprocess.CompletedProcess[str]:
    text = "\n".join(json.dumps(fact, ensure_ascii=False) for fact in log) if as_lines else json.dumps(log)
    command = [sys.executable, "-I", "-S", str(CHECKER), "-", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, encoding="utf-8")


def history(seed: int) -> tuple[list[dict[str, Any]], Book]:
    chaos, book = Chaos(seed), Book(Ledger("l"), bytes(32), "2026-11-22T20:00:00.000001Z")
    while book.ledger.version < 40:
        chaos.hear(take(book, [chaos.next(book.ledger.version)], defaults=DEFAULTS))
    known = sorted(book.known.values(), key=lambda one: one.seq)
    return [json.loads(one.wire()) for one in known], book


def test_it_is_short_and_needs_nothing() -> None:
    text = CHECKER.read_text()
    assert len(text.splitlines()) < 60
    imported = {line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize("seed", range(3))
def test_a_right_log_gives_its_head_and_balances(seed: int) -> None:
    log, book = history(seed)
    assert book.ledger.hash is not None
    done = check(log, str(len(log)), book.ledger.hash.hex(), as_lines=bool(seed))
    assert (done.returncode, done.stderr) == (0, "")
    head, *lines = done.stdout.splitlines()
    assert head == f"version {len(log)}, hash {book.ledger.hash.hex()}"
    sums: dict[tuple[str, str], int] = {}
    for _, step in book.steps:
        for posting in step.postings:
            account = (posting.contact_id, posting.currency)
            sums[account] = sums.get(account, 0) + posting.amount
    assert lines == [f"{contact} {currency} {amount}" for (contact, currency), amount in sorted(sums.items()) if amount]


def test_the_head_that_the_server_names_is_compared() -> None:
    log, _ = history(1)
    assert check(log[:-1], str(len(log)), log[-1]["hash"]).returncode == 1
    assert check([], "0", "None").returncode == 0


MUTATIONS = {
    "drop": lambda log, at: log.pop(at),
    "swap": lambda log, at: log.__setitem__(slice(at, at + 2), log[at : at + 2][::-1]),
    "repeat": lambda log, at: log.insert(at, copy.deepcopy(log[at])),
    "amount": lambda log, at: log[at].__setitem__("base_seq", log[at]["base_seq"] + 1),
    "hash": lambda log, at: log[at].__setitem__("hash", log[at]["hash"][::-1]),
    "member": lambda log, at: log[at].__setitem__("more", 1),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_mutation_is_caught_where_it_is(mutation: str) -> None:
    log, _ = history(2)
    at = random.Random(mutation).randrange(1, len(log) - 2)
    MUTATIONS[mutation](log, at)
    done = check(log)
    assert done.returncode == 1
    assert done.stderr.startswith(f"wrong: seq {at + 1 if mutation != 'repeat' else at + 2}")


def test_changes_that_do_not_fold_are_caught_even_under_a_right_hash() -> None:
    """Whoever holds the log can make new hashes; what was there before a change still has to be what the log says."""
    import hashlib

    log, _ = history(2)
    digest, at = b"", next(number for number, fact in enumerate(log) if any(c["op"] == "update" for c in fact["changes"]))
    change = next(change for change in log[at]["changes"] if change["op"] == "update")
    change["fields"] = {name: ["something else", after] for name, (_, after) in change["fields"].items()}
    for fact in log:
        del fact["hash"]
        canonical = msgspec.json.encode(fact, order="sorted")
        digest = hashlib.sha256(digest + hashlib.sha256(canonical).digest()).digest()
        fact["hash"] = digest.hex()
    assert f"seq {at + 1}: " in check(log).stderr


async def test_a_log_that_was_pulled_over_http(alice: Client) -> None:
    name = 'Zoë \u2028 \x7f \x1f \U0001f600 "quoted" \\ </script>'
    contact = await alice.post("/api/contacts", {"name": name, "phone": "+34 600"}, status=201)
    await alice.post(
        "/api/transactions", {"contact_id": contact["id"], "direction": "lent", "amount": 5, "currency": "JPY"}, status=201
    )
    pulled = await alice.post("/api/sync/pull", {})
    done = check(pulled["events"], str(pulled["version"]), pulled["hash"])
    assert done.stdout.splitlines()[1:] == [f"{contact['id']} JPY 5"]
