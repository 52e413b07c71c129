"""The window query and the pure function say the same of any ledger."""

import datetime
import os
import uuid
from collections import Counter
from random import Random
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, func, select, text

from domain import allocation as rules
from storage import allocation, current, engine, projections, roles, tables
from storage.reader import Reader
from tests.storage import plans, rows

LEDGERS, SEED = int(os.environ.get("FUZZ_LEDGERS", "1000")), int(os.environ.get("FUZZ_SEED", "20261122"))
"""`make fuzz` makes 10,000, and others."""


def _generated(random: Random, ledger_id: uuid.UUID) -> list[dict[str, Any]]:
    """A ledger of a few contacts and currencies, with links to whatever is there, also across contacts and to items."""
    contacts = [uuid.UUID(int=number, version=4) for number in range(1, random.randint(2, 4))]
    ids = [uuid.UUID(int=random.getrandbits(128), version=4) for _ in range(random.randint(1, 14))]
    return [_transaction(random, ledger_id, random.choice(contacts), seq, ids) for seq in range(1, len(ids) + 1)]


def _transaction(random: Random, ledger_id: uuid.UUID, contact_id: uuid.UUID, seq: int, ids: list[uuid.UUID]) -> dict[str, Any]:
    is_item = random.random() < 0.1
    is_deleted = random.random() < 0.15
    is_returned = is_item and random.random() < 0.5
    due_date = datetime.date(2026, 1, random.randint(1, 6)) if random.random() < 0.5 else None
    return {
        "ledger_id": ledger_id,
        "id": ids[seq - 1],
        "created_seq": seq,
        "created_at": rows.LONG_AGO,
        "changed_seq": seq,
        "updated_at": rows.LONG_AGO,
        "deleted_seq": seq if is_deleted else None,
        "deleted_at": rows.LONG_AGO if is_deleted else None,
        "marks": {},
        "contact_id": contact_id,
        "type": "item" if is_item else "money",
        "direction": random.choice(["lent", "owed"]),
        "amount": random.randint(1, 30),
        "currency": None if is_item else random.choice(["EUR", "EUR", "JPY"]),
        "item": "Drill" if is_item else None,
        "transaction_date": datetime.date(2026, 1, random.randint(1, 6)),
        "due_date": due_date,
        "due_changed_at": rows.LONG_AGO if due_date else None,
        "repays": random.choice(ids) if not is_item and random.random() < 0.5 else None,
        "returned_at": rows.LONG_AGO if is_returned else None,
    }


def _by_the_rules(ledger: list[dict[str, Any]]) -> dict[uuid.UUID, int]:
    opened = {
        row["id"]: row["amount"] if row["returned_at"] is None else 0
        for row in ledger
        if row["type"] == "item" and row["deleted_seq"] is None
    }
    pockets: dict[tuple[uuid.UUID, str], list[rules.Entry]] = {}
    for row in ledger:
        if row["type"] == "money":
            entry = rules.Entry(
                id=row["id"],
                direction=row["direction"],
                amount=row["amount"],
                ripe=row["due_date"] or row["transaction_date"],
                seq=row["created_seq"],
                repays=row["repays"],
                deleted=row["deleted_seq"] is not None,
            )
            pockets.setdefault((row["contact_id"], row["currency"]), []).append(entry)
    for entries in pockets.values():
        opened |= rules.open_amounts(entries)
    return opened


@pytest.fixture
def generated(database: Engine) -> dict[uuid.UUID, list[dict[str, Any]]]:
    random = Random(SEED)
    ledgers = {}
    for _ in range(LEDGERS):
        ledger_id = uuid.UUID(int=random.getrandbits(128), version=4)
        ledgers[ledger_id] = _generated(random, ledger_id)
    names = list(next(iter(ledgers.values()))[0])
    with database.begin() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        with driver.cursor() as cursor, cursor.copy(f"copy debitum.transactions ({', '.join(names)}) from stdin") as copy:
            for ledger in ledgers.values():
                for row in ledger:
                    copy.write_row(["{}" if name == "marks" else row[name] for name in names])
        connection.execute(text("analyze debitum.transactions"))
    return ledgers


def _account_for(driver: psycopg.Connection[Any], ledger_id: uuid.UUID, ledger: list[dict[str, Any]], *, covered: int) -> None:
    """What follows from the transactions: postings, and balances that cover them up to a seq."""
    live = [row for row in ledger if row["type"] == "money" and row["deleted_seq"] is None]
    signed = [row["amount"] if row["direction"] == "lent" else -row["amount"] for row in live]
    sums: Counter[tuple[uuid.UUID, str]] = Counter()
    for row, amount in zip(live, signed, strict=True):
        if row["created_seq"] <= covered:
            sums[row["contact_id"], row["currency"]] += amount
    with driver.cursor() as cursor:
        cursor.executemany(
            "insert into debitum.postings values (%s, %s, 0, %s, %s, %s, %s, current_date, %s)",
            [
                (ledger_id, row["created_seq"], *(row[name] for name in ("contact_id", "id", "currency")), amount, rows.LONG_AGO)
                for row, amount in zip(live, signed, strict=True)
            ],
        )
        cursor.executemany(
            "insert into debitum.balances values (%s, %s, %s, %s)", [(ledger_id, *account, sum) for account, sum in sums.items()]
        )
        cursor.execute("insert into debitum.projection_marks values (%s, %s, now())", [ledger_id, covered])


