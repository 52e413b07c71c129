"""Loads into the books whatever a decision can ask for, before it is made: rows in, entities, events and conflicts out."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from msgspec import UNSET
from psycopg.rows import TupleRow

from domain import errors, facts, money
from domain.adoption import Decided, is_id
from domain.decide import references
from domain.facts import Command, Unreadable
from domain.fold import Dispute
from domain.sequence import Book, Item, Known, Refusal
from storage import codec, sealing
from storage.encryption import Cipher

Connection = psycopg.AsyncConnection[TupleRow]
Cursor = psycopg.AsyncCursor[TupleRow]

PLAN_ANEW_FROM = 100
"""From so many wanted rows on, a statement that finds them by other than their keys is planned anew, not prepared."""
LARGEST_MOVE = 2
"""How many times its amount a transaction can move a balance in one fact: an edit reverses the old and posts the new."""


Asked = Sequence[tuple[Book, Item]]
"""Items to decide, each with the book of its ledger."""


_WANTED = "wanted as materialized (select * from json_to_recordset(%(wanted)s::json) as w(ledger_id uuid, kind text, id uuid))"
_CHANGED = {"transaction": ("transactions", "true"), "reminder": ("reminders", "contact_id is not null")}
"""By kind: its table, and which of its rows have a contact."""
_OF_PEOPLE = """
    select 'contact', c.ledger_id::text, row_to_json(c)::text from people p cross join lateral (
        select * from debitum.contacts its where its.ledger_id = p.ledger_id and its.id = p.id limit 1
    ) c
"""
_OF_COMMANDS = """
    select 'event', e.ledger_id::text, row_to_json(e)::text from wanted w cross join lateral (
        select ledger_id, event_id, seq, fingerprint, hash, fact, sealed
        from debitum.events its where its.ledger_id = w.ledger_id and its.event_id = w.id limit 1
    ) e where w.kind = 'event'
    union all
    select 'rejection', x.ledger_id::text, row_to_json(x)::text from wanted w cross join lateral (
        select ledger_id, event_id, fingerprint, code, detail, coalesce(errors, '[]') as errors
        from debitum.rejections its where its.ledger_id = w.ledger_id and its.event_id = w.id limit 1
    ) x where w.kind = 'event'
"""


@cache
def _load_of(kinds: frozenset[str]) -> str:
    """One statement for what is wanted of these kinds, with its contacts: each look-up takes time, even one of nothing."""
    tables, people, parts = [_WANTED], [], []
    if "contact" in kinds:
        people.append("select ledger_id, id from wanted where kind = 'contact'")
    for kind, (table, has_contact) in _CHANGED.items():
        if kind not in kinds:
            continue
        tables.append(f"""{table} as materialized (
            select found.* from wanted w cross join lateral (
                select * from debitum.{table} its where its.ledger_id = w.ledger_id and its.id = w.id limit 1
            ) found where w.kind = '{kind}'
        )""")  # noqa: S608 - our own names
        people.append(f"select ledger_id, contact_id from {table} where {has_contact}")  # noqa: S608 - our own names
        parts.append(f"select '{kind}', ledger_id::text, row_to_json({table})::text from {table}")  # noqa: S608 - our own names
    if people:
        named = " union all ".join(people)
        tables.append(f"people as (select distinct ledger_id, id from ({named}) named (ledger_id, id))")  # noqa: S608 - ours
        parts.append(_OF_PEOPLE)
    if "event" in kinds:
        parts.append(_OF_COMMANDS)
    return f"with {', '.join(tables)} {' union all '.join(parts)}"


_LOAD_DEPENDANTS = """
with wanted as materialized (
    select * from json_to_recordset(%(wanted)s::json) as w(ledger_id uuid, kind text, id uuid, seq bigint)
), t as (
    select t.* from wanted w cross join lateral (
        select * from debitum.transactions t
        where t.ledger_id = w.ledger_id and t.contact_id = w.id and t.deleted_seq is null limit %(most)s
    ) t where w.kind = 'of contact'
    union select t.* from wanted w join debitum.transactions t on t.ledger_id = w.ledger_id and t.deleted_seq = w.seq
    where w.kind = 'deleted by'
), about as materialized (
    select ledger_id, id from t union select ledger_id, id from wanted where kind = 'of transaction'
), repayments as (
    select t.* from about a cross join lateral (
        select * from debitum.transactions t
        where t.ledger_id = a.ledger_id and t.repays = a.id and t.deleted_seq is null limit %(most)s
    ) t
), r as (
    select r.* from wanted w cross join lateral (
        select * from debitum.reminders r
        where r.ledger_id = w.ledger_id and r.contact_id = w.id and r.deleted_seq is null limit %(most)s
    ) r where w.kind = 'of contact'
    union select r.* from about a cross join lateral (
        select * from debitum.reminders r
        where r.ledger_id = a.ledger_id and r.transaction_id = a.id and r.deleted_seq is null limit %(most)s
    ) r
    union select r.* from wanted w join debitum.reminders r on r.ledger_id = w.ledger_id and r.deleted_seq = w.seq
    where w.kind = 'deleted by'
), people as (
    select ledger_id, contact_id from t union select ledger_id, contact_id from r where contact_id is not null
)
select 'transaction', ledger_id::text, row_to_json(t)::text from t
union all select 'transaction', ledger_id::text, row_to_json(repayments)::text from repayments
union all select 'reminder', ledger_id::text, row_to_json(r)::text from r
union all select 'contact', c.ledger_id::text, row_to_json(c)::text from debitum.contacts c join people p
    on p.ledger_id = c.ledger_id and p.contact_id = c.id
