"""Debts and things lent, day by day: what the fold of files says is what the domain says of the log up to each midnight."""

import datetime
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine

from domain import allocation
from domain.fold import Entity, Ledger
from storage import days
from storage.engine import Begin
from storage.snapshots import files, progress, questions, writing
from storage.snapshots.places import Root
from storage.snapshots.schema import Table
from storage.snapshots.tables import BALANCES
from storage.snapshots.transactions import TRANSACTIONS
from tests import factories
from tests.fixtures.database import lasting
from tests.storage import logs
from tests.storage.conftest import as_jobs

FIRST = datetime.datetime(2026, 3, 2, 9, tzinfo=UTC)
LEDGERS, DAYS, LENGTH = 20, 6, 150
ALL_DAYS = [(FIRST + timedelta(days=number)).date() for number in range(DAYS)]
EVERY = DAYS * timedelta(days=1) / (LENGTH + 20)


def pasts(database: Engine, *, every: timedelta = EVERY, length: int = LENGTH) -> list[logs.Past]:
    with database.begin() as connection:
        return [logs.past(connection, seed, FIRST, every, length=length) for seed in range(1, LEDGERS + 1)]


@dataclass(frozen=True)
class Written:
    """Ledgers of which each day was written once; whoever writes more has a copy."""

    begin: Begin
    pasts: list[logs.Past]
    root: Root
    written: list[writing.Written]
    """The days of TRANSACTIONS."""

    def copy(self, root: Root) -> Root:
        shutil.copytree(self.root.data, root.data, dirs_exist_ok=True)
        return root


