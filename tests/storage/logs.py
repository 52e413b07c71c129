"""Ledgers with a past: commands decided by the domain, recorded at moments of one's choice, and all that follows from them."""

import datetime
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
from sqlalchemy import Connection, insert, update

from domain import chain, facts
from domain.facts import Command, Fact
from domain.fold import Ledger, fold
from domain.sequence import Book, Outcome, take
from storage import projecting, sealing, tables
from storage.encryption import Cipher
from tests.factories import DEFAULTS, Chaos
from tests.pipelines import postings
from tests.storage.test_ledgers import KEYS


@dataclass(frozen=True)
class Past:
    """A ledger and its facts, oldest first."""

    ledger_id: UUID
    facts: list[Fact]

    def at(self, end: datetime.datetime) -> Ledger:
        """The state before `end`, folded by the domain."""
        ledger = Ledger(str(self.ledger_id))
        for fact in self.facts:
            if facts.parse_time(fact.recorded_at) < end:
                ledger.take(fold(ledger, fact))
        return ledger

    def named(self, day: datetime.date) -> set[str]:
        """The ids of what the facts of that UTC day changed."""
        facts_of_day = (fact for fact in self.facts if facts.parse_time(fact.recorded_at).date() == day)
        return {change.aggregate_id for fact in facts_of_day for change in fact.changes}


def past(connection: Connection, seed: int, first: datetime.datetime, every: datetime.timedelta, *, length: int = 60) -> Past:
    """A new ledger with a random history: a command each `every`, from `first` on."""
    chaos = Chaos(seed)

    def at_random(book: Book) -> list[Outcome]:
        outcomes = take(book, [chaos.next(book.ledger.version)], defaults=DEFAULTS)
        chaos.hear(outcomes)
        return outcomes

    ledger_id = UUID(int=random.Random(seed).getrandbits(128), version=4)  # anywhere among all ids
    return _told(connection, ledger_id, [(first + number * every, at_random) for number in range(length)])


def told(connection: Connection, *said: tuple[datetime.datetime, Command]) -> Past:
    """A new ledger of which these commands were recorded at these moments."""

    def of(command: Command) -> Callable[[Book], list[Outcome]]:
        return lambda book: take(book, [command], defaults=DEFAULTS)

    return _told(connection, uuid4(), [(at, of(command)) for at, command in said])


def _told(
    connection: Connection, ledger_id: UUID, steps: Iterable[tuple[datetime.datetime, Callable[[Book], list[Outcome]]]]
) -> Past:
    steps = list(steps)
    postings.ledger(connection, created_at=steps[0][0], id=ledger_id)
    sealed_key = KEYS.new_data_key(str(ledger_id))
    book = Book(Ledger(str(ledger_id)), KEYS.open_data_key(str(ledger_id), sealed_key), "")
    for at, step in steps:
        book.recorded_at = facts.wire_time(at)
        step(book)
    _store(connection, book, sealed_key)
    return Past(ledger_id, [fact for fact, _ in book.steps])


def _store(connection: Connection, book: Book, sealed_key: bytes) -> None:
    cipher = KEYS.cipher(book.ledger.id, sealed_key)
    connection.execute(insert(tables.events), [_event(book, cipher, fact) for fact, _ in book.steps])
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    for name, rows in projecting.rows(cipher, book.ledger, book.steps).items():
        write = projecting.insert if name == "postings" else projecting.upsert
        driver.execute(write(name).encode(), {name: msgspec.json.encode(rows).decode()})
    last = book.steps[-1][0]
    head = {
        "version": last.seq,
        "head_hash": book.known[last.id].hash,
        "recorded_at": facts.parse_time(last.recorded_at),
        "turnover": book.ledger.turnover,
        "data_key": sealed_key,
        "dirty": True,
    }
    connection.execute(update(tables.ledgers).where(tables.ledgers.c.id == UUID(book.ledger.id)).values(head))


def _event(book: Book, cipher: Cipher, fact: Fact) -> dict[str, Any]:
    known = book.known[fact.id]
    kept = sealing.store_fact(cipher, fact, chain.canonical(fact))
    return {
        "ledger_id": UUID(book.ledger.id),
        "seq": fact.seq,
        "event_id": UUID(fact.id),
        "aggregate_type": fact.aggregate_type,
        "aggregate_id": UUID(fact.aggregate_id),
        "event_type": fact.event_type,
        "device_id": UUID(fact.device_id) if fact.device_id else None,
        "status": fact.status,
        "recorded_at": facts.parse_time(fact.recorded_at),
        "fingerprint": known.fingerprint,
        "hash": known.hash,
        "fact": kept["fact"],
        "sealed": None if kept["sealed"] is None else sealing.from_hexadecimal(kept["sealed"]),
    }
