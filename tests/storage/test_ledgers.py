"""The write path on a real Postgres: what the domain decides is what is stored, for any batch and any race."""

import asyncio
import datetime
import json
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import Engine, text

from domain import errors, facts, money, sequence
from domain.fold import Dispute, Entity, Ledger, fold
from domain.sequence import Outcome
from storage import codec, ledgers, loading, roles, sealing, urls
from storage.encryption import Cipher, KeyRing, new_key
from storage.ledgers import Push, Receipt
from tests.factories import DEFAULTS, Chaos, command, contact, lent

RING = new_key("k1")
KEYS = KeyRing.parse(RING)


def new_id() -> str:
    return str(uuid.uuid4())


def new_ledger(database: Engine) -> str:
    """An empty ledger of a new user; the user's row is made here because registration belongs to the API."""
    ledger_id, user_id = new_id(), new_id()
    with database.begin() as connection:
        connection.execute(
            text(
                "insert into debitum.users (id, ledger_id, email, password_hash, time_zone, locale, default_currency,"
                " reminder_settings, created_at) values (:id, :ledger, :email, '', 'UTC', 'en', 'EUR', '{}', now())"
            ),
            {"id": user_id, "ledger": ledger_id, "email": f"{user_id}@example.org"},
        )
        connection.execute(
            text("insert into debitum.ledgers (id, owner_id, data_key, created_at) values (:id, :owner, :key, now())"),
            {"id": ledger_id, "owner": user_id, "key": KEYS.new_data_key(ledger_id)},
        )
    return ledger_id


@pytest_asyncio.fixture
async def connection(database_url: str) -> AsyncIterator[ledgers.Connection]:
    opened = await urls.async_connection(database_url, "debitum-api")
    yield opened
    await opened.close()


async def commit(connection: ledgers.Connection, *pushes: Push) -> list[Any]:
    async with connection.transaction():
        return await ledgers.commit(connection, pushes, KEYS)


async def send(connection: ledgers.Connection, ledger_id: str, *items: Any, **members: Any) -> Receipt:
    [receipt] = await commit(connection, Push(ledger_id, items, DEFAULTS, **members))
    assert isinstance(receipt, Receipt), receipt
    return receipt


def rows(database: Engine, query: str, **values: Any) -> list[Any]:
    with database.begin() as connection:
        return list(connection.execute(text(query), values).all())


def cipher_of(database: Engine, ledger_id: str) -> Cipher:
    [head] = rows(database, "select data_key from debitum.ledgers where id = :l", l=ledger_id)
    return KEYS.cipher(ledger_id, head.data_key)


def stored(database: Engine, ledger_id: str) -> tuple[list[facts.Fact], Ledger]:
    """The facts of the log, and what they fold to."""
    found = rows(
        database,
        "select seq, event_id, fact, sealed, hash, fingerprint from debitum.events where ledger_id = :l order by seq",
        l=ledger_id,
    )
    ledger, known, cipher = Ledger(ledger_id), [], cipher_of(database, ledger_id)
    for row in found:
        text_of_fact = sealing.fact_text(cipher, row.event_id, row.fact, row.sealed)
        event = sequence.Known(row.seq, row.fingerprint, text_of_fact, row.hash)
        known.append(event.fact())
        ledger.take(fold(ledger, known[-1]))
        ledger.hash = row.hash
    return known, ledger


