"""What each table of the snapshots says of a day, against the rows that it was taken from."""

import datetime
import json
import re
import uuid
from collections import Counter
from datetime import UTC, timedelta

import duckdb
from sqlalchemy import Engine, delete, insert, update

from storage import digests, outbox_keys, tables
from storage.engine import Begin
from storage.snapshots import erasure, files, places, progress, questions, writing
from storage.snapshots.derived import VIEWS
from storage.snapshots.places import Root
from storage.snapshots.schema import COMMON, Table
from storage.snapshots.tables import ACTIVITY, BALANCES, DELIVERY, POSTINGS, REMINDERS, TABLES
from tests.pipelines import postings
from tests.pipelines.postings import Posting
from tests.storage import rows

MONDAY, TUESDAY, WEDNESDAY = (datetime.date(2026, 3, day) for day in (2, 3, 4))
NOON = datetime.datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECRET = "Zebulon, +34 600 123 456"


def ask(root: Root, sql: str) -> list[tuple[object, ...]]:
    return questions.query(root, sql)[1]


def write(begin: Begin, root: Root, *of: Table, days: tuple[datetime.date, ...] = (MONDAY, TUESDAY, WEDNESDAY)) -> None:
    for table in of:
        for day in days:
            writing.write(begin, root, table, day)


def columns_of_views(root: Root) -> dict[str, list[tuple[object, object]]]:
    """Name and type of each column of each table's view."""
    found: dict[str, list[tuple[object, object]]] = {table.name: [] for table in TABLES}
    of_views = "select table_name, column_name, data_type from duckdb_columns() where not internal order by column_index"
    for view, name, kind in ask(root, of_views):
        if view in found:
            found[str(view)].append((name, kind))
    return found


def test_a_table_keeps_its_promises(begin: Begin, database: Engine, here: Root) -> None:
    """Types before and after, the order of rows, the same bytes again, and nothing but ids, codes and numbers."""
    household(database)
    promised = {table.name: [(name, column.kind) for name, column in questions.columns_of(table).items()] for table in TABLES}
    assert columns_of_views(here) == promised
    found = [(table, writing.write(begin, here, table, MONDAY)) for table in TABLES]
    assert columns_of_views(here) == promised
    with places.connect(here) as duck:
        for table, written in found:
            raw = duck.execute(f"select * from {files.parquet(written.path)}")
            check_rows(table, written, [column[0] for column in raw.description or []], raw.fetchall())
    for table, written in found:
        before = written.path.read_bytes()
        assert writing.write(begin, here, table, MONDAY).path.read_bytes() == before, table.name


def check_rows(table: Table, written: writing.Written, columns: list[str], found: list[tuple[object, ...]]) -> None:
    assert columns == [*table.columns] == [*table.taken_columns, *COMMON]
    keys = [tuple(str(row[columns.index(key)]) for key in table.keys) for row in found]
    assert len(set(keys)) == len(keys) == written.rows, table.name
    assert sum(count for _, count in written.counts) == written.rows, table.name
    assert written.rows > 1, table.name
    words = {text for row in found for text in row if isinstance(text, str)}
    assert all(re.fullmatch(r"[0-9a-f-]{36}|[A-Z]{3}|[a-z_]+|[A-Z]+", text) for text in words), words


def test_postings_of_all_days_are_the_balances(begin: Begin, database: Engine, here: Root) -> None:
    with database.begin() as connection:
        ledger = postings.ledger(connection, created_at=NOON)
        for number in range(60):
            at = NOON + number * timedelta(hours=1)
            postings.commit(connection, ledger, Posting(uuid.UUID(int=number % 4), (-1) ** number * number * 7 + 1, at=at))
    write(begin, here, BALANCES, POSTINGS)
    sums = """
        select b.day, b.contact_id, b.currency, b.amount, sum(p.amount)::bigint as added, b.postings, count(*)
        from balances b join postings p
          on p.ledger_id = b.ledger_id and p.contact_id = b.contact_id and p.currency = b.currency and p.day <= b.day
        group by all
    """
    found = ask(here, sums)
    assert len(found) == 12
    assert all(row[3] == row[4] and row[5] == row[6] for row in found)
    assert ask(here, "select count(*), min(recorded_at::date), max(day) from postings") == [(60, MONDAY, WEDNESDAY)]
    assert ask(here, "select count(*) from postings where recorded_at::date <> day") == [(0,)]


