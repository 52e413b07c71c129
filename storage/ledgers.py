"""The one write path: `commit` is the only function that adds to the log or touches what follows from it.

One transaction: lock the heads in id order (so that two batches never wait for each other in a circle), load what the
decisions need, decide in Python, write everything in one statement. A ledger's seq is given out under its row lock and
becomes visible with the commit, so no reader can see seq 8 before seq 7; a global sequence could not promise that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from msgspec import UNSET
from psycopg.rows import TupleRow

from domain import errors, facts, money
from domain.decide import Defaults, references
from domain.facts import Command, Unreadable
from domain.fold import Ledger
from domain.sequence import Book, Known, Outcome, Refusal, take
from storage import codec, roles, tables
from storage.encryption import KeyRing

Connection = psycopg.AsyncConnection[TupleRow]

PLAN_ANEW_FROM = 100
"""Look-ups in one statement."""
LARGEST_MOVE = 2
"""How many times its amount a transaction can move a balance in one fact: an edit reverses the old and posts the new."""


@dataclass(frozen=True)
class Push:
    """Commands for one ledger, in order.

    `base_hash` is the chain's hash (32 bytes) at the highest base_seq; `dry_run` decides and writes nothing;
    `skip_known` takes ids that are in the log for duplicates without comparing (imports).
    """

    ledger_id: str
    items: Sequence[Command | Unreadable]
    defaults: Defaults
    base_hash: bytes | None = None
    dry_run: bool = False
    skip_known: bool = False


@dataclass(frozen=True)
class Receipt:
    """The outcomes of a push, one an item, and the head after it; `events`: those of its ids that are in the log."""

    outcomes: list[Outcome]
    version: int
    hash: bytes | None
    events: dict[str, Known] = field(default_factory=dict)


class LedgerGone(errors.DomainError):
    """The ledger does not exist any more."""

    code = "ledger_gone"


async def commit(connection: Connection, pushes: Sequence[Push], keys: KeyRing) -> list[Receipt | errors.DomainError]:
    """Decide and store `pushes` of any number of ledgers; answers stand in the order of `pushes`.

    Needs an open transaction and leaves it open: nothing is stored before the caller commits. A push that cannot be
    decided at all (errors.Reset, LedgerGone) has its error as answer and does not touch its neighbours.
    """
    ledger_ids = sorted({push.ledger_id for push in pushes})
    books = await _lock(connection, ledger_ids, keys)
    answers: dict[int, Receipt | errors.DomainError] = {}
    for index, push in enumerate(pushes):
        if push.ledger_id not in books:
            answers[index] = LedgerGone("this ledger does not exist any more")
        elif (reset := await _reset(connection, books[push.ledger_id].ledger, push)) is not None:
            answers[index] = reset
    good = [push for index, push in enumerate(pushes) if index not in answers]
    await _load(connection, books, good)
    for index, push in enumerate(pushes):
        if index not in answers:
            answers[index] = _decide(books[push.ledger_id], push)
    await _write(connection, books)
    return [answers[index] for index in range(len(pushes))]


def _decide(book: Book, push: Push) -> Receipt:
    book = book.copy() if push.dry_run else book
    outcomes = take(book, push.items, defaults=push.defaults, skip_known=push.skip_known)
    events = {item.id: book.known[item.id] for item in push.items if item.id in book.known}
    return Receipt(outcomes, book.ledger.version, book.ledger.hash, events)


_LOCK = """
select id::text, version, head_hash, data_key, turnover, greatest(clock_timestamp(), recorded_at)
from debitum.ledgers where id = any(%(ids)s) order by id for no key update
"""


async def _lock(connection: Connection, ledger_ids: list[str], keys: KeyRing) -> dict[str, Book]:
    await connection.execute(roles.ENTER, roles.parameters(roles.API, ledger_ids))
    cursor = await connection.execute(_LOCK, {"ids": [UUID(ledger_id) for ledger_id in ledger_ids]})
    return {
        ledger_id: Book(
            Ledger(ledger_id, version, head_hash, int(turnover)),
            keys.open_data_key(ledger_id, data_key),
            facts.wire_time(now),
        )
        for ledger_id, version, head_hash, data_key, turnover, now in await cursor.fetchall()
    }


async def _reset(connection: Connection, ledger: Ledger, push: Push) -> errors.Reset | None:
    """Whether the device knows a history that is not this ledger's."""
    bases = [item.base_seq for item in push.items if isinstance(item, Command) and item.base_seq is not None]
    base = max(bases, default=0)
    if base > ledger.version:
        return errors.Reset("base_seq lies beyond the head of this ledger")
    if push.base_hash is None or base == 0:
        return None
    cursor = await connection.execute(
        "select hash from debitum.events where ledger_id = %s and seq = %s", (UUID(ledger.id), base)
    )
    row = await cursor.fetchone()
    return None if row is not None and row[0] == push.base_hash else errors.Reset("base_hash is not this chain's at base_seq")