union all select 'contact', c.ledger_id::text, row_to_json(c)::text from wanted w join debitum.contacts c
    on c.ledger_id = w.ledger_id and c.deleted_seq = w.seq where w.kind = 'deleted by'
"""


_LOAD_SETTLEMENTS = """
with wanted as materialized (
    select * from json_to_recordset(%(wanted)s::json) as w(ledger_id uuid, kind text, id uuid)
)
select 'conflict', c.ledger_id::text, row_to_json(c)::text
from wanted w join debitum.conflicts c on c.ledger_id = w.ledger_id and c.event_id = w.id where w.kind = 'conflict'
union all select 'conflict', c.ledger_id::text, row_to_json(c)::text
from wanted w join debitum.conflicts c on c.ledger_id = w.ledger_id and c.resolved_by = w.id where w.kind = 'settled by'
union all select 'undone', e.ledger_id::text, json_build_object('event_id', e.event_id, 'fact', e.fact, 'sealed', e.sealed)::text
from wanted w join debitum.events e on e.ledger_id = w.ledger_id and e.aggregate_id = w.id and e.event_type = 'UNDO'
where w.kind = 'undone'
"""


@dataclass(frozen=True)
class Named:
    """What items name, asked for: by id of ledger, kind and id; and the answers, which in a pipeline are still on their way."""

    wanted: set[tuple[str, str, str]]
    answers: list[Cursor]


async def ask(connection: Connection, items: Iterable[tuple[str, Item]]) -> Named:
    """Ask for what `items`, each with the id of its ledger, name by themselves: that needs no books yet."""
    items = list(items)
    wanted = {(ledger_id, *key) for ledger_id, item in items for key in _keys(item)}
    settlements = {(ledger_id, *key) for ledger_id, item in items for key in _settlements(item)}
    answers = [await _look_up(connection, wanted)] if wanted else []
    if settlements:
        answers.append(await _ask(connection, _LOAD_SETTLEMENTS, _rows(settlements)))
    return Named(wanted, answers)


async def load(connection: Connection, asked: Asked, named: Named) -> None:
    """Bring into the books of `asked` what deciding them, in any order, can look at; `named`: what they name."""
    books = {book.ledger.id: book for book, _ in asked}
    for cursor in named.answers:
        await _read(cursor, books)
    asked = _distinct(asked)
    touched = {(book.ledger.id, *key) for book, item in asked for key in _undone_keys(book, item)}
    if touched - named.wanted:
        await _read(await _look_up(connection, touched - named.wanted), books)
    items: defaultdict[str, list[Item]] = defaultdict(list)
    for book, item in asked:
        items[book.ledger.id].append(item)
    dependants = [row for ledger_id, book in books.items() for row in _once(_dependants(book, items[ledger_id]))]
    if dependants:
        await _read(await _ask(connection, _LOAD_DEPENDANTS, dependants), books)
    for ledger_id, book in books.items():
        if book.ledger.turnover + _moved_at_most(book, items[ledger_id]) > money.MAX_AMOUNT:
            await _load_balances(connection, book)


def _distinct(asked: Asked) -> Asked:
    """Without items that undo what another does: one of them can, and what they undo may be thousands of changes."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for book, item in asked:
        if isinstance(item, Command) and item.undoes:
            if (book.ledger.id, item.undoes) in seen:
                continue
            seen.add((book.ledger.id, item.undoes))
        kept.append((book, item))
    return kept