def test_values_are_in_the_currencys_own_unit(begin: Begin, database: Engine, here: Root) -> None:
    with database.begin() as connection:
        ledger = postings.ledger(connection, created_at=NOON)
        lines = [Posting(uuid.UUID(int=1), 1_250, code, at=NOON) for code in ("EUR", "JPY", "KWD", "CLF")]
        postings.commit(connection, ledger, *lines, Posting(uuid.UUID(int=2), -(2**53) + 1, "CLF", at=NOON))
    write(begin, here, BALANCES, days=(MONDAY,))
    assert [(code, str(value)) for code, value in ask(here, "select currency, value from balances order by all")] == [
        ("CLF", "-900719925474.0991"),
        ("CLF", "0.1250"),
        ("EUR", "12.5000"),
        ("JPY", "1250.0000"),
        ("KWD", "1.2500"),
    ]


def test_activity_counts_events_and_the_devices_that_they_came_from(begin: Begin, database: Engine, here: Root) -> None:
    phone, tablet = uuid.uuid4(), uuid.uuid4()
    told = [("CREATED", phone), ("CREATED", phone), ("CREATED", tablet), ("UPDATED", None)]
    with database.begin() as connection:
        ledger = postings.ledger(connection, created_at=NOON)
        for seq, (kind, device) in enumerate(told, 1):
            connection.execute(insert(tables.events).values(event(ledger, seq, kind, device)))
    write(begin, here, ACTIVITY)
    assert ask(here, "select day, ledger_id, event_type, events, devices from activity order by all") == [
        (MONDAY, str(ledger), "CREATED", 3, 2),
        (MONDAY, str(ledger), "UPDATED", 1, 0),
    ]


def event(ledger: uuid.UUID, seq: int, kind: str, device: uuid.UUID | None = None) -> dict[str, object]:
    """A row of the log."""
    ids = {"ledger_id": ledger, "seq": seq, "event_id": uuid.uuid4(), "aggregate_id": uuid.uuid4(), "device_id": device}
    decided = {"aggregate_type": "contact", "event_type": kind, "status": "accepted", "recorded_at": NOON}
    created = {
        "contact_id": str(ledger),
        "type": "money",
        "direction": "lent",
        "currency": "EUR",
        "amount": 5,
        "description": SECRET,
    }
    of_debt = {"aggregate_type": "transaction", "aggregate_id": str(uuid.uuid4()), "op": "create"}
    fields = {name: [None, value] for name, value in (created | {"transaction_date": "2026-03-02"}).items()}
    of_contact = {"aggregate_type": "contact", "aggregate_id": str(ledger), "op": "create", "fields": {"name": [None, SECRET]}}
    fact = {"changes": [of_contact, of_debt | {"fields": fields}] if kind == "CREATED" else []}
    return ids | decided | {"fingerprint": b"-", "fact": json.dumps(fact), "hash": bytes(32)}


def household(database: Engine) -> None:
    """Two ledgers with something for every table, and words that belong into none."""
    for _ in range(2):
        with database.begin() as connection:
            ledger = rows.ledger(connection, begun=NOON - DAY, name=SECRET, email=f"{uuid.uuid4()}@example.org")
            contact = ledger.contact(SECRET, notes=SECRET)
            debt = ledger.money(contact, due_date=MONDAY, description=SECRET)
            values = {"seq": 1, "transaction_id": debt, "amount": 2_000, "recorded_at": NOON, "effective_date": MONDAY - DAY}
            connection.execute(insert(tables.postings).values(_posting(ledger, contact, **values)))
            connection.execute(insert(tables.events).values([event(ledger.id, 1, "CREATED"), event(ledger.id, 2, "UNDO")]))
        payload = {"transaction_id": str(debt), "due_date": str(MONDAY), "offset_days": 0}
        send(database, ledger, SECRET, NOON, "transient", "sent", payload=payload, reason=SECRET)
        with database.begin() as connection:
            connection.execute(update(tables.delivery_attempts).values(detail=SECRET))


