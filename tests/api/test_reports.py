"""Balances at points of the past, what explains them, statements and ageing over HTTP."""

import csv
import datetime
import io
import uuid
from typing import Any

from sqlalchemy import Engine, update

from storage import tables
from tests.api.test_transactions import lend, person
from tests.fixtures.api import Client, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()


async def test_a_balance_is_known_as_of_then_and_effective_on_a_date(alice: Client) -> None:
    ana = await person(alice)
    first = await lend(alice, ana, 1000, transaction_date="2026-01-10")
    late = await lend(alice, ana, 500, transaction_date="2026-01-05")
    await alice.post(f"/api/transactions/{first['id']}", {"amount": 900})

    async def amount(**point: str) -> tuple[int, int]:
        found = await alice.get("/api/balances", **point)
        return sum(item["amount"] for item in found["items"]), found["version"]

    assert await amount() == (1400, 4)
    assert await amount(as_of=first["created_at"]) == (1000, 2)
    assert await amount(as_of=late["created_at"]) == (1500, 3)
    assert await amount(effective_on="2026-01-05") == (500, 4)
    assert await amount(effective_on="2026-01-04") == (0, 4)
    assert await amount(as_of=first["created_at"], effective_on="2026-01-09") == (0, 2)
    assert await amount(as_of="2020-01-01T00:00:00Z") == (0, 0)
    future = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)).isoformat()
    refused = await alice.http.get("/api/balances", params={"as_of": future})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/as_of")


async def test_an_empty_ledger_owed_nothing_at_any_time(alice: Client) -> None:
    found = await alice.get("/api/balances", as_of="2026-01-01T00:00:00Z", effective_on="2026-01-01")
    assert found == {"items": [], "totals": [], "version": 0, "materialized_version": 0}