def check_consistent(database: Engine, ledger_id: str) -> None:
    """Log, head, projections and postings say the same."""
    known, ledger = stored(database, ledger_id)
    assert [fact.seq for fact in known] == list(range(1, len(known) + 1))
    [head] = rows(database, "select version, head_hash, recorded_at, turnover from debitum.ledgers where id = :l", l=ledger_id)
    assert (head.version, head.head_hash, int(head.turnover)) == (ledger.version, ledger.hash, ledger.turnover)
    assert facts.wire_time(head.recorded_at) == known[-1].recorded_at
    moments = [fact.recorded_at for fact in known]
    assert moments == sorted(moments)
    entities = {}
    for kind in ("contact", "transaction", "reminder"):
        for row in rows(database, f"select to_json(t) as row from debitum.{kind}s t where ledger_id = :l", l=ledger_id):
            entity = codec.entity(kind, row.row, cipher_of(database, ledger_id))
            entities[entity.key] = entity
    assert entities == ledger.entities
    disputes = rows(database, "select to_json(c) as row from debitum.conflicts c where ledger_id = :l", l=ledger_id)
    assert {row.row["event_id"]: msgspec.convert(row.row, Dispute) for row in disputes} == ledger.conflicts
    steps = Ledger(ledger_id)
    expected = []
    for fact in known:
        step = fold(steps, fact)
        steps.take(step)
        expected += [(fact.seq, line, posting) for line, posting in enumerate(step.postings)]
    found = rows(
        database,
        "select *, contact_id::text c, transaction_id::text debt from debitum.postings where ledger_id = :l order by seq, line",
        l=ledger_id,
    )
    assert [(row.seq, row.line, row.c, row.debt, row.currency, row.amount, row.effective_date.isoformat()) for row in found] == [
        (seq, line, p.contact_id, p.transaction_id, p.currency, p.amount, p.effective_date) for seq, line, p in expected
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_random_batches_over_many_ledgers_store_what_the_domain_decides(
    database: Engine, connection: ledgers.Connection, seed: int
) -> None:
    """The same commands, decided with the whole ledger in memory: what a batch loads is all that its decisions need."""
    dice = random.Random(seed)
    ids = [new_ledger(database) for _ in range(3)]
    chaos = {ledger_id: Chaos(seed + index) for index, ledger_id in enumerate(ids)}
    books = {ledger_id: sequence.Book(Ledger(ledger_id), bytes(32), "") for ledger_id in ids}
    for _ in range(25):
        pushes = []
        for ledger_id in dice.sample(ids, dice.randint(1, 3)):
            items = [chaos[ledger_id].next(books[ledger_id].ledger.version) for _ in range(dice.randint(1, 8))]
            pushes.append(Push(ledger_id, items, DEFAULTS, dry_run=dice.random() < 0.1))
        for push, receipt in zip(pushes, await commit(connection, *pushes), strict=True):
            book = books[push.ledger_id].copy() if push.dry_run else books[push.ledger_id]
            check_agreed(book, push.items, receipt)
            if not push.dry_run:
                chaos[push.ledger_id].hear(receipt.outcomes)
    for ledger_id, book in books.items():
        check_consistent(database, ledger_id)
        check_stored(database, book)
    assert sum(book.ledger.version for book in books.values()) > 60


@pytest.mark.parametrize("seed", range(4))
async def test_a_contact_that_goes_takes_along_what_the_batch_has_brought_to_it(
    database: Engine, connection: ledgers.Connection, seed: int
) -> None:
    """Debts are moved to a contact, or come back to it by an UNDO, and in the same batch it is deleted."""
    dice, hung = random.Random(seed), 0
    for _ in range(12):
        ledger_id, chaos = new_ledger(database), Chaos(dice.randrange(10**9))
        book = sequence.Book(Ledger(ledger_id), bytes(32), "")
        for _ in range(12):
            items = [msgspec.structs.replace(chaos.next(0), base_seq=None) for _ in range(4)]
            receipt = await _take(connection, book, items)
            chaos.hear(receipt.outcomes)
        entities = list(book.ledger.entities.values())
        target = dice.choice([one.id for one in entities if one.aggregate_type == "contact"])
        brought = [command("transaction", "UPDATED", one.id, {"contact_id": target}) for one in entities if _is_debt(one)]
        undoable = [fact for fact, _ in book.steps if fact.key[0] == "transaction" and fact.event_type in ("DELETED", "UPDATED")]
        brought += [command("transaction", "UNDO", fact.key[1], {"undone_event_id": fact.id}) for fact in undoable]
        some = dice.sample(brought, min(len(brought), dice.randint(1, 3)))
        await _take(connection, book, [*some, command("contact", "DELETED", target)])
        check_stored(database, book)
        last, _ = book.steps[-1]
        hung += sum(change.aggregate_type != "contact" and "contact_id" not in change.fields for change in last.changes)
    assert hung > 12


def _is_debt(entity: Entity) -> bool:
    return entity.aggregate_type == "transaction" and entity.live


async def _take(connection: ledgers.Connection, book: sequence.Book, items: list[Any]) -> Receipt:
    """Commit `items`, and decide them in memory too."""
    receipt = await send(connection, book.ledger.id, *items)
    check_agreed(book, items, receipt)
    return receipt


def check_agreed(book: sequence.Book, items: Sequence[Any], receipt: Receipt) -> None:
    """Decided in memory, where the whole ledger is, and at the same moment, `items` come to the same."""
    new = (known.fact() for known in receipt.events.values() if known.seq > book.ledger.version)
    book.recorded_at = next((fact.recorded_at for fact in new), book.recorded_at)
    assert receipt.outcomes == sequence.take(book, items, defaults=DEFAULTS)


def check_stored(database: Engine, book: sequence.Book) -> None:
    """The log has the facts of `book`, but for the salt, of which each side has its own."""
    known, _ = stored(database, book.ledger.id)
    assert [_unsalted(fact) for fact in known] == [_unsalted(fact) for fact, _ in book.steps]


def _unsalted(fact: facts.Fact) -> facts.Fact:
    return msgspec.structs.replace(fact, salt=msgspec.UNSET)


async def test_racing_writers_leave_no_gap_and_take_each_id_once(database: Engine, database_url: str) -> None:
    ids = [new_ledger(database) for _ in range(3)]
    offered = {ledger_id: [contact(new_id(), notes=str(number)) for number in range(40)] for ledger_id in ids}
    outcomes: list[Outcome] = []

    async def writer(seed: int) -> None:
        dice = random.Random(seed)
        own = await urls.async_connection(database_url, "debitum-api")
        for _ in range(15):
            pushes = [
                Push(ledger_id, dice.sample(offered[ledger_id], 6), DEFAULTS)
                for ledger_id in dice.sample(ids, dice.randint(1, 3))
            ]
            for receipt in await commit(own, *pushes):
                outcomes.extend(receipt.outcomes)
        await own.close()

    await asyncio.gather(*(writer(seed) for seed in range(4)))
    assert {outcome.status for outcome in outcomes} == {"accepted", "duplicate"}
    accepted = [outcome.id for outcome in outcomes if outcome.status == "accepted"]
    assert len(accepted) == len(set(accepted))
    for ledger_id in ids:
        check_consistent(database, ledger_id)


async def test_nothing_is_stored_before_the_commit(database: Engine, connection: ledgers.Connection) -> None:
    ledger_id = new_ledger(database)
    async with connection.transaction():
        await ledgers.commit(connection, [Push(ledger_id, [contact(new_id())], DEFAULTS)], KEYS)
        raise psycopg.Rollback
    assert rows(database, "select from debitum.events") == rows(database, "select from debitum.contacts") == []


async def test_seq_order_is_commit_order(database: Engine, database_url: str) -> None:
    """A writer that holds the head makes the next one wait: nobody can ever see seq 2 without seq 1."""
    ledger_id = new_ledger(database)
    first = await urls.async_connection(database_url, "debitum-api")
    second = await urls.async_connection(database_url, "debitum-api")
    async with first.transaction():
        await ledgers.commit(first, [Push(ledger_id, [contact(new_id())], DEFAULTS)], KEYS)
        waiting = asyncio.create_task(commit(second, Push(ledger_id, [contact(new_id())], DEFAULTS)))
        await asyncio.sleep(0.2)
        assert not waiting.done()
    [receipt] = await waiting
    assert receipt.outcomes[0].seq == 2
    check_consistent(database, ledger_id)
    await first.close()
    await second.close()


async def test_a_push_that_cannot_be_decided_leaves_its_neighbours_alone(
    database: Engine, connection: ledgers.Connection
) -> None:
    ledger_id = new_ledger(database)
    good = Push(ledger_id, [contact(new_id())], DEFAULTS)
    beyond = Push(ledger_id, [command("contact", "CREATED", new_id(), {"name": "Bo"}, base_seq=99)], DEFAULTS)
    nowhere = Push(new_id(), [contact(new_id())], DEFAULTS)
    answers = await commit(connection, beyond, good, nowhere)
    assert isinstance(answers[0], errors.Reset)
    assert isinstance(answers[1], Receipt)
    assert isinstance(answers[2], ledgers.LedgerGone)
    check_consistent(database, ledger_id)


async def test_a_balance_stays_within_what_every_client_can_hold(database: Engine, connection: ledgers.Connection) -> None:
    ledger_id, ana, most = new_ledger(database), new_id(), money.MAX_AMOUNT
    first, second = new_id(), new_id()
    await send(connection, ledger_id, contact(ana), lent(first, ana, most))
    receipt = await send(
        connection, ledger_id, lent(second, ana, 1), lent(new_id(), ana, most, direction="owed"), lent(second, ana, 1)
    )
    assert [(outcome.status, outcome.code or None) for outcome in receipt.outcomes] == [
        ("rejected", "balance_out_of_range"),
        ("accepted", None),
        ("accepted", None),
    ]
    receipt = await send(connection, ledger_id, command("transaction", "UPDATED", first, {"direction": "owed"}))
    assert receipt.outcomes[0].code == "balance_out_of_range"
    check_consistent(database, ledger_id)


async def test_known_ids_are_skipped_without_deciding_again(database: Engine, connection: ledgers.Connection) -> None:
    ledger_id, event_id, ana = new_ledger(database), new_id(), new_id()
    data = {"name": "Ana"}
    await send(connection, ledger_id, command("contact", "CREATED", ana, data, event_id=event_id), skip_known=True)
    other = command("contact", "CREATED", ana, {"name": "Anna"}, event_id=event_id)
    receipt = await send(connection, ledger_id, other, skip_known=True)
    assert (receipt.outcomes[0].status, receipt.version) == ("duplicate", 1)


async def test_recorded_at_is_postgress_clock_and_never_goes_back(database: Engine, connection: ledgers.Connection) -> None:
    ledger_id = new_ledger(database)
    await send(connection, ledger_id, contact(new_id()))
    ahead = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    with database.begin() as writer:
        writer.execute(text("update debitum.ledgers set recorded_at = :ahead"), {"ahead": ahead})
        writer.execute(text("update debitum.events set recorded_at = :ahead"), {"ahead": ahead})
    receipt = await send(connection, ledger_id, contact(new_id()))
    assert receipt.events[receipt.outcomes[0].id].fact().recorded_at == facts.wire_time(ahead)


async def test_the_role_of_the_write_path_ends_with_its_transaction(database: Engine, connection: ledgers.Connection) -> None:
    ledger_id = new_ledger(database)
    await send(connection, ledger_id, contact(new_id()))
    cursor = await connection.execute("select current_user, current_setting('app.ledgers', true)")
    role, named = await cursor.fetchone() or ("", "")
    assert (role, named) == ("postgres", "")
    async with connection.transaction():
        await ledgers.commit(connection, [Push(ledger_id, [], DEFAULTS)], KEYS)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with connection.transaction():
                await connection.execute("update debitum.events set seq = 2")


async def test_row_level_security_hides_ledgers_that_are_not_named(database: Engine, connection: ledgers.Connection) -> None:
    mine, theirs = new_ledger(database), new_ledger(database)
    await send(connection, mine, contact(new_id()))
    await send(connection, theirs, contact(new_id()))
    async with connection.transaction():
        await ledgers.commit(connection, [Push(mine, [], DEFAULTS)], KEYS)
        cursor = await connection.execute("select distinct ledger_id::text from debitum.contacts")
        assert await cursor.fetchall() == [(mine,)]


async def test_lookups_use_the_keys_also_on_tables_that_were_never_analysed(
    database: Engine, connection: ledgers.Connection
) -> None:
    """A policy that an index can answer made each look-up read the whole ledger (docs/decisions/0007)."""
    ledger_id, ana = new_ledger(database), new_id()
    await send(connection, ledger_id, contact(ana), *(lent(new_id(), ana, 1) for _ in range(1_500)))
    kinds = frozenset({"event", "transaction", "reminder", "contact"})
    wanted = [{"ledger_id": ledger_id, "kind": kind, "id": new_id()} for kind in kinds for _ in range(300)]
    async with connection.transaction():
        await connection.execute(roles.ENTER, roles.parameters(roles.API, [ledger_id]))
        cursor = await connection.execute(f"explain {loading._load_of(kinds)}", {"wanted": json.dumps(wanted)}, prepare=False)
        plan = "\n".join(row[0] for row in await cursor.fetchall())
    assert all(f"{table}_pkey" in plan for table in ("transactions", "reminders", "contacts", "rejections"))
    assert "events_ledger_id_event_id_key" in plan
    assert "Seq Scan" not in plan.replace("CTE Scan", "")
