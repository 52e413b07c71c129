"""Trends: the numbers of plots, counted from rows that are known, and never of so few ledgers that they tell on somebody."""

import datetime
import uuid
from datetime import UTC, timedelta

from sqlalchemy import Engine

from storage.engine import Begin
from storage.snapshots import trends, writing
from storage.snapshots.places import Root
from storage.snapshots.schema import Table
from storage.snapshots.tables import BALANCES, DELIVERY
from storage.snapshots.transactions import TRANSACTIONS
from storage.snapshots.trends import Trend
from tests import factories
from tests.pipelines import postings
from tests.pipelines.postings import Posting
from tests.storage import logs, rows, test_snapshot_tables

NOON = datetime.datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MONDAY, TUESDAY = NOON.date(), (NOON + DAY).date()


def write(begin: Begin, root: Root, table: Table, *days: datetime.date) -> None:
    for day in days:
        writing.write(begin, root, table, day)


def test_before_the_first_snapshot_there_is_nothing(here: Root) -> None:
    assert trends.net(here) == trends.deliveries(here) == trends.ageing(here) == Trend([], {})


def test_net_is_drawn_of_currencies_that_enough_ledgers_have(begin: Begin, database: Engine, here: Root) -> None:
    with database.begin() as connection:
        for number in range(trends.FEWEST_LEDGERS):
            ledger = postings.ledger(connection, created_at=NOON)
            postings.commit(connection, ledger, Posting(uuid.uuid4(), 1_050, at=NOON), Posting(uuid.uuid4(), -50, at=NOON))
            if number:
                postings.commit(connection, ledger, Posting(uuid.uuid4(), 700, "JPY", at=NOON))
            postings.commit(connection, ledger, Posting(uuid.uuid4(), -300, at=NOON + DAY))
    write(begin, here, BALANCES, MONDAY, TUESDAY)
    assert trends.net(here) == Trend([MONDAY, TUESDAY], {"EUR": [50.0, 35.0]})


def test_deliveries_are_counted_by_outcome(begin: Begin, database: Engine, here: Root) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection, begun=NOON)
    test_snapshot_tables.send(database, ledger, "a", NOON, "transient", "sent")
    test_snapshot_tables.send(database, ledger, "b", NOON + DAY, "sent")
    test_snapshot_tables.send(database, ledger, "c", NOON + DAY, "sent")
    write(begin, here, DELIVERY, MONDAY, TUESDAY)
    assert trends.deliveries(here) == Trend([MONDAY, TUESDAY], {"sent": [1.0, 2.0], "transient": [1.0, 0.0]})


def test_ageing_counts_open_debts_by_how_late_they_are(begin: Begin, database: Engine, here: Root) -> None:
    contact = str(uuid.uuid4())
    late = [None, "2026-03-02", "2026-03-01", "2026-02-22", "2026-02-21", "2025-11-01"]
    debts = [factories.lent(str(uuid.uuid4()), contact, 100, transaction_date="2026-01-01", due_date=due) for due in late]
    with database.begin() as connection:
        logs.told(connection, (NOON, factories.contact(contact)), *((NOON, debt) for debt in debts))
    write(begin, here, TRANSACTIONS, MONDAY, TUESDAY)
    assert trends.ageing(here) == Trend(
        [MONDAY, TUESDAY],
        {"not late": [2.0, 1.0], "1–7 days": [1.0, 2.0], "8–30 days": [2.0, 2.0], "over 90 days": [1.0, 1.0]},
    )