def send(
    database: Engine, ledger: rows.Ledger, key: str, at: datetime.datetime, *outcomes: str | None, **columns: object
) -> uuid.UUID:
    """A message that was tried so often, the last time at `at`."""
    message = uuid.uuid4()
    values = {"kind": "due", "channel": "email", "payload": {}, "state": "sent", "finished_at": at} | columns
    with database.begin() as connection:
        connection.execute(
            insert(tables.outbox).values(ledger_id=ledger.id, id=message, dedupe_key=key, next_at=at, created_at=at, **values)
        )
        for attempt, outcome in enumerate(outcomes, 1):
            connection.execute(
                insert(tables.delivery_attempts).values(
                    ledger_id=ledger.id, outbox_id=message, attempt=attempt, provider="smtp", started_at=at, outcome=outcome
                )
            )
    return message


def test_deliveries_are_kept_when_postgres_forgets_them(begin: Begin, database: Engine, root: Root) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection)
    send(database, ledger, "a", NOON, "transient", None, "sent")
    send(database, ledger, "b", NOON + DAY, "permanent", state="dead")
    write(begin, root, DELIVERY)
    counted = "select day, outcome, count(*) from delivery group by all order by all"
    expected = [(MONDAY, "sent", 1), (MONDAY, "transient", 1), (MONDAY, "unknown", 1), (TUESDAY, "permanent", 1)]
    assert ask(root, counted) == expected
    with database.begin() as connection:
        connection.execute(delete(tables.outbox))
    write(begin, root, DELIVERY)
    assert ask(root, counted) == expected
    assert writing.write(begin, root, DELIVERY, MONDAY).kept
    files.path_of(root, DELIVERY, MONDAY).unlink()
    assert writing.write(begin, root, DELIVERY, MONDAY).rows == 0


def test_reminders_tell_of_each_due_date_once_and_whether_it_was_answered(begin: Begin, database: Engine, here: Root) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        contact = ledger.contact()
        debts = [ledger.money(contact, due_date=MONDAY) for _ in range(4)]
        for seq, debt in enumerate(debts, 1):
            values = {"seq": seq, "transaction_id": debt, "amount": 2_000, "recorded_at": NOON}
            connection.execute(insert(tables.postings).values(_posting(ledger, contact, **values)))
        repaid = {"seq": 9, "transaction_id": uuid.uuid4(), "amount": -500, "recorded_at": NOON + DAY}
        connection.execute(insert(tables.postings).values(_posting(ledger, contact, **repaid)))
    payloads = [{"transaction_id": str(debt), "due_date": str(MONDAY), "offset_days": 0} for debt in debts]
    send(database, ledger, "alone", NOON, "sent", payload=payloads[0])
    send(database, ledger, "pushed", NOON, channel="push", payload=payloads[0], reason=outbox_keys.FANNED_OUT)
    for day in range(2):  # by the first of two devices it is told
        device = str(uuid.uuid4())
        at = NOON + day * DAY
        send(database, ledger, f"pushed:{device}", at, "sent", channel="push", payload=payloads[0] | {"device_id": device})
    send(database, ledger, "lost", NOON, channel="push", payload=payloads[3], reason=outbox_keys.FANNED_OUT)
    lost = payloads[3] | {"device_id": str(uuid.uuid4())}
    send(database, ledger, f"lost:{lost['device_id']}", NOON, "target_gone", channel="push", payload=lost, state="dead")
    send(database, ledger, "digest", NOON + 2 * DAY, "sent", kind="digest")
    for number in (1, 2):
        told = payloads[number] | {"digest": "digest"}
        send(database, ledger, f"told {number}", NOON, state="suppressed", reason=digests.IN_DIGEST, payload=told)
    send(database, ledger, "dead", NOON, "permanent", state="dead", payload=payloads[3])
    write(begin, here, POSTINGS, REMINDERS)
    assert Counter(ask(here, "select day, transaction_id, channel, in_digest, offset_days from reminders")) == Counter(
        {
            (MONDAY, str(debts[0]), "email", False, 0): 1,
            (MONDAY, str(debts[0]), "push", False, 0): 1,
            (WEDNESDAY, str(debts[1]), "email", True, 0): 1,
            (WEDNESDAY, str(debts[2]), "email", True, 0): 1,
        }
    )
    answered = (
        "select day, channel, repaid_at = timestamptz '2026-03-03 12:00Z', days_to_repayment from reminder_effects order by all"
    )
    assert ask(here, answered) == [
        (MONDAY, "email", True, 1),
        (MONDAY, "push", True, 1),
        (WEDNESDAY, "email", None, None),
        (WEDNESDAY, "email", None, None),
    ]