_LOAD = """
with wanted as materialized (
    select * from json_to_recordset(%(wanted)s::json) as w(ledger_id uuid, kind text, id uuid)
), t as materialized (
    select t.* from wanted w cross join lateral (
        select * from debitum.transactions t where t.ledger_id = w.ledger_id and t.id = w.id limit 1
    ) t where w.kind = 'transaction'
), r as materialized (
    select r.* from wanted w cross join lateral (
        select * from debitum.reminders r where r.ledger_id = w.ledger_id and r.id = w.id limit 1
    ) r where w.kind = 'reminder'
), people as (
    select ledger_id, id from wanted where kind = 'contact'
    union select ledger_id, contact_id from t
    union select ledger_id, contact_id from r where contact_id is not null
)
select 'transaction', ledger_id::text, row_to_json(t)::text from t
union all select 'reminder', ledger_id::text, row_to_json(r)::text from r
union all select 'contact', c.ledger_id::text, row_to_json(c)::text from people p cross join lateral (
    select * from debitum.contacts c where c.ledger_id = p.ledger_id and c.id = p.id limit 1
) c
union all select 'event', e.ledger_id::text, row_to_json(e)::text from wanted w cross join lateral (
    select e.ledger_id, e.event_id, e.seq, e.fingerprint, e.hash, e.fact
    from debitum.events e where e.ledger_id = w.ledger_id and e.event_id = w.id limit 1
) e where w.kind = 'event'
union all select 'rejection', x.ledger_id::text, row_to_json(x)::text from wanted w cross join lateral (
    select x.ledger_id, x.event_id, x.fingerprint, x.code, x.detail, coalesce(x.errors, '[]') as errors
    from debitum.rejections x where x.ledger_id = w.ledger_id and x.event_id = w.id limit 1
) x where w.kind = 'event'
"""

