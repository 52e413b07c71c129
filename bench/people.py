"""Many users at once: signed in, each with a ledger in which there is somebody who may owe them something."""

import datetime
import hashlib
import itertools
import uuid
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from api.tokens import Tokens
from domain import facts
from domain.case import Defaults
from domain.facts import Command
from storage import ledgers, urls
from storage.encryption import KeyRing
from storage.ledgers import Push, Receipt

TOGETHER: Final = 500
"""Ledgers that get their contact in one transaction."""
DEFAULTS: Final = Defaults("EUR", "UTC")
LUNCH: Final = "lunch and a taxi"
KINDS: Final = ("user", "session", "ledger", "contact")
"""The id of each is md5('<kind> <number>')::uuid."""


class Person(NamedTuple):
    """A user with one session, their ledger, and the contact in it."""

    user_id: str
    session_id: str
    ledger_id: str
    contact_id: str

    def token(self, tokens: Tokens) -> str:
        """A new access token."""
        return tokens.issue(uuid.UUID(self.user_id), uuid.UUID(self.session_id), now=datetime.datetime.now(datetime.UTC))


def person(number: int) -> Person:
    """The user of that number: the ids are what Postgres makes of the same texts, for whoever can only count."""
    digests = (hashlib.md5(f"{kind} {number}".encode(), usedforsecurity=False).hexdigest() for kind in KINDS)
    return Person(*(str(uuid.UUID(digest)) for digest in digests))


async def make(url: str, keys: KeyRing, count: int) -> list[Person]:
    """`count` users in a database without any; their contacts came into the log like all others."""
    people = [person(number) for number in range(count)]
    with psycopg.connect(urls.libpq_url(url)) as connection:
        _sign_up(connection, keys, people)
    async with await urls.async_connection(url, "debitum-bench") as writer:
        for first in range(0, count, TOGETHER):
            async with writer.transaction():
                pushes = [Push(one.ledger_id, [_contact(one)], DEFAULTS) for one in people[first : first + TOGETHER]]
                answers = await ledgers.commit(writer, pushes, keys)
            assert all(isinstance(answer, Receipt) and answer.version == 1 for answer in answers)
    return people


async def befriend(url: str, keys: KeyRing, one: Person, count: int) -> list[Person]:
    """So many more contacts in the ledger of `one`: the same person with each of them."""
    friends = [one._replace(contact_id=str(uuid.uuid4())) for _ in range(count)]
    async with await urls.async_connection(url, "debitum-bench") as writer, writer.transaction():
        [answer] = await ledgers.commit(writer, [Push(one.ledger_id, [_contact(friend) for friend in friends], DEFAULTS)], keys)
    assert isinstance(answer, Receipt)
    assert answer.version == 1 + count
    return friends


async def owe(url: str, keys: KeyRing, persons: Sequence[Person], debts: int, descriptions: Sequence[str] = (LUNCH,)) -> None:
    """So many debts of each one's contact, in the log like all others; `descriptions` in turn."""
    together, said = max(1, TOGETHER // debts), itertools.cycle(descriptions)
    async with await urls.async_connection(url, "debitum-bench") as writer:
        for first in range(0, len(persons), together):
            group = persons[first : first + together]
            async with writer.transaction():
                pushes = [Push(one.ledger_id, [_debt(one, next(said)) for _ in range(debts)], DEFAULTS) for one in group]
                answers = await ledgers.commit(writer, pushes, keys)
            for answer in answers:
                assert isinstance(answer, Receipt)
                assert all(outcome.status == "accepted" for outcome in answer.outcomes)


def _sign_up(connection: psycopg.Connection[tuple[object, ...]], keys: KeyRing, people: Sequence[Person]) -> None:
    """What registration writes, but for the hash of a password: that alone would take an hour."""
    now = datetime.datetime.now(datetime.UTC)
    later = now + datetime.timedelta(days=30)
    rows: dict[str, list[tuple[object, ...]]] = {
        "users (id, ledger_id, email, password_hash, time_zone, locale, default_currency, reminder_settings, created_at)": [
            (one.user_id, one.ledger_id, f"{one.user_id}@example.org", "", "UTC", "en", "EUR", Jsonb({}), now) for one in people
        ],
        "ledgers (id, owner_id, data_key, created_at)": [
            (one.ledger_id, one.user_id, keys.new_data_key(one.ledger_id), now) for one in people
        ],
        "devices (user_id, id, name, created_at, last_seen_at)": [
            (one.user_id, one.session_id, "bench", now, now) for one in people
        ],
        "sessions (id, user_id, device_id, created_at, last_used_at, expires_at)": [
            (one.session_id, one.user_id, one.session_id, now, now, later) for one in people
        ],
    }
    for table, lines in rows.items():
        with connection.cursor() as cursor, cursor.copy(f"copy debitum.{table} from stdin") as copy:
            for line in lines:
                copy.write_row(line)
    connection.commit()
    connection.autocommit = True
    connection.execute("vacuum analyze")


def _contact(one: Person) -> Command:
    data = {"name": f"Contact {one.contact_id[:8]}"}
    return Command(
        id=str(uuid.uuid4()),
        aggregate_type="contact",
        aggregate_id=one.contact_id,
        event_type="CREATED",
        payload=facts.ContactCreated(**data),
        event_data=data,
        fingerprinted=data,
    )


def lunch(one: Person) -> dict[str, str | int]:
    """The debt that is written again and again where only its writing counts."""
    return {
        "contact_id": one.contact_id,
        "direction": "lent",
        "amount": 1250,
        "currency": "EUR",
        "description": "lunch and taxi to the concert",
        "transaction_date": "2026-11-20",
        "due_date": "2026-12-20",
    }


def lunch_body(one: Person) -> bytes:
    """The same as the body of a request."""
    return msgspec.json.encode(lunch(one))


def _debt(one: Person, description: str) -> Command:
    data = {
        "contact_id": one.contact_id,
        "direction": "lent",
        "amount": 1250,
        "currency": "EUR",
        "description": description,
    }
    return Command(
        id=str(uuid.uuid4()),
        aggregate_type="transaction",
        aggregate_id=str(uuid.uuid4()),
        event_type="CREATED",
        payload=msgspec.convert(data, facts.TransactionCreated),
        event_data=data,
        fingerprinted=data,
        device_id=one.session_id,
    )