async def explained(client: Client, contact_id: str, **parameters: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await client.get(f"/api/contacts/{contact_id}/explain", limit=2, **parameters, **cursor)
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


async def test_a_balance_is_explained_event_by_event(alice: Client, bob: Client) -> None:
    ana, bo = await person(alice), await person(alice, "Bo")
    lunch = await lend(alice, ana, 1000, transaction_date="2026-01-10")
    yen = await lend(alice, ana, 70, currency="JPY", direction="owed")
    await alice.post(f"/api/transactions/{lunch['id']}", {"amount": 900})
    await alice.post(f"/api/transactions/{lunch['id']}", {"description": "lunch"})
    await alice.post(f"/api/transactions/{lunch['id']}", {"transaction_date": "2026-01-12"})
    await alice.post(f"/api/transactions/{yen['id']}", {"contact_id": bo})
    await lend(alice, ana, 5)
    items = await explained(alice, ana)
    assert [(item["seq"], item["amount"], item["currency"], item["running_total"]) for item in items] == [
        (3, 1000, "EUR", 1000),
        (4, -70, "JPY", -70),
        (5, -100, "EUR", 900),
        (8, 70, "JPY", 0),
        (9, 5, "EUR", 905),
    ]
    assert [item["seq"] for item in await explained(alice, ana, currency="EUR")] == [3, 5, 9]
    assert [item["running_total"] for item in await explained(alice, ana, as_of=lunch["created_at"])] == [1000]
    on = await explained(alice, ana, currency="EUR", effective_on="2026-01-11")
    assert [(item["seq"], item["running_total"]) for item in on] == [(3, 1000), (5, 900), (7, 0)]
    facts = {fact["seq"]: fact["id"] for fact in (await alice.post("/api/sync/pull", {}))["events"]}
    assert all(item["event_id"] == facts[item["seq"]] for item in items)
    assert (await bob.http.get(f"/api/contacts/{ana}/explain")).status_code == 404
    assert (await alice.http.get(f"/api/contacts/{uuid.uuid4()}/explain")).status_code == 404


async def test_the_statement_of_a_month(alice: Client, bob: Client) -> None:
    ana = await person(alice, "=Ana <b>")
    await lend(alice, ana, 1000, transaction_date="2026-01-31", description="before")
    second = await lend(alice, ana, 250, transaction_date="2026-02-01", description='=cmd|" /C calc"!A0')
    await lend(alice, ana, 100, transaction_date="2026-02-28", direction="owed", description="back, <i>thanks</i>")
    await lend(alice, ana, 7, transaction_date="2026-03-01", currency="JPY")
    path = f"/api/contacts/{ana}/statement"
    found = await alice.get(path, month="2026-02")
    [account] = found["accounts"]
    assert (account["currency"], account["opening"], account["closing"]) == ("EUR", 1000, 1150)
    assert [(one["date"], one["amount"], one["running_total"]) for one in account["movements"]] == [
        ("2026-02-01", 250, 1250),
        ("2026-02-28", -100, 1150),
    ]
    assert [one["closing"] for one in (await alice.get(path, month="2026-04"))["accounts"]] == [1150, 7]
    assert (await alice.get(path, month="2020-01"))["accounts"] == []
    sheet = await alice.http.get(path, params={"month": "2026-02", "format": "csv"})
    assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
    assert sheet.headers["content-disposition"] == f'attachment; filename="statement-2026-02-{ana}.csv"'
    lines = list(csv.DictReader(io.StringIO(sheet.text)))
    assert [(line["amount"], line["balance"], line["balance_minor"]) for line in lines] == [
        ("", "10.00", "1000"),
        ("2.50", "12.50", "1250"),
        ("-1.00", "11.50", "1150"),
        ("", "11.50", "1150"),
    ]
    assert lines[1]["description"] == '\'=cmd|" /C calc"!A0'
    assert lines[1]["transaction_id"] == second["id"]
    page = await alice.http.get(path, params={"month": "2026-02", "format": "html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<i>" not in page.text
    assert "back, &lt;i&gt;thanks&lt;/i&gt;" in page.text
    assert (await alice.get(path, month="0099-02"))["month"] == "0099-02"
    assert (await alice.http.get(path, params={"month": "2026-13"})).status_code == 400
    assert (await alice.http.get(path, params={"month": "0000-01"})).status_code == 400
    assert (await bob.http.get(path)).status_code == 404
    await alice.http.delete(f"/api/contacts/{ana}")
    assert (await alice.get(path, month="2026-02"))["accounts"] == []


async def test_open_debts_by_age_add_up_to_the_balances(alice: Client) -> None:
    ana, bo = await person(alice), await person(alice, "Bo")
    today = datetime.datetime.now(datetime.UTC).date()

    async def due(days_ago: int, amount: int, contact_id: str = ana, **members: Any) -> None:
        day = (today - datetime.timedelta(days=days_ago)).isoformat()
        await lend(alice, contact_id, amount, due_date=day, transaction_date="2020-01-01", **members)

    await due(-5, 1)
    await due(10, 20)
    await due(31 + 2, 300)
    await due(61 + 2, 4_000)
    await due(200, 50_000)
    await lend(alice, ana, 600_000)
    await lend(alice, ana, 30_000, direction="owed")  # pays the oldest
    await due(200, 9, bo, direction="owed")
    await due(10, 7, bo, currency="JPY")
    assert (await alice.get("/api/reports/ageing"))["items"] == [
        {
            "currency": "EUR",
            "direction": "lent",
            "not_due": 600_001,
            "days_1_30": 20,
            "days_31_60": 300,
            "days_61_90": 4_000,
            "days_over_90": 20_000,
            "total": 624_321,
        },
        {
            "currency": "EUR",
            "direction": "owed",
            "not_due": 0,
            "days_1_30": 0,
            "days_31_60": 0,
            "days_61_90": 0,
            "days_over_90": 9,
            "total": 9,
        },
        {
            "currency": "JPY",
            "direction": "lent",
            "not_due": 0,
            "days_1_30": 7,
            "days_31_60": 0,
            "days_61_90": 0,
            "days_over_90": 0,
            "total": 7,
        },
    ]
    net = {total["currency"]: total["net"] for total in (await alice.get("/api/balances"))["totals"]}
    assert net == {"EUR": 624_321 - 9, "JPY": 7}


async def test_the_history_is_what_was_known_at_the_end_of_each_day(alice: Client, bob: Client, database: Engine) -> None:
    ana, bo = await person(alice), await person(alice, "Bo")
    path, today = "/api/reports/history", datetime.datetime.now(datetime.UTC).date()
    assert await alice.get(path) == {"items": [], "next_cursor": None}
    await lend(alice, ana, 1000)
    await lend(alice, bo, 300, direction="owed")
    await lend(alice, bo, 7, currency="JPY")
    monday = today - datetime.timedelta(days=today.weekday() + 14)  # of the week before last
    with database.begin() as connection:  # what was recorded first lies two weeks back
        connection.execute(
            update(tables.postings).where(tables.postings.c.amount == 1000).values(recorded_at=monday.isoformat() + "T23:59:59Z")
        )
    now = [
        {"date": str(today), "currency": "EUR", "net": 700, "owed_to_you": 1000, "you_owe": 300},
        {"date": str(today), "currency": "JPY", "net": 7, "owed_to_you": 7, "you_owe": 0},
    ]
    days = (await alice.get(path))["items"]
    assert days[-2:] == now
    assert [item["date"] for item in days if item["currency"] == "EUR"] == [
        str(monday + datetime.timedelta(days=number)) for number in range((today - monday).days + 1)
    ]
    assert {(item["owed_to_you"], item["you_owe"]) for item in days[:-2]} == {(1000, 0)}
    weeks = (await alice.get(path, interval="week", currency="EUR"))["items"]
    sundays = [monday + datetime.timedelta(days=number) for number in (6, 13)]
    assert [item["date"] for item in weeks] == [str(day) for day in (*sundays, today)]
    assert (await alice.get(path, interval="month", contact_id=bo))["items"][-2:] == [
        {"date": str(today), "currency": "EUR", "net": -300, "owed_to_you": 0, "you_owe": 300},
        now[1],
    ]
    # What has not begun is left out, and what is before the first posting has no currency.
    assert (await alice.get(path, **{"from": str(today), "to": "2099-01-01"}))["items"] == now
    assert (await alice.get(path, **{"from": "2099-01-01"}))["items"] == []
    assert (await alice.get(path, **{"from": "2020-01-01", "to": "2020-01-31"}))["items"] == []
    assert (await bob.get(path, contact_id=ana))["items"] == []
    for wrong, pointer in (
        ({"from": "2026-02-02", "to": "2026-02-01"}, "/from"),
        ({"from": "1990-01-01"}, "/from"),
        ({"interval": "year"}, "/interval"),
        ({"currency": "XXZ"}, "/currency"),
    ):
        refused = await alice.http.get(path, params=wrong)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, pointer), wrong
    assert len((await alice.get(path, interval="month", **{"from": "1990-01-01"}))["items"]) < 20