def _rows(wanted: Iterable[tuple[str, str, str]]) -> list[dict[str, Any]]:
    return [{"ledger_id": ledger_id, "kind": kind, "id": one} for ledger_id, kind, one in wanted]


def _keys(item: Item) -> list[tuple[str, str]]:
    if isinstance(item, Unreadable):
        return [("event", item.id)]
    if isinstance(item, Decided):
        return list(_decided_keys(item.fact))
    undone = [("event", item.undoes)] if item.undoes else []
    return [("event", item.id), item.key, *references(item), *undone]


def _decided_keys(fact: facts.Fact) -> Iterator[tuple[str, str]]:
    """What a fact touches and names; ids that are none are refused when it is taken over."""
    named: list[tuple[str, str]] = [("event", fact.id), *(change.key for change in fact.changes)]
    for change in fact.changes:
        named += [(kind, change.fields[name][1]) for name, kind in facts.REFERENCES if name in change.fields]
    named += [("event", fact.undoes)] if fact.undoes else []
    yield from ((kind, one) for kind, one in named if is_id(one))


def _settlements(item: Item) -> Iterator[tuple[str, str]]:
    if isinstance(item, Unreadable):
        return
    resolves, undoes = (item.fact.settles, item.fact.undoes) if isinstance(item, Decided) else (item.resolves, item.undoes)
    if resolves:
        yield ("conflict", resolves)
    if undoes:
        yield ("settled by", undoes)
        if is_id(item.key[1]):
            yield ("undone", item.key[1])


def _undone(book: Book, item: Item) -> facts.Fact | None:
    """The fact that an UNDO names; one of the same push has loaded what it touches by itself."""
    return book.fact(item.undoes) if isinstance(item, Command) else None


def _undone_keys(book: Book, item: Item) -> Iterator[facts.Key]:
    """What an UNDO changes, and the contacts that it may need again."""
    if (fact := _undone(book, item)) is None:
        return
    for change in fact.changes:
        yield change.key
        yield from (("contact", value) for value in change.fields.get("contact_id", ()) if value is not None)