def test_what_was_only_corrected_or_taken_back_is_no_repayment(begin: Begin, database: Engine, here: Root) -> None:
    """An edit takes back what was there, and a deletion all of it: both looked like money that came."""
    sent = NOON + timedelta(hours=11, minutes=59)
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        names = ("edited", "deleted", "other", "turned", "repaid and deleted")
        contacts = {name: ledger.contact(name) for name in names}
        told = {name: ledger.money(contacts[name], due_date=MONDAY) for name in names}

        def post(
            seq: int, name: str, at: datetime.datetime, *amounts: int, id: uuid.UUID | None = None, currency: str = "EUR"
        ) -> None:
            for line, amount in enumerate(amounts):
                about = {"line": line, "amount": amount, "recorded_at": at, "transaction_id": id or told[name]}
                values = _posting(ledger, contacts[name], seq=seq, currency=currency, **about)
                connection.execute(insert(tables.postings).values(values))

        for seq, name in enumerate(told, 1):
            post(seq, name, NOON, 2_000, currency="JPY" if name == "turned" else "EUR")
        later, another = sent + timedelta(days=1), uuid.uuid4()
        post(6, "turned", NOON + timedelta(hours=1), -2_000, currency="JPY")
        post(7, "turned", NOON + timedelta(hours=2), 2_000)  # in euros, as of which it was told
        post(8, "edited", later, -2_000, 2_500)
        post(9, "deleted", later, -2_000)
        post(10, "other", NOON, 700, id=another)
        post(11, "other", later, -700, id=another)
        post(12, "turned", later, -100, id=uuid.uuid4())
        post(13, "repaid and deleted", later - timedelta(minutes=1), -2_000, id=uuid.uuid4())
        post(14, "repaid and deleted", later, -2_000)
    for name, debt in told.items():
        payload = {"transaction_id": str(debt), "due_date": str(MONDAY), "offset_days": 0}
        send(database, ledger, name, sent, "sent", payload=payload)
    write(begin, here, POSTINGS, REMINDERS)
    named = {str(id): name for name, id in told.items()}
    found = ask(here, "select transaction_id, days_to_repayment from reminder_effects")
    assert {named[str(id)]: after for id, after in found} == {
        "edited": None,
        "deleted": None,
        "other": None,
        "turned": 1,
        "repaid and deleted": 0,
    }


def test_days_to_a_repayment_are_the_same_wherever_somebody_asks(begin: Begin, database: Engine, here: Root) -> None:
    """A minute over midnight is no day; and where midnight is depends on whose machine asks."""
    sent = NOON + timedelta(hours=11, minutes=59)
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        contact = ledger.contact()
        debt = ledger.money(contact, due_date=MONDAY)
        for seq, amount, at in ((1, 2_000, NOON), (2, -2_000, sent + timedelta(minutes=2))):
            values = {"seq": seq, "amount": amount, "recorded_at": at, "transaction_id": debt if seq == 1 else uuid.uuid4()}
            connection.execute(insert(tables.postings).values(_posting(ledger, contact, **values)))
    payload = {"transaction_id": str(debt), "due_date": str(MONDAY), "offset_days": 0}
    send(database, ledger, "a", sent, "sent", payload=payload)
    write(begin, here, POSTINGS, REMINDERS)
    with duckdb.connect(str(questions.write_views(here)), read_only=True) as duck:
        for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles"):
            duck.execute(f"set timezone = '{zone}'")
            assert duck.execute("select days_to_repayment from reminder_effects").fetchall() == [(0,)]


def _posting(ledger: rows.Ledger, contact: uuid.UUID, **columns: object) -> dict[str, object]:
    fixed = {"ledger_id": ledger.id, "line": 0, "contact_id": contact, "currency": "EUR", "effective_date": MONDAY}
    return fixed | columns