@pytest.fixture(scope="module")
def known(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    with lasting(server) as database:
        begin, root = as_jobs(database), Root(tmp_path_factory.mktemp("known"))
        found = pasts(database)
        written = [writing.write(begin, root, TRANSACTIONS, day) for day in ALL_DAYS]
        for day in ALL_DAYS:
            writing.write(begin, root, BALANCES, day)
        yield Written(begin, found, root, written)


def opened(ledger: Ledger) -> Mapping[str, int]:
    """By id, of what is live: the domain's words, contact by contact."""
    found: dict[str, int] = {}
    pockets: dict[tuple[str, str], list[allocation.Entry]] = {}
    for entity in transactions(ledger):
        values = entity.fields
        if not entity.live:
            continue
        if values["type"] == "item":
            found[entity.id] = values["amount"] if values["returned_at"] is None else 0
            continue
        entry = allocation.Entry(
            id=UUID(entity.id),
            direction=values["direction"],
            amount=values["amount"],
            ripe=datetime.date.fromisoformat(values["due_date"] or values["transaction_date"]),
            seq=entity.created_seq,
            repays=UUID(values["repays"]) if values["repays"] else None,
        )
        pockets.setdefault((values["contact_id"], values["currency"]), []).append(entry)
    for entries in pockets.values():
        found |= {str(id): amount for id, amount in allocation.open_amounts(entries).items()}
    return found


def transactions(ledger: Ledger) -> list[Entity]:
    return [entity for key, entity in ledger.entities.items() if key[0] == "transaction"]


def expected(past: logs.Past, days_of_past: list[datetime.date]) -> list[tuple[object, ...]]:
    """The rows of all days: what is open at its end, what the day's facts say something of, and what was open the day before."""
    rows: list[tuple[object, ...]] = []
    settled: dict[str, datetime.date] = {}
    opened_before: Mapping[str, int] = {}
    contacts_before: Mapping[str, str] = {}
    for day in days_of_past:
        ledger = past.at(days.end(day))
        amounts = opened(ledger)
        settled = {id: settled.get(id, day) for id, amount in amounts.items() if amount == 0}
        told = past.named(day)
        for entity in transactions(ledger):
            values, amount = entity.fields, amounts.get(entity.id, 0)
            status = "deleted" if not entity.live else "open" if amount else "settled"
            before = opened_before.get(entity.id, 0)
            if not (amount or before or entity.id in told):
                continue
            fixed = (day, str(past.ledger_id), entity.id, values["contact_id"], values["type"], values["direction"])
            money = (values["currency"], values["amount"], amount, status)
            dates = (values["transaction_date"], values["due_date"], entity.created_at[:10], _text(settled.get(entity.id)))
            left = contacts_before.get(entity.id)
            happened = (None if left == values["contact_id"] else left, entity.id not in told and amount == before)
            rows.append((*fixed, *money, *dates, values["repays"], entity.created_seq, *happened))
        opened_before = amounts
        contacts_before = {entity.id: entity.fields["contact_id"] for entity in transactions(ledger)}
    return rows


def _text(day: datetime.date | None) -> str | None:
    return None if day is None else day.isoformat()


ROWS = """
    select day, ledger_id, transaction_id, contact_id, type, direction, currency, amount, open_amount, status,
           transaction_date::varchar, due_date::varchar, opened_on::varchar, settled_on::varchar, repays, seq,
           moved_from, carried
    from transactions
"""


def ask(root: Root, sql: str) -> list[tuple[object, ...]]:
    return questions.query(root, sql)[1]


def test_every_day_is_what_the_domain_says_of_the_log_up_to_its_end(known: Written) -> None:
    assert [written.base is None for written in known.written] == [day == ALL_DAYS[0] for day in ALL_DAYS]
    right = {row for past in known.pasts for row in expected(past, ALL_DAYS)}
    assert set(ask(known.root, ROWS)) == right
    assert len(right) > LEDGERS * DAYS
    statuses = "select type, status, count(*) > 5 from transactions group by all"
    assert len(ask(known.root, statuses)) == 6
    assert all(often for *_, often in ask(known.root, statuses))
    later = "select count(distinct settled_on), count(*) filter (where settled_on > opened_on) > 5 from transactions"
    assert ask(known.root, later) == [(DAYS, True)]


def test_what_was_closed_long_ago_counts_where_it_is_now(begin: Begin, database: Engine, here: Root) -> None:
    """Days on which little happens: what was closed, moved or reopened is found in the files of days long past."""
    found = pasts(database, every=timedelta(hours=4), length=144)
    all_days = [(FIRST + timedelta(days=number)).date() for number in range(24)]
    for day in all_days:
        writing.write(begin, here, TRANSACTIONS, day)
    right = {row for past in found for row in expected(past, all_days)}
    assert set(ask(here, ROWS)) == right
    often = """
        select count(*) filter (where moved_from is not null) > 20, count(*) filter (where carried) > 500,
               count(*) filter (where status <> 'open') > 150
        from transactions
    """
    assert ask(here, often) == [(True, True, True)]


def test_a_day_asked_for_alone_has_the_days_before_it_written_first(known: Written, here: Root) -> None:
    each, last = known.copy(Root(here.data / "each")), Root(here.data / "last")
    writing.write(known.begin, last, TRANSACTIONS, ALL_DAYS[-1])
    for day in ALL_DAYS:
        assert files.path_of(each, TRANSACTIONS, day).read_bytes() == files.path_of(last, TRANSACTIONS, day).read_bytes()
    assert progress.unfinished(last, ALL_DAYS[0], ALL_DAYS[-1], tables=[TRANSACTIONS]) == []
    files.path_of(each, TRANSACTIONS, ALL_DAYS[2]).unlink()
    again = writing.write(known.begin, each, TRANSACTIONS, ALL_DAYS[3])
    assert again.path.read_bytes() == files.path_of(last, TRANSACTIONS, ALL_DAYS[3]).read_bytes()


def test_what_is_open_adds_up_to_the_balances(known: Written) -> None:
    """Σ open(lent) − Σ open(owed) = balance, of every day, ledger, contact and currency; and their counts agree."""
    differing = """
        with opened as (
            select day, ledger_id, contact_id, currency, count(*) filter (where open_amount > 0) as debts,
                   sum(case when direction = 'lent' then open_amount else -open_amount end)::bigint as amount
            from debts group by all
        )
        select count(*) filter (where coalesce(opened.amount, 0) <> balances.amount or coalesce(debts, 0) <> open_debts),
               count(*), count(*) filter (where open_debts > 1) > 10
        from balances left join opened using (day, ledger_id, contact_id, currency)
    """
    [(wrong, compared, several)] = ask(known.root, differing)
    assert (wrong, several) == (0, True)
    assert isinstance(compared, int)
    assert compared > 100


def test_views_tell_debts_from_things_and_how_late_they_are(begin: Begin, database: Engine, here: Root) -> None:
    returned = {"returned_at": "2026-03-06T08:00:00Z"}
    ana, debt, drill, answer, gone = (str(UUID(int=number, version=4)) for number in range(1, 6))
    due = {"due_date": "2026-03-03", "transaction_date": "2026-03-01"}
    thing = {"contact_id": ana, "direction": "owed", "type": "item", "item": "Drill", "amount": 2, **due}
    repaid = {"contact_id": ana, "direction": "owed", "amount": 1_000, "currency": "EUR", "repays": debt, **due}
    with database.begin() as connection:
        logs.told(
            connection,
            (FIRST, factories.contact(ana)),
            (FIRST, factories.lent(debt, ana, 1_250, **due)),
            (FIRST, factories.lent(gone, ana, 7, currency="JPY", **due)),
            (FIRST, factories.command("transaction", "DELETED", gone)),
            (FIRST, factories.command("transaction", "CREATED", drill, thing)),
            (FIRST + timedelta(days=3), factories.command("transaction", "CREATED", answer, repaid)),
            (
                FIRST + timedelta(days=4),
                factories.command("transaction", "UPDATED", drill, returned),
            ),
        )
    for day in ALL_DAYS:
        writing.write(begin, here, TRANSACTIONS, day)
    since = "select strftime(day, '%d'), {}, days_overdue, strftime(settled_on, '%d') from {} where {} order by day"
    assert ask(here, since.format("open_value::varchar", "debts", f"transaction_id = '{debt}'")) == [
        ("02", "12.5000", None, None),
        ("03", "12.5000", None, None),
        ("04", "12.5000", 1, None),
        ("05", "2.5000", 2, None),
        ("06", "2.5000", 3, None),
        ("07", "2.5000", 4, None),
    ]
    assert ask(here, since.format("open_quantity", "items", "true")) == [
        ("02", 2, None, None),
        ("03", 2, None, None),
        ("04", 2, 1, None),
        ("05", 2, 2, None),
        ("06", 0, None, "06"),
    ]
    assert ask(here, f"select distinct status, open_amount from transactions where transaction_id = '{gone}'") == [("deleted", 0)]
    assert ask(here, "select distinct direction, repays, settled_on - opened_on from debts where repays is not null") == [
        ("owed", debt, 0)
    ]


@pytest.mark.parametrize("table", [TRANSACTIONS, BALANCES], ids=lambda table: table.name)
def test_in_slices_or_at_once_gives_the_same_bytes(
    table: Table, known: Written, here: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = known.copy(here)
    path = files.path_of(root, table, ALL_DAYS[-1])
    at_once = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(writing, "SLICE_ROWS", 50)
    assert writing.write(known.begin, root, table, ALL_DAYS[-1]).rows > 0
    assert path.read_bytes() == at_once