def _opened(connection: Connection, **scope: Any) -> dict[tuple[uuid.UUID, uuid.UUID], int]:
    return {(row[0], row[1]): row[2] for row in connection.execute(allocation.open_amounts(**scope))}


def test_the_query_agrees_with_the_rules_on_generated_ledgers(
    database: Engine, generated: dict[uuid.UUID, list[dict[str, Any]]]
) -> None:
    expected = {
        (ledger_id, transaction_id): amount
        for ledger_id, ledger in generated.items()
        for transaction_id, amount in _by_the_rules(ledger).items()
    }
    with database.begin() as connection:
        roles.enter(connection, roles.JOBS)
        assert _opened(connection) == expected
    assert len(expected) > LEDGERS
    assert 0 in expected.values()


async def test_of_single_transactions_it_says_the_same(
    database: Engine, generated: dict[uuid.UUID, list[dict[str, Any]]]
) -> None:
    reader = Reader(database.url.render_as_string(hide_password=False))
    ledgers, dice = list(generated.items())[: LEDGERS // 2], Random(SEED)
    with database.begin() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        for ledger_id, ledger in ledgers:
            _account_for(driver, ledger_id, ledger, covered=dice.randint(0, len(ledger)))
    try:
        for start in range(0, len(ledgers), 1_000):
            some = ledgers[start : start + 1_000]
            expected = {(ledger_id, row["id"]): 0 for ledger_id, ledger in some for row in ledger}
            for ledger_id, ledger in some:
                expected |= {(ledger_id, id): amount for id, amount in _by_the_rules(ledger).items()}
            found = await current.transactions(reader, list(expected))
            assert {place: shown.open_amount for place, shown in found.items()} == expected
    finally:
        await reader.close()


def test_of_the_past_of_a_contact_little_is_read(database: Engine) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        contact, first = ledger.contact(), datetime.date(2025, 1, 1)
        ids = [ledger.money(contact, due_date=first + datetime.timedelta(days=day)) for day in range(300)]
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.execute(roles.ENTER_BY_KEYS, roles.parameters(roles.API, [ledger.id]))
        asked = {"ledgers": [ledger.id], "ids": [ids[-3]]}
        assert plans.looked_at(connection, current.TRANSACTIONS, asked, "transactions") <= 5  # itself, and it with those after it


async def test_of_a_page_no_more_travels_than_it_shows(database: Engine, database_url: str) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        contact = ledger.contact()
        debts = [ledger.money(contact, amount=100, due_date=datetime.date(2025, 1, day)) for day in range(1, 31)]
        ledger.money(contact, amount=250, direction="owed")
        gone = ledger.money(contact, amount=100, deleted_seq=99, deleted_at=rows.LONG_AGO)
    reader = engine.async_engine(database_url, "debitum-test")
    async with reader.begin() as reading:
        await roles.enter_async(reading, roles.API, [ledger.id])
        page = [await projections.transaction(reading, ledger.id, id) for id in (*debts[:4], gone)]
        found = await projections.open_amounts(reading, ledger.id, [row for row in page if row is not None])
    await reader.dispose()
    assert found == dict(zip(debts[:4], (0, 0, 50, 100), strict=True))


def test_a_scope_gives_the_same_amounts_as_everything(database: Engine, generated: dict[uuid.UUID, list[dict[str, Any]]]) -> None:
    ledger_id, ledger = next((key, value) for key, value in generated.items() if len({row["contact_id"] for row in value}) > 1)
    contact_id = ledger[0]["contact_id"]
    of_contact = {row["id"] for row in ledger if row["contact_id"] == contact_id}
    table = tables.transactions
    pairs = select(table.c.ledger_id, table.c.contact_id).where(table.c.ledger_id == ledger_id, table.c.id == ledger[0]["id"])
    with database.begin() as connection:
        roles.enter(connection, roles.JOBS)
        everything = _opened(connection)
        of_ledger = _opened(connection, ledger_id=ledger_id)
        by_id = _opened(connection, ledger_id=ledger_id, contact_ids=[contact_id])
        by_pair = _opened(connection, contacts=pairs)
    assert of_ledger == {key: amount for key, amount in everything.items() if key[0] == ledger_id}
    assert by_id == by_pair == {key: amount for key, amount in of_ledger.items() if key[1] in of_contact}


def test_it_joins_the_transactions_that_it_is_about(database: Engine) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        contact = ledger.contact()
        ledger.money(contact, 2**53 - 1)
        ledger.money(contact, 2**53 - 1, direction="owed")
        ledger.money(contact, 5)
        opened = allocation.open_amounts(ledger_id=ledger.id).subquery()
        joined = tables.transactions.join(opened, tables.transactions.c.id == opened.c.transaction_id)
        statement = select(func.sum(opened.c.open_amount)).select_from(joined).where(opened.c.open_amount > 0)
        assert connection.execute(statement).scalar_one() == 5
