"""docs/analysts.md: its dictionary is that of the code, and each of its answers is what its question prints.

After a change that you meant: `DEBITUM_WRITE_GOLDEN=1 pytest tests/test_analysts.py`; then read the diff.
"""

import datetime
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert

from debitum import cli
from storage import tables
from storage.engine import Begin
from storage.snapshots import questions, writing
from storage.snapshots.derived import VIEWS
from storage.snapshots.places import Root
from storage.snapshots.schema import Column
from storage.snapshots.tables import BALANCES, DIM_CURRENCY, DIM_LEDGER, POSTINGS, TABLES
from tests.storage import rows
from tests.storage.conftest import begin as begin  # the fixture

PAGE = Path(__file__).parents[1] / "docs" / "analysts.md"
FIRST, DAYS = datetime.datetime(2026, 3, 2, 9, tzinfo=UTC), 4
HOMES = (
    ("Europe/Berlin", "EUR"),
    ("Europe/Berlin", "EUR"),
    ("Asia/Tokyo", "JPY"),
    ("Africa/Cairo", "EUR"),
    ("Asia/Kuwait", "KWD"),
)
LEAST_QUESTIONS = 10
_DICTIONARY = re.compile(r"(<!-- begin: columns of (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_QUESTION = re.compile(r"```sql\n(?P<sql>.*?)```\n\n```\n(?P<answer>.*?)```", re.DOTALL)


def test_the_dictionary_is_that_of_the_code() -> None:
    found = PAGE.read_text()
    written = _DICTIONARY.sub(lambda part: part[1] + dictionary(part["name"]) + part[3], found)
    if os.environ.get("DEBITUM_WRITE_GOLDEN"):
        PAGE.write_text(written)
    assert PAGE.read_text() == written
    assert {part["name"] for part in _DICTIONARY.finditer(found)} == set(columns())


def columns() -> dict[str, Mapping[str, Column]]:
    """By view."""
    days = {table.name: questions.columns_of(table) for table in TABLES}
    derived = {view.name: view.columns for view in VIEWS}
    return {**days, **derived, "dim_ledger": DIM_LEDGER, "dim_currency": DIM_CURRENCY}


def dictionary(name: str) -> str:
    means = {one.name: f"{one.means}\n\n" for one in (*TABLES, *VIEWS)}.get(name, "")
    lines = [f"| `{column}` | {found.kind} | {found.means} |" for column, found in columns()[name].items()]
    return means + "\n".join(["| column | type | meaning |", "|---|---|---|", *lines, ""])


def test_every_answer_is_what_its_question_prints(
    begin: Begin,
    database: Engine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with database.begin() as connection:
        neighbourhood(connection)
    for table in TABLES:
        for number in range(DAYS):
            writing.write(begin, Root(tmp_path), table, (FIRST + timedelta(days=number)).date())
    writing.write_dimensions(begin, Root(tmp_path))

    def answered(found: re.Match[str]) -> str:
        assert cli.main(["sql", "--data-dir", str(tmp_path), found["sql"]]) == 0
        return f"```sql\n{found['sql']}```\n\n```\n{capsys.readouterr().out}```"

    page = PAGE.read_text()
    written = _QUESTION.sub(answered, page)
    if os.environ.get("DEBITUM_WRITE_GOLDEN"):
        PAGE.write_text(written)
    assert PAGE.read_text() == written
    assert len(_QUESTION.findall(page)) >= LEAST_QUESTIONS
    assert "(0 rows)" not in written


def test_what_python_is_shown_does_what_it_says(
    begin: Begin, database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first of the page's programs, run where the data folder is; what it says of money is what SQL says."""
    [program, *_] = re.findall(r"```python\n(import polars\n.*?)```", PAGE.read_text(), re.DOTALL)
    root = Root(tmp_path / ".debitum")
    with database.begin() as connection:
        neighbourhood(connection)
    for number in range(DAYS):
        writing.write(begin, root, BALANCES, (FIRST + timedelta(days=number)).date())
    writing.write_dimensions(begin, root)
    monkeypatch.chdir(tmp_path)
    names = dict[str, Any]()
    exec(program, names)
    assert "2026-03-05" in capsys.readouterr().out
    asked = "select day, currency, sum(value) from balances where amount > 0 group by all order by all"
    shown = names["valued"].sort("day", "currency").select("day", "currency", "value").collect()
    assert shown.rows() == questions.query(root, asked)[1]


def test_snapshots_that_lie_elsewhere_are_asked_the_same_way(
    begin: Begin, database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with database.begin() as connection:
        neighbourhood(connection)
    monkeypatch.setenv("DEBITUM_SNAPSHOT_URL", f"memory://{uuid.uuid4()}/debitum")
    writing.write(begin, Root.of(tmp_path, os.environ["DEBITUM_SNAPSHOT_URL"]), POSTINGS, FIRST.date())
    asked = ["sql", "--data-dir", str(tmp_path), "--format", "csv"]
    assert cli.main([*asked, "select day, count(*) as lines from postings group by day"]) == 0
    assert capsys.readouterr().out.split() == ["day,lines", "2026-03-02,10"]
    assert cli.main([*asked, f"from read_text('{PAGE}')"]) == 1
    assert "Permission" in capsys.readouterr().err
    monkeypatch.delenv("DEBITUM_SNAPSHOT_URL")
    assert cli.main([*asked, "select count(*) as lines from postings"]) == 0
    assert capsys.readouterr().out.split() == ["lines", "0"]


def neighbourhood(connection: Connection) -> None:
    """Four days of five ledgers: debts, repayments, reminders, mails that fail. Every id is fixed, for some are printed."""
    ids = _ids()
    for number, (zone, currency) in enumerate(
        [
            ("Europe/Berlin", "EUR"),
            ("Europe/Berlin", "EUR"),
            ("Asia/Tokyo", "JPY"),
            ("Africa/Cairo", "EUR"),
            ("Asia/Kuwait", "KWD"),
        ]
    ):
        ledger = rows.Ledger(connection, id=next(ids), user_id=next(ids))
        _make(ledger, zone, currency, FIRST - timedelta(days=number % 3))
        _live(ledger, ids, currency, number)


def _make(ledger: rows.Ledger, zone: str, currency: str, created_at: datetime.datetime) -> None:
    person = {"id": ledger.user_id, "ledger_id": ledger.id, "email": f"{ledger.id}@example.org", "password_hash": "-"}
    profile = {"time_zone": zone, "locale": "en", "default_currency": currency, "reminder_settings": {}, "created_at": created_at}
    ledger.connection.execute(insert(tables.users).values(person | profile))
    head = {"id": ledger.id, "owner_id": ledger.user_id, "data_key": b"", "created_at": created_at}
    ledger.connection.execute(insert(tables.ledgers).values(head))


def _live(ledger: rows.Ledger, ids: Iterator[uuid.UUID], currency: str, number: int) -> None:
    phone, side = next(ids), -1 if number == 1 else 1
    contacts = [ledger.contact(id=next(ids)) for _ in range(2 + number % 2)]
    for seq in range(1, 11):
        at = FIRST + timedelta(hours=9 * (seq - 1))
        contact, repays = contacts[seq % len(contacts)], seq % 4 == 0
        amount = side * (-500 * (number + 1) if repays else 1_000 * (seq + number))
        direction = "lent" if amount > 0 else "owed"
        debt = ledger.money(contact, abs(amount), direction, id=next(ids), currency=currency, due_date=at.date())
        line = {"contact_id": contact, "transaction_id": debt, "currency": currency, "amount": amount, "line": 0}
        when = {"recorded_at": at, "effective_date": at.date() - timedelta(days=40 * (seq % 5 == 0))}
        ledger.connection.execute(insert(tables.postings).values({"ledger_id": ledger.id, "seq": seq, **line, **when}))
        created = {"contact_id": contact, "type": "money", "direction": direction, "currency": currency, "amount": abs(amount)}
        dates = {"transaction_date": at.date(), "due_date": at.date()}
        _log(ledger, ids, seq, at, phone if seq % 3 else None, debt, created | dates)
        if not repays and number != 2:
            _remind(ledger, next(ids), debt, at, ("sent", "sent", "unknown", "permanent")[(seq + number) % 4])


def _log(
    ledger: rows.Ledger,
    ids: Iterator[uuid.UUID],
    seq: int,
    at: datetime.datetime,
    device: uuid.UUID | None,
    debt: uuid.UUID,
    created: Mapping[str, object],
) -> None:
    kind = "UPDATED" if seq % 5 == 3 else "CREATED"
    about = {"event_id": next(ids), "aggregate_type": "transaction", "aggregate_id": next(ids), "event_type": kind}
    change = {"aggregate_type": "transaction", "aggregate_id": str(debt), "op": "create"}
    fact = json.dumps({"changes": [change | {"fields": {name: [None, value] for name, value in created.items()}}]}, default=str)
    decided = {"device_id": device, "status": "accepted", "recorded_at": at, "fact": fact, "hash": bytes(32), "fingerprint": b"-"}
    ledger.connection.execute(insert(tables.events).values({"ledger_id": ledger.id, "seq": seq, **about, **decided}))


def _remind(ledger: rows.Ledger, message: uuid.UUID, debt: uuid.UUID, at: datetime.datetime, outcome: str) -> None:
    payload = {"transaction_id": str(debt), "due_date": str(at.date()), "offset_days": 0}
    state = {"state": "sent" if outcome == "sent" else "dead", "payload": payload, "kind": "due", "channel": "email"}
    times = {"next_at": at, "created_at": at, "finished_at": at}
    row = {"ledger_id": ledger.id, "id": message, "dedupe_key": str(message)}
    ledger.connection.execute(insert(tables.outbox).values(row | state | times))
    tried = {"ledger_id": ledger.id, "outbox_id": message, "attempt": 1, "provider": "smtp", "started_at": at, "outcome": outcome}
    ledger.connection.execute(insert(tables.delivery_attempts).values(tried))


def _ids() -> Iterator[uuid.UUID]:
    number = 0
    while True:
        number += 1
        yield uuid.uuid5(uuid.NAMESPACE_OID, str(number))
