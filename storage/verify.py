"""Proof that a ledger is what its log says: every link of the chain, every projection, every posting and balance."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Row, Uuid, bindparam, text

from domain import chain, facts
from domain.facts import Fact
from domain.fold import DELETED_AT, Dispute, Entity, Ledger, Step, fold
from storage import codec, sealing
from storage.encryption import Cipher, KeyRing, KeyRingError
from storage.engine import Begin

PAGE_ROWS: Final = 1_000
_STREAM: Final = {"yield_per": PAGE_ROWS}
_FIRST: Final = UUID(int=0)
_KINDS: Final[Mapping[str, facts.AggregateType]] = {"contacts": "contact", "transactions": "transaction", "reminders": "reminder"}


@dataclass(frozen=True)
class Finding:
    """Something that the log does not explain, or a break of the log at `seq`. `what` names fields, never values."""

    ledger_id: UUID
    seq: int | None
    what: str

    def line(self) -> str:
        """For people."""
        return f"ledger {self.ledger_id}{'' if self.seq is None else f', seq {self.seq}'}: {self.what}"


class _Broken(Exception):
    """The log cannot be read on from here."""


@dataclass
class _Replay:
    """A ledger folded anew, beside what is read of it."""

    ledger: Ledger
    cipher: Cipher
    recorded_at: str = ""
    postings: list[tuple[int, int, str, str, str, int, str, str]] = field(default_factory=list)


def ledgers(begin: Begin) -> Iterator[UUID]:
    """The ids of all ledgers, in order; a page a transaction."""
    after = _FIRST
    while True:
        with begin() as connection:
            page = connection.scalars(_LEDGERS, {"after": after, "limit": PAGE_ROWS}).all()
        yield from page
        if len(page) < PAGE_ROWS:
            return
        after = page[-1]


def named(connection: Connection, name: str) -> list[UUID]:
    """The ledgers whose id is `name`, or whose digest (SHA-256 of the id's 16 bytes, in hexadecimal) begins with it."""
    return list(connection.scalars(_NAMED, {"name": name}))


def verify(connection: Connection, ledger_id: UUID, keys: KeyRing) -> Iterator[Finding]:
    """What is wrong with one ledger: the first break of its log, or else the first wrong row of each table.

    `keys` open what is sealed. `connection` must be in one repeatable-read snapshot, or a writer looks like corruption.
    Holds the ledger in memory.
    """
    head = connection.execute(_HEAD, {"ledger": ledger_id}).one_or_none()
    if head is None:
        return
    try:
        replay = _Replay(Ledger(str(ledger_id)), keys.cipher(str(ledger_id), head.data_key))
    except KeyRingError as error:
        yield Finding(ledger_id, None, str(error))
        return
    try:
        with connection.execute(_EVENTS, {"ledger": ledger_id}, execution_options=_STREAM) as rows:
            for row in rows:
                _take(replay, row)
    except _Broken as error:
        yield Finding(ledger_id, replay.ledger.version + 1, str(error))
        return
    for what in _head_problems(replay, head):
        yield Finding(ledger_id, replay.ledger.version, what)
    for name, kind in _KINDS.items():
        yield from _entities(connection, name, kind, replay)
    yield from _conflicts(connection, ledger_id, replay.ledger)
    yield from _postings(connection, ledger_id, replay)
    yield from _balances(connection, ledger_id, replay)


def _take(replay: _Replay, row: Row[*tuple[Any, ...]]) -> None:
    ledger = replay.ledger
    if row.seq != ledger.version + 1:
        raise _Broken("is missing")
    try:
        text_of_fact = sealing.fact_text(replay.cipher, row.event_id, row.fact, row.sealed)
    except KeyRingError as error:
        raise _Broken("is sealed, and does not open") from error
    if chain.link(ledger.hash, text_of_fact) != row.hash:
        raise _Broken("the hash is not that of this fact after the one before")
    try:
        fact = msgspec.json.decode(text_of_fact, type=Fact)
    except msgspec.MsgspecError as error:
        raise _Broken("is not a fact") from error
    if chain.canonical(fact) != text_of_fact:
        raise _Broken("is not in canonical form")
    told = (fact.seq, fact.id, *fact.key, fact.event_type, fact.device_id or None, fact.status, fact.recorded_at)
    kept = (row.seq, row.event_id, row.aggregate_type, row.aggregate_id, row.event_type, row.device_id, row.status)
    if told != (*kept, facts.wire_time(row.recorded_at)):
        raise _Broken("the columns beside the fact say something else")
    if fact.recorded_at < replay.recorded_at:
        raise _Broken("was recorded before the one before")
    replay.recorded_at = fact.recorded_at
    _fold(replay, fact)
    ledger.hash = row.hash


def _fold(replay: _Replay, fact: Fact) -> None:
    for change in fact.changes:
        entity = replay.ledger.entities.get(change.key)
        if (entity is None) != (change.op == "create"):
            raise _Broken(f"{change.op} of a {change.aggregate_type} that is {'not ' if entity is None else ''}there")
        for name, (before, _) in change.fields.items():
            if before != _value(entity, name):
                raise _Broken(f"{name} was not what the fact says that it was")
    try:
        step = fold(replay.ledger, fact)
    except KeyError as error:
        raise _Broken("settles a conflict that is not there") from error
    _remember_postings(replay, fact, step)
    replay.ledger.take(step)


def _value(entity: Entity | None, name: str) -> Any:
    if entity is None:
        return None
    return entity.deleted_at if name == DELETED_AT else entity.fields.get(name)


def _remember_postings(replay: _Replay, fact: Fact, step: Step) -> None:
    for line, one in enumerate(step.postings):
        place = (fact.seq, line, one.contact_id, one.transaction_id, one.currency, one.amount)
        replay.postings.append((*place, one.effective_date, fact.recorded_at))


def _head_problems(replay: _Replay, head: Row[*tuple[Any, ...]]) -> Iterator[str]:
    if head.version != replay.ledger.version:
        yield f"the head is at {head.version}, the log ends earlier or later"
    elif head.head_hash != replay.ledger.hash:
        yield "the head has another hash than the last fact"
    elif head.recorded_at is not None and facts.wire_time(head.recorded_at) != replay.recorded_at:
        yield "the head has another time than the last fact"
    if int(head.turnover) != replay.ledger.turnover:
        yield "the turnover of the head is not that of the postings"


def _entities(connection: Connection, name: str, kind: facts.AggregateType, replay: _Replay) -> Iterator[Finding]:
    ledger_id = UUID(replay.ledger.id)
    expected = {key[1]: entity for key, entity in replay.ledger.entities.items() if key[0] == kind}
    for row in _rows(connection, name, ledger_id):
        entity = expected.pop(row["id"], None)
        if entity is None:
            yield Finding(ledger_id, row["changed_seq"], f"{name} {row['id']} is not in the log")
            return
        try:
            found = codec.entity(kind, row, replay.cipher)
        except KeyRingError:
            yield Finding(ledger_id, entity.changed_seq, f"{name} {entity.id} is sealed, and does not open")
            return
        wrong = [one for one in Entity.__struct_fields__ if getattr(found, one) != getattr(entity, one)]
        if "fields" in wrong:
            wrong.remove("fields")
            wrong += [one for one, value in entity.fields.items() if found.fields[one] != value]
        wrong += [one for one, value in codec.derived(entity).items() if row[one] != value]
        if wrong:
            yield Finding(ledger_id, entity.changed_seq, f"{name} {entity.id} is not what the log says: {', '.join(wrong)}")
            return
    for entity in sorted(expected.values(), key=lambda one: one.changed_seq)[:1]:
        yield Finding(ledger_id, entity.changed_seq, f"{name} {entity.id} is missing")


def _conflicts(connection: Connection, ledger_id: UUID, ledger: Ledger) -> Iterator[Finding]:
    found = {row["event_id"]: msgspec.convert(row, Dispute) for row in _rows(connection, "conflicts", ledger_id)}
    wrong = [event_id for event_id in found.keys() | ledger.conflicts if found.get(event_id) != ledger.conflicts.get(event_id)]
    for event_id in sorted(wrong)[:1]:
        dispute = ledger.conflicts.get(event_id) or found[event_id]
        yield Finding(ledger_id, dispute.seq, f"conflicts {event_id} is not what the log says")


def _postings(connection: Connection, ledger_id: UUID, replay: _Replay) -> Iterator[Finding]:
    with connection.execute(_POSTINGS, {"ledger": ledger_id}, execution_options=_STREAM) as rows:
        found = [(*row[:7], facts.wire_time(row.recorded_at)) for row in rows]
    wrong = sorted(set(found) ^ set(replay.postings))
    if wrong:
        yield Finding(ledger_id, wrong[0][0], f"postings line {wrong[0][1]} is not what the log says")


def _balances(connection: Connection, ledger_id: UUID, replay: _Replay) -> Iterator[Finding]:
    rows = connection.execute(_BALANCES, {"ledger": ledger_id}).all()
    covered = rows[0].covered_seq if rows else 0
    posted: Counter[tuple[str, str]] = Counter()
    for seq, _, contact_id, _, currency, amount, _, _ in replay.postings:
        posted[contact_id, currency] += amount if seq <= covered else 0
    found = {(row.contact_id, row.currency): row.amount for row in rows if row.contact_id is not None}
    if found != {account: amount for account, amount in posted.items() if amount}:
        yield Finding(ledger_id, covered, "balances are not the sums of the postings that they cover")


def _rows(connection: Connection, name: str, ledger_id: UUID) -> Iterator[dict[str, Any]]:
    query = f"select row_to_json(t)::text from debitum.{name} t where ledger_id = :ledger"  # noqa: S608  # a name of ours
    statement = text(query).bindparams(bindparam("ledger", type_=Uuid))
    with connection.execute(statement, {"ledger": ledger_id}, execution_options=_STREAM) as rows:
        for row in rows:
            yield msgspec.json.decode(row[0])


_LEDGERS = text("select id from debitum.ledgers where id > :after order by id limit :limit").columns(id=Uuid)

_NAMED = text("""
    select id from debitum.ledgers where id::text = :name or starts_with(encode(sha256(uuid_send(id)), 'hex'), :name) order by id
""").columns(id=Uuid)

_OF_LEDGER = bindparam("ledger", type_=Uuid)

_HEAD = text("""
    select version, head_hash, recorded_at, turnover, data_key from debitum.ledgers where id = :ledger
""").bindparams(_OF_LEDGER)

_EVENTS = text("""
    select seq, event_id::text, aggregate_type, aggregate_id::text, event_type, device_id::text, status, recorded_at, hash, fact,
           sealed
    from debitum.events where ledger_id = :ledger order by seq
""").bindparams(_OF_LEDGER)

_POSTINGS = text("""
    select seq, line::int, contact_id::text, transaction_id::text, currency, amount, effective_date::text, recorded_at
    from debitum.postings where ledger_id = :ledger order by seq, line
""").bindparams(_OF_LEDGER)

_BALANCES = text("""
    select mark.covered_seq, balance.contact_id::text, balance.currency, balance.amount
    from debitum.projection_marks mark left join debitum.balances balance on balance.ledger_id = mark.ledger_id
    where mark.ledger_id = :ledger
""").bindparams(_OF_LEDGER)