def _dependants(book: Book, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
    """What else deletions, restorations, undos and new links concern, beyond what the commands name.

    A contact that is deleted takes along what an item before has moved to it, and what hangs on that.
    """
    for item in items:
        yield from _dependants_of(book, item)
    if any(isinstance(item, Command) and (item.event_type, item.aggregate_type) == ("DELETED", "contact") for item in items):
        moved = {key: None for item in items for key in _moved(book, item) if key[0] == "transaction"}
        yield from (_of(book, key) for key in moved)


def _once(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without repetitions: a contact may be deleted and restored many times over."""
    return list({tuple(row.values()): row for row in rows}.values())


def _moved(book: Book, item: Item) -> Iterator[facts.Key]:
    """What `item` may bring to a contact; of a restoration, what hangs on it is loaded anyway."""
    if isinstance(item, Command) and "contact_id" in item.event_data:
        yield item.key
    if (fact := _undone(book, item)) is not None:
        yield from (change.key for change in fact.changes)


def _dependants_of(book: Book, item: Item) -> Iterator[dict[str, Any]]:
    if isinstance(item, Unreadable):
        return
    if isinstance(item, Decided):
        gone = (change for change in item.fact.changes if change.op == "delete" and change.aggregate_type == "contact")
        yield from (_of(book, change.key) for change in gone if is_id(change.aggregate_id))
        return
    entity = book.ledger.entities.get(item.key)
    if item.event_type == "RESTORED" and entity is not None and not entity.live:
        yield {"ledger_id": book.ledger.id, "kind": "deleted by", "seq": entity.deleted_seq}
    elif (item.event_type == "DELETED" and item.aggregate_type != "reminder") or "repays" in item.event_data:
        yield _of(book, item.key)
    elif (fact := _undone(book, item)) is not None:
        yield from (_of(book, change.key) for change in fact.changes if change.op in ("create", "restore"))


def _of(book: Book, key: facts.Key) -> dict[str, Any]:
    return {"ledger_id": book.ledger.id, "kind": f"of {key[0]}", "id": key[1]}


async def _look_up(connection: Connection, wanted: Set[tuple[str, str, str]]) -> Cursor:
    """Ask for what has these keys: each row is found by one, whatever the planner knows of its table, and the plan is kept."""
    query = _load_of(frozenset(kind for _, kind, _ in wanted))
    return await connection.execute(query, {"wanted": _json(_rows(wanted))})


async def _ask(connection: Connection, query: str, wanted: list[dict[str, Any]]) -> Cursor:
    # A prepared plan may be of the time when the tables were empty; where many rows are wanted, a new one pays for itself.
    prepare = None if len(wanted) < PLAN_ANEW_FROM else False
    return await connection.execute(query, {"wanted": _json(wanted), "most": facts.MAX_CHANGES + 1}, prepare=prepare)


def _json(rows: list[dict[str, Any]]) -> str:
    return msgspec.json.encode(rows).decode()


async def _read(cursor: Cursor, books: Mapping[str, Book]) -> None:
    """Bring the rows of these books into them; others' pushes are not decided."""
    ciphers = {ledger_id: Cipher(ledger_id, book.data_key) for ledger_id, book in books.items()}
    for kind, ledger_id, text in await cursor.fetchall():
        if ledger_id not in books:
            continue
        book, cipher, row = books[ledger_id], ciphers[ledger_id], msgspec.json.decode(text)
        match kind:
            case "event":
                known = Known(row["seq"], _bytes(row["fingerprint"]), _fact(cipher, row), _bytes(row["hash"]))
                book.known[row["event_id"]] = known
            case "rejection":
                found = msgspec.convert(row["errors"], tuple[errors.FieldError, ...])
                refusal = Refusal(_bytes(row["fingerprint"]), row["code"], row["detail"], found)
                book.refused[row["event_id"]] = refusal
            case "conflict":
                dispute = msgspec.convert(row, Dispute)
                book.ledger.conflicts[dispute.event_id] = dispute
            case "undone":
                book.ledger.undone.add(str(msgspec.json.decode(_fact(cipher, row), type=facts.Fact).undoes))
            case _:
                entity = codec.entity(kind, row, cipher)
                book.ledger.entities[entity.key] = entity


_bytes = sealing.from_hexadecimal


def _fact(cipher: Cipher, row: Mapping[str, Any]) -> bytes:
    sealed = row["sealed"]
    return sealing.fact_text(cipher, row["event_id"], row["fact"], None if sealed is None else _bytes(sealed))


def _moved_at_most(book: Book, items: Iterable[Item]) -> int:
    """A bound of how far `items` can move any balance of this ledger."""
    amounts = [other.fields["amount"] for other in book.ledger.entities.values() if "amount" in other.fields]
    for item in items:
        amounts.append(getattr(item.payload, "amount", UNSET) if isinstance(item, Command) else UNSET)
        fact = item.fact if isinstance(item, Decided) else _undone(book, item)
        if fact is not None:
            amounts += [value for change in fact.changes for value in change.fields.get("amount", ())]
    return LARGEST_MOVE * sum(amount for amount in amounts if isinstance(amount, int))


async def _load_balances(connection: Connection, book: Book) -> None:
    cursor = await connection.execute(
        "select contact_id::text, currency, sum(amount) from debitum.postings where ledger_id = %s group by 1, 2",
        (UUID(book.ledger.id),),
    )
    book.ledger.balances = {(contact, currency): int(amount) for contact, currency, amount in await cursor.fetchall()}
