"""The one write path: `commit` is the only function that adds to the log or touches what follows from it.

One transaction: lock the heads in id order (so that two batches never wait for each other in a circle), load what the
decisions need, decide in Python, write everything in one statement. A ledger's seq is given out under its row lock and
becomes visible with the commit, so no reader can see seq 8 before seq 7; a global sequence could not promise that.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from msgspec import Struct

from domain import errors, facts
from domain.adoption import Decided
from domain.case import Defaults
from domain.fold import Ledger
from domain.sequence import Book, Item, Known, Outcome, Refusal, outcomes
from storage import arrays, loading, projecting, roles, sealing, stretches
from storage.current import Transaction
from storage.encryption import Cipher, KeyRing

Connection = loading.Connection
LockNotAvailable = psycopg.errors.LockNotAvailable


class Push(Struct, frozen=True):
    """Commands for one ledger, in order.

    `base_hash` is the chain's hash (32 bytes) at the highest base_seq; `dry_run` decides and writes nothing;
    `skip_known` takes ids that are in the log for duplicates without comparing (imports).
    """

    ledger_id: str
    items: Sequence[Item]
    defaults: Defaults
    base_hash: bytes | None = None
    dry_run: bool = False
    skip_known: bool = False
    adopts: bool = False
    """Whether `items` are facts of another log (domain.adoption), which all get the time of the first: Invalid fails them all."""
    expected_version: int | None = None
    """The version that the caller worked from. Where the head has moved since, and no item is in the log: Moved."""
    shows: UUID | None = None
    """A transaction that the caller reads in the same transaction of Postgres, as it is after the push."""


class Receipt(Struct, frozen=True):
    """The outcomes of a push, one an item, and the head after it; `events`: those of its ids that are in the log."""

    outcomes: list[Outcome]
    version: int
    hash: bytes | None
    events: dict[str, Known] = {}
    shown: Transaction | None = None
    """What the push `shows`, where it is there."""


class LedgerGone(errors.DomainError):
    """The ledger does not exist any more."""

    code = "ledger_gone"

    def __init__(self) -> None:
        super().__init__("this ledger does not exist any more")


class Moved(errors.DomainError):
    """Another change came between a look at the ledger and the change that follows from it."""

    code = "unavailable"


async def commit(connection: Connection, pushes: Sequence[Push], keys: KeyRing) -> list[Receipt | errors.DomainError]:
    """Decide and store `pushes` of any number of ledgers; answers stand in the order of `pushes`.

    Needs an open transaction and leaves it open: nothing is stored before the caller commits. Raises LockNotAvailable where
    somebody else has locked one of these ledgers for a second. A push that cannot be decided at all (errors.Reset, LedgerGone,
    Moved) has its error as its answer and does not touch its neighbours.
    """
    ledger_ids = sorted({push.ledger_id for push in pushes})
    locked = await _lock(connection, ledger_ids)
    # Asked for behind the lock, so that it is what is there under it; in a pipeline all of it is one round trip.
    asked_hashes = await _ask_hashes(connection, [(push.ledger_id, _base(push)) for push in pushes if push.base_hash is not None])
    named = await loading.ask(connection, [(push.ledger_id, item) for push in pushes for item in push.items])
    books = await _books(locked, keys)
    hashes = await _hashes(asked_hashes)
    answers: dict[int, Receipt | errors.DomainError] = {}
    for index, push in enumerate(pushes):
        if push.ledger_id not in books:
            answers[index] = LedgerGone()
        elif (reset := _reset(books[push.ledger_id].ledger, push, hashes)) is not None:
            answers[index] = reset
    good = [push for index, push in enumerate(pushes) if index not in answers]
    await loading.load(connection, [(books[push.ledger_id], item) for push in good for item in push.items], named)
    for index, push in enumerate(pushes):
        if index not in answers:
            answers[index] = await _decide(books[push.ledger_id], push)
    await _write(connection, books)
    return [answers[index] for index in range(len(pushes))]


async def _decide(book: Book, push: Push) -> Receipt | Moved:
    known = not push.adopts and any(item.id in book.known for item in push.items)
    if push.expected_version not in (None, book.ledger.version) and not known:
        return Moved("the ledger has changed meanwhile")
    book = book.copy() if push.dry_run else book
    if push.adopts:
        book.recorded_at = book.head_recorded_at or book.recorded_at
    found = await stretches.of(outcomes(book, push.items, defaults=push.defaults, skip_known=push.skip_known))
    events = {item.id: book.known[item.id] for item in push.items if item.id in book.known}
    return Receipt(found, book.ledger.version, book.ledger.hash, events)


_LOCK = """
select id::text, version, head_hash, data_key, turnover, greatest(clock_timestamp(), recorded_at), recorded_at
from debitum.ledgers where id = any(%(ids)s::uuid[]) order by id for no key update
"""


async def _lock(connection: Connection, ledger_ids: list[str]) -> loading.Cursor:
    await connection.execute(roles.ENTER_BY_KEYS + roles.LOCK_TIMEOUT, roles.parameters(roles.API, ledger_ids))
    return await connection.execute(_LOCK, {"ids": arrays.of(ledger_ids)})


async def _books(locked: loading.Cursor, keys: KeyRing) -> dict[str, Book]:
    return {
        ledger_id: Book(
            Ledger(ledger_id, version, head_hash, int(turnover)),
            keys.open_data_key(ledger_id, data_key),
            facts.wire_time(now),
            None if last is None else facts.wire_time(last),
        )
        for ledger_id, version, head_hash, data_key, turnover, now, last in await locked.fetchall()
    }


def _base(push: Push) -> int:
    """What the device has seen: the highest base_seq of its items, readable or not; 0 where it has seen nothing."""
    bases = [item.base_seq for item in push.items if not isinstance(item, Decided) and item.base_seq is not None]
    return max(bases, default=0)


_HASHES = """
select place.ledger_id::text, place.seq, its.hash
from unnest(%(ledgers)s::uuid[], %(seqs)s::bigint[]) place (ledger_id, seq)
cross join lateral (
    select hash from debitum.events its where its.ledger_id = place.ledger_id and its.seq = place.seq limit 1
) its
"""


async def _ask_hashes(connection: Connection, places: Sequence[tuple[str, int]]) -> loading.Cursor | None:
    if not places:
        return None
    asked = {"ledgers": [UUID(ledger_id) for ledger_id, _ in places], "seqs": [seq for _, seq in places]}
    return await connection.execute(_HASHES, asked)


async def _hashes(asked: loading.Cursor | None) -> dict[tuple[str, int], bytes]:
    """Those of the chains, by ledger and seq."""
    rows = [] if asked is None else await asked.fetchall()
    return {(ledger_id, seq): found for ledger_id, seq, found in rows}


def _reset(ledger: Ledger, push: Push, hashes: Mapping[tuple[str, int], bytes]) -> errors.Reset | None:
    """Whether the device knows a history that is not this ledger's."""
    base = _base(push)
    if base > ledger.version:
        return errors.Reset("base_seq lies beyond the head of this ledger")
    if push.base_hash is None or base == 0 or hashes.get((ledger.id, base)) == push.base_hash:
        return None
    return errors.Reset("base_hash is not this chain's at base_seq")