def test_dimensions_say_what_is_so_now(begin: Begin, database: Engine, root: Root) -> None:
    with database.begin() as connection:
        first, second = rows.ledger(connection, time_zone="Asia/Tokyo", locale="ja"), rows.ledger(connection)
        leaves = tables.users.c.ledger_id == second.id
        connection.execute(update(tables.users).where(leaves).values(deleting_at=NOON))
    assert ask(root, "select * from dim_ledger") == []
    assert writing.write_dimensions(begin, root) == 2
    created = rows.LONG_AGO.date()
    assert set(ask(root, "select * from dim_ledger")) == {
        (str(first.id), created, "Asia/Tokyo", "ja", "EUR", None),
        (str(second.id), created, "UTC", "en-GB", "EUR", MONDAY),
    }
    units = "select currency, exponent, unit::varchar, active from {} where currency in ('CLF', 'DEM', 'JPY', 'KWD') order by all"
    expected = [("CLF", 4, "0.0001", True), ("DEM", 2, "0.0100", False), ("JPY", 0, "1.0000", True), ("KWD", 3, "0.0010", True)]
    assert ask(root, units.format("dim_currency")) == expected
    file = files.dimension(root, "dim_currency")
    with places.connect(root) as duck:
        assert duck.execute(units.format(files.parquet(file))).fetchall() == expected
    assert erasure.erase(root, [first.id]) == {first.id: 1}
    assert [str(row[0]) for row in ask(root, "select ledger_id from dim_ledger")] == [str(second.id)]


def test_the_script_makes_the_views_of_the_database(begin: Begin, database: Engine, root: Root) -> None:
    with database.begin() as connection:
        ledger = postings.ledger(connection, created_at=NOON)
        postings.commit(connection, ledger, Posting(uuid.UUID(int=1), 1_250, at=NOON))
    write(begin, root, *TABLES, days=(MONDAY, TUESDAY))
    writing.write_dimensions(begin, root)
    questions.write_views(root)
    names = [*(table.name for table in TABLES), *(view.name for view in VIEWS), "dim_currency", "dim_ledger"]
    with places.connect(root) as fresh, places.connect(root, str(root.data / questions.DATABASE)) as kept:
        fresh.execute((root.data / questions.SCRIPT).read_text())
        asked = f"select {', '.join(f'(select list(line order by line) from {name} line)' for name in names)}"
        assert fresh.execute(asked).fetchall() == kept.execute(asked).fetchall() == ask(root, asked)
        views = "select view_name from duckdb_views() where not internal order by all"
        assert [row[0] for row in kept.execute(views).fetchall()] == sorted(names)
        assert kept.execute("select count(*) from duckdb_tables()").fetchall() == [(0,)]


def test_an_analyst_who_writes_into_the_database_stops_nobody(begin: Begin, database: Engine, here: Root) -> None:
    questions.write_views(here)
    with places.connect(here, str(here.data / questions.DATABASE)) as analyst:
        analyst.execute("create table notes as select 1 as n")
        with database.begin() as connection:
            postings.commit(connection, postings.ledger(connection, created_at=NOON), Posting(uuid.UUID(int=1), 5, at=NOON))
        write(begin, here, POSTINGS)
        questions.write_views(here)
        assert analyst.execute("select n from notes").fetchall() == [(1,)]
    with places.connect(here, str(here.data / questions.DATABASE)) as fresh:
        assert fresh.execute("select count(*) from postings").fetchall() == [(1,)]


def test_a_day_is_finished_when_every_table_has_it(begin: Begin, here: Root) -> None:
    write(begin, here, *TABLES[:-1], days=(MONDAY,))
    assert progress.unfinished(here, MONDAY, TUESDAY) == [MONDAY]
    write(begin, here, TABLES[-1], days=(MONDAY,))
    assert progress.unfinished(here, MONDAY, TUESDAY) == []


def test_a_table_is_plain_data() -> None:
    """Nothing in a definition but texts: whoever reads the dictionary sees all there is."""
    assert json.dumps([[table.name, table.means, list(table.columns)] for table in TABLES])
    assert len({table.name for table in TABLES}) == len(TABLES)