_LOAD_DEPENDANTS = """
with wanted as materialized (
    select * from json_to_recordset(%(wanted)s::json) as w(ledger_id uuid, kind text, id uuid, seq bigint)
), t as (
    select t.* from wanted w join debitum.transactions t on t.ledger_id = w.ledger_id and t.contact_id = w.id
    where w.kind = 'of contact' and t.deleted_seq is null
    union select t.* from wanted w join debitum.transactions t on t.ledger_id = w.ledger_id and t.deleted_seq = w.seq
    where w.kind = 'deleted by'
), about as materialized (
    select ledger_id, id from t union select ledger_id, id from wanted where kind = 'of transaction'
), repayments as (
    select t.* from about a join debitum.transactions t on t.ledger_id = a.ledger_id and t.repays = a.id
    where t.deleted_seq is null
), r as (
    select r.* from wanted w join debitum.reminders r on r.ledger_id = w.ledger_id and r.contact_id = w.id
    where w.kind = 'of contact' and r.deleted_seq is null
    union select r.* from about a join debitum.reminders r on r.ledger_id = a.ledger_id and r.transaction_id = a.id
    where r.deleted_seq is null
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


async def _load(connection: Connection, books: Mapping[str, Book], pushes: Sequence[Push]) -> None:
    """Bring into the books what deciding `pushes` can ask for."""
    wanted = list({(push.ledger_id, *key) for push in pushes for item in push.items for key in _keys(item)})
    await _fetch(connection, books, _LOAD, [{"ledger_id": w[0], "kind": w[1], "id": w[2]} for w in wanted])
    dependants = [row for push in pushes for item in push.items for row in _dependants(books[push.ledger_id], item)]
    if dependants:
        await _fetch(connection, books, _LOAD_DEPENDANTS, dependants)
    for ledger_id, book in books.items():
        if book.ledger.turnover + _moved_at_most(book, ledger_id, pushes) > money.MAX_AMOUNT:
            await _load_balances(connection, book)


def _keys(item: Command | Unreadable) -> list[tuple[str, str]]:
    event = ("event", item.id)
    return [event] if isinstance(item, Unreadable) else [event, item.key, *references(item)]


def _dependants(book: Book, item: Command | Unreadable) -> list[dict[str, Any]]:
    """What else a deletion, a restoration or a new link concerns, beyond what the command names."""
    if isinstance(item, Unreadable):
        return []
    ledger_id, entity = book.ledger.id, book.ledger.entities.get(item.key)
    if item.event_type == "RESTORED":
        return [{"ledger_id": ledger_id, "kind": "deleted by", "seq": entity.deleted_seq}] if entity and not entity.live else []
    if item.event_type == "DELETED" and item.aggregate_type != "reminder":
        return [{"ledger_id": ledger_id, "kind": f"of {item.aggregate_type}", "id": item.aggregate_id}]
    if "repays" in item.event_data:
        return [{"ledger_id": ledger_id, "kind": "of transaction", "id": item.aggregate_id}]
    return []


async def _fetch(connection: Connection, books: Mapping[str, Book], query: str, wanted: list[dict[str, Any]]) -> None:
    # A prepared plan may be of the time when the tables were empty; where many rows are wanted, a new one pays for itself.
    prepare = None if len(wanted) < PLAN_ANEW_FROM else False
    cursor = await connection.execute(query, {"wanted": msgspec.json.encode(wanted).decode()}, prepare=prepare)
    for kind, ledger_id, text in await cursor.fetchall():
        book, row = books[ledger_id], msgspec.json.decode(text)
        match kind:
            case "event":
                book.known[row["event_id"]] = Known(
                    row["seq"], _bytes(row["fingerprint"]), row["fact"].encode(), _bytes(row["hash"])
                )
            case "rejection":
                found = msgspec.convert(row["errors"], tuple[errors.FieldError, ...])
                refusal = Refusal(_bytes(row["fingerprint"]), row["code"], row["detail"], found)
                book.refused[row["event_id"]] = refusal
            case _:
                entity = codec.entity(kind, row)
                book.ledger.entities[entity.key] = entity


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("\\x"))


def _moved_at_most(book: Book, ledger_id: str, pushes: Sequence[Push]) -> int:
    """A bound of Σ |amount| over all postings that `pushes` can make in this ledger."""
    mine = (item for push in pushes if push.ledger_id == ledger_id for item in push.items if isinstance(item, Command))
    offered = (getattr(item.payload, "amount", UNSET) for item in mine)
    held: list[int] = [other.fields["amount"] for other in book.ledger.entities.values() if "amount" in other.fields]
    return LARGEST_MOVE * (sum(amount for amount in offered if isinstance(amount, int)) + sum(held))


async def _load_balances(connection: Connection, book: Book) -> None:
    cursor = await connection.execute(
        "select contact_id::text, currency, sum(amount) from debitum.postings where ledger_id = %s group by 1, 2",
        (UUID(book.ledger.id),),
    )
    book.ledger.balances = {(contact, currency): int(amount) for contact, currency, amount in await cursor.fetchall()}


def _insert(table: str) -> str:
    """Insert rows of `table` from a JSON array; columns are named, so that newer ones may have defaults."""
    names = ", ".join(_names(table))
    rows = f"json_populate_recordset(null::debitum.{table}, %({table})s::json)"
    return f"insert into debitum.{table} ({names}) select {names} from {rows}"  # noqa: S608  # names of our own tables


def _upsert(table: str) -> str:
    """The same, overwriting the rows that are there."""
    updates = ", ".join(f"{name} = excluded.{name}" for name in _names(table) if name not in ("ledger_id", "id"))
    return f"{_insert(table)} on conflict (ledger_id, id) do update set {updates}"


def _names(table: str) -> list[str]:
    return [column.name for column in tables.metadata.tables[f"{tables.SCHEMA}.{table}"].columns]


_WRITE = f"""
with contacts_written as ({_upsert("contacts")}),
transactions_written as ({_upsert("transactions")}),
reminders_written as ({_upsert("reminders")}),
postings_written as ({_insert("postings")}),
conflicts_written as ({_insert("conflicts")}),
rejections_written as ({_insert("rejections")} on conflict do nothing),
events_written as ({_insert("events")})
update debitum.ledgers l
set version = h.version, head_hash = h.hash, recorded_at = h.recorded_at, turnover = h.turnover, dirty = true
from json_to_recordset(%(heads)s::json) as h(id uuid, version bigint, hash bytea, recorded_at timestamptz, turnover numeric)
where l.id = h.id
"""  # noqa: S608  # built from the names of our own tables; every value is bound


async def _write(connection: Connection, books: Mapping[str, Book]) -> None:
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _SECTIONS}
    for book in books.values():
        _add_rows(rows, book)
    if any(rows.values()):
        await connection.execute(_WRITE, {name: msgspec.json.encode(section).decode() for name, section in rows.items()})


_SECTIONS = ("heads", "events", "contacts", "transactions", "reminders", "postings", "conflicts", "rejections")


def _add_rows(rows: dict[str, list[dict[str, Any]]], book: Book) -> None:
    ledger_id, ledger = book.ledger.id, book.ledger
    for fact, step in book.steps:
        known = book.known[fact.id]
        place = {"ledger_id": ledger_id, "seq": fact.seq}
        rows["events"].append(place | _event(fact, known))
        for line, posting in enumerate(step.postings):
            rows["postings"].append(place | {"line": line, "recorded_at": fact.recorded_at} | msgspec.structs.asdict(posting))
        if fact.conflict:
            aggregate = {"aggregate_type": fact.aggregate_type, "aggregate_id": fact.aggregate_id}
            settled = {"kind": fact.conflict.kind, "with_seq": fact.conflict.with_seq}
            rows["conflicts"].append(place | {"event_id": fact.id} | aggregate | settled)
    for key in {key for _, step in book.steps for key in step.entities}:
        rows[f"{key[0]}s"].append(codec.columns(ledger_id, ledger.entities[key]))
    for event_id, refusal in book.refusals.items():
        rows["rejections"].append(_rejection(ledger_id, event_id, refusal, book.recorded_at))
    if book.steps:
        assert ledger.hash is not None
        head = {"id": ledger_id, "version": ledger.version, "hash": f"\\x{ledger.hash.hex()}"}
        rows["heads"].append(head | {"recorded_at": book.recorded_at, "turnover": str(ledger.turnover)})


def _event(fact: facts.Fact, known: Known) -> dict[str, Any]:
    return {
        "event_id": fact.id,
        "aggregate_type": fact.aggregate_type,
        "aggregate_id": fact.aggregate_id,
        "event_type": fact.event_type,
        "device_id": fact.device_id or None,
        "status": fact.status,
        "recorded_at": fact.recorded_at,
        "fingerprint": f"\\x{known.fingerprint.hex()}",
        "hash": f"\\x{known.hash.hex()}",
        "fact": known.text.decode(),
    }


def _rejection(ledger_id: str, event_id: str, refusal: Refusal, at: str) -> dict[str, Any]:
    return {
        "ledger_id": ledger_id,
        "event_id": event_id,
        "fingerprint": f"\\x{refusal.fingerprint.hex()}",
        "code": refusal.code,
        "detail": refusal.detail,
        "errors": refusal.errors,
        "command": refusal.command,
        "at": at,
    }