_WRITES = {
    "contacts": projecting.upsert("contacts"),
    "transactions": projecting.upsert("transactions"),
    "reminders": projecting.upsert("reminders"),
    "postings": projecting.insert("postings"),
    "conflicts": projecting.upsert("conflicts"),
    "rejections": f"{projecting.insert('rejections')} on conflict do nothing",
    "events": projecting.insert("events"),
    "heads": """
        update debitum.ledgers l
        set version = h.version, head_hash = h.hash, recorded_at = h.recorded_at, turnover = h.turnover, dirty = true
        from json_to_recordset(%(heads)s::json)
             as h(id uuid, version bigint, hash bytea, recorded_at timestamptz, turnover numeric)
        where l.id = h.id
    """,
}
"""By what it writes; each takes its rows as JSON."""


@cache
def _write_of(names: tuple[str, ...]) -> str:
    """One statement that writes these tables and no others: to prepare a write takes time, for tables have many checks."""
    *others, last = names
    parts = ", ".join(f"{name}_written as ({_WRITES[name]})" for name in others)
    return f"with {parts} {_WRITES[last]}" if parts else _WRITES[last]


async def _write(connection: Connection, books: Mapping[str, Book]) -> None:
    rows: projecting.Rows = {name: [] for name in _WRITES}
    for book in books.values():
        await _add_rows(rows, book)
    sections = {name: msgspec.json.encode(section).decode() for name, section in rows.items() if section}
    if sections:
        await connection.execute(_write_of(tuple(sections)), sections)


async def _add_rows(rows: projecting.Rows, book: Book) -> None:
    ledger_id, ledger, cipher = book.ledger.id, book.ledger, Cipher(book.ledger.id, book.data_key)
    for name, found in projecting.rows(cipher, ledger, book.steps).items():
        rows[name] += found
    rows["events"] += await stretches.of(_event(cipher, fact, book.known[fact.id]) for fact, _ in book.steps)
    for event_id, refusal in book.refusals.items():
        rows["rejections"].append({"ledger_id": ledger_id} | _rejection(cipher, event_id, refusal, book.recorded_at))
    if book.steps:
        assert ledger.hash is not None
        head = {"id": ledger_id, "version": ledger.version, "hash": sealing.hexadecimal(ledger.hash)}
        rows["heads"].append(head | {"recorded_at": book.recorded_at, "turnover": str(ledger.turnover)})


def _event(cipher: Cipher, fact: facts.Fact, known: Known) -> dict[str, Any]:
    return {
        "ledger_id": cipher.ledger_id,
        "seq": fact.seq,
        "event_id": fact.id,
        "aggregate_type": fact.aggregate_type,
        "aggregate_id": fact.aggregate_id,
        "event_type": fact.event_type,
        "device_id": fact.device_id or None,
        "status": fact.status,
        "recorded_at": fact.recorded_at,
        "fingerprint": sealing.hexadecimal(known.fingerprint),
        "hash": sealing.hexadecimal(known.hash),
        **sealing.store_fact(cipher, fact, known.text),
    }


def _rejection(cipher: Cipher, event_id: str, refusal: Refusal, at: str) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "fingerprint": sealing.hexadecimal(refusal.fingerprint),
        "code": refusal.code,
        "detail": refusal.detail,
        "errors": refusal.errors,
        "command": sealing.store_command(cipher, event_id, refusal.command),
        "at": at,
    }
