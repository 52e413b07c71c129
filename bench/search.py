"""Asks what a search costs in one ledger while the table holds a million transactions of many."""

import asyncio
import json
import random
import sys
import uuid
from collections.abc import Sequence

from sqlalchemy import text

from bench import harness
from domain import words
from storage import engine, roles, search
from storage.pages import Page

SHAPE = ((100, 4_000), (1_000, 500), (10_000, 10))
"""(transactions of a ledger, such ledgers): a million in all."""
LARGEST = (100_000, 1)
"""With --long one more ledger, so large that nobody has it; it has no goal."""
CALLS, ROUNDS = 30, 3
_WORDS = (
    "lunch dinner coffee cinema train taxi rent tent drill ladder book concert ticket groceries pizza beer wine gift hotel"
    " flight petrol parking museum Straßenbahn Smørrebrød Žižkov Łódź café crème brûlée Ærø Þingvellir ışık"
)
VOCABULARY = tuple(_WORDS.split())

_FILL = text("""
    insert into debitum.transactions (ledger_id, id, created_seq, created_at, changed_seq, updated_at, marks, contact_id, type,
                                      direction, amount, currency, description, transaction_date, words)
    select :ledger, gen_random_uuid(), n.n, now(), n.n, now(), '{}', gen_random_uuid(), 'money', 'lent', n.n, 'EUR',
           texts.description, date '2026-01-01', texts.words::tsvector
    from generate_series(1, :size) as n(n)
    join json_to_recordset(:texts) as texts(n int, description text, words text) on texts.n = n.n % 1000
""")
_BARE = text("select count(*) from debitum.transactions where ledger_id = :ledger and description ilike :like")


def fill(url: str, shape: Sequence[tuple[int, int]]) -> dict[int, uuid.UUID]:
    """A million rows and more; one ledger of each size."""
    dice, measured = random.Random(1), dict[int, uuid.UUID]()
    said = [" ".join(dice.choices(VOCABULARY, k=dice.randint(2, 8))) for _ in range(1_000)]
    texts = [{"n": number, "description": one, "words": words.vector({"B": one})} for number, one in enumerate(said)]

    with engine.sync_engine(url, "debitum-bench").begin() as connection:
        for size, count in shape:
            for _ in range(count):
                measured[size] = uuid.uuid4()
                connection.execute(_FILL, {"ledger": measured[size], "size": size, "texts": json.dumps(texts)})
    with engine.sync_engine(url, "debitum-bench", isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("vacuum analyze debitum.transactions"))
    return measured


async def measure(url: str, ledgers: dict[int, uuid.UUID]) -> list[harness.Row]:
    """p99 of searches for one to three beginnings of words, as the api role, beside a bare filter of the same rows."""
    dice, pool = random.Random(2), engine.async_engine(url, "debitum-bench")
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for size, ledger_id in ledgers.items():
            async with pool.begin() as connection:
                await roles.enter_async(connection, roles.API, [ledger_id])
                asked = [" ".join(word[:4] for word in dice.choices(VOCABULARY, k=dice.randint(1, 3))) for _ in range(CALLS)]
                times = [await harness.timed(search.ranked(connection, ledger_id, one, Page(50))) for one in asked]
                bare = [
                    await harness.timed(connection.execute(_BARE, {"ledger": ledger_id, "like": "%pizza%"})) for _ in range(CALLS)
                ]
            found.setdefault(f"search_{size}", []).append(harness.percentile(times, 0.99))
            found.setdefault(f"bare_ilike_{size}", []).append(harness.percentile(bare, 0.99))
    await pool.dispose()
    rows = [harness.row(name, rounds, "ms p99") for name, rounds in found.items()]
    largest = max(size for size, _ in SHAPE)
    whole = harness.row("search_1m", found[f"search_{largest}"], "ms p99", goal=50.0)
    return [whole, *rows]


async def check(url: str, ledgers: dict[int, uuid.UUID]) -> None:
    """What is found is what a plain filter finds."""
    pool = engine.async_engine(url, "debitum-bench")
    for ledger_id in ledgers.values():
        async with pool.begin() as connection:
            await roles.enter_async(connection, roles.API, [ledger_id])
            page = await search.ranked(connection, ledger_id, "lodz", Page(200))
            assert page.rows
            assert all("Łódź" in row.description for row in page.rows)
    await pool.dispose()


def main() -> None:
    """Run it; --long for one ledger more."""
    is_long = "--long" in sys.argv[1:]
    with harness.database() as url:
        ledgers = fill(url, (*SHAPE, LARGEST) if is_long else SHAPE)
        rows = asyncio.run(measure(url, ledgers))
        asyncio.run(check(url, ledgers))
    harness.report("search_long" if is_long else "search", rows, calls=CALLS, rounds=ROUNDS)


if __name__ == "__main__":
    main()
