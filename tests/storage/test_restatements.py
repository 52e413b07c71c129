"""Restatements: old and new are what balances by effective date were and became, and nothing else of the past changed."""

import datetime
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, timedelta

import pytest
from sqlalchemy import Engine, text

from storage import days
from storage.engine import Begin
from storage.snapshots import questions, writing
from storage.snapshots.places import Root
from storage.snapshots.restatements import RESTATEMENTS
from tests.storage import logs

FIRST = datetime.datetime(2026, 11, 15, 9, tzinfo=UTC)
LEDGERS, DAYS, LENGTH = 12, 6, 150
ALL_DAYS = [(FIRST + timedelta(days=number)).date() for number in range(DAYS)]
EVERY = DAYS * timedelta(days=1) / (LENGTH + 20)

Account = tuple[str, str, str]
Line = tuple[Account, int, int, datetime.date, datetime.datetime]


def posted(database: Engine) -> list[Line]:
    query = "select ledger_id::text, contact_id::text, currency, seq, amount, effective_date, recorded_at from debitum.postings"
    with database.connect() as connection:
        return [((row[0], row[1], row[2]), *row[3:]) for row in connection.execute(text(query))]


def as_said(lines: list[Line], end: datetime.datetime, day: datetime.date) -> Counter[Account]:
    """Balances by effective date of `day`, as they were known before `end`: by brute force."""
    sums: Counter[Account] = Counter()
    for account, _, amount, effective, recorded in lines:
        if recorded < end and effective <= day:
            sums[account] += amount
    return Counter({account: amount for account, amount in sums.items() if amount})


def every_day(first: datetime.date, last: datetime.date) -> Iterator[datetime.date]:
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def test_what_each_day_changed_of_the_days_before_it(begin: Begin, database: Engine, here: Root) -> None:
    with database.begin() as connection:
        for seed in range(1, LEDGERS + 1):
            logs.past(connection, seed, FIRST, EVERY, length=LENGTH)
    lines = posted(database)
    for day in ALL_DAYS:
        writing.write(begin, here, RESTATEMENTS, day)
    query = """
        select day, ledger_id, contact_id, currency, seq, restated_day, restated_until, old_amount, new_amount,
               new_value - old_value = (new_amount - old_amount) * unit
        from restatements join dim_currency using (currency)
    """
    rows = questions.query(here, query)[1]
    assert len(rows) > 50
    changed: dict[tuple[datetime.date, datetime.date], Counter[Account]] = {}
    for recorded, ledger, contact, currency, seq, first, last, old, new, valued in rows:
        account = (str(ledger), str(contact), str(currency))
        assert isinstance(recorded, datetime.date)
        assert isinstance(first, datetime.date)
        assert isinstance(last, datetime.date)
        assert isinstance(old, int)
        assert isinstance(new, int)
        assert isinstance(seq, int)
        assert FIRST.date() <= first <= last < recorded
        assert valued
        before = sum(line[2] for line in lines if line[0] == account and line[1] < seq and line[3] <= first)
        after = sum(line[2] for line in lines if line[0] == account and line[1] <= seq and line[3] <= first)
        assert (old, new) == (before, after)
        for day in every_day(first, last):
            changed.setdefault((recorded, day), Counter())[account] += new - old
    for recorded in ALL_DAYS[1:]:
        for day in every_day(ALL_DAYS[0], recorded - timedelta(days=1)):
            before_it, after_it = (as_said(lines, end, day) for end in (days.midnight(recorded), days.end(recorded)))
            before_it.update(changed.get((recorded, day), Counter()))
            assert Counter({account: amount for account, amount in before_it.items() if amount}) == after_it
    assert any(first < last for *_, first, last, _, _, _ in rows), "some are of several days"  # type: ignore[operator]


def test_writing_a_day_again_gives_the_same_bytes(
    begin: Begin, database: Engine, here: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.begin() as connection:
        for seed in range(1, 4):
            logs.past(connection, seed, FIRST, EVERY, length=LENGTH)
    written = writing.write(begin, here, RESTATEMENTS, ALL_DAYS[-1])
    assert written.rows > 0
    before = written.path.read_bytes()
    assert writing.write(begin, here, RESTATEMENTS, ALL_DAYS[-1]).path.read_bytes() == before
    monkeypatch.setattr(writing, "SLICE_ROWS", 10)
    assert writing.write(begin, here, RESTATEMENTS, ALL_DAYS[-1]).path.read_bytes() == before
