"""The write path under trouble: a poisonous change, a lost connection, a full queue, no database at all."""

import asyncio
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy import Engine, text

from api import held
from api.settings import Settings
from domain.case import Defaults
from storage import current, roles
from storage.ledgers import Push
from tests.api.test_sync import event
from tests.fixtures.api import PASSWORD, Client, Server


async def test_one_poisonous_change_does_not_fail_the_batch_that_it_came_with(
    alice: Client, bob: Client, database: Engine
) -> None:
    with database.begin() as connection:
        connection.execute(text("alter table debitum.contacts add constraint poison check (name <> 'poison')"))
    names = ["poison" if number == 7 else f"contact {number}" for number in range(20)]
    answers = await asyncio.gather(
        *((alice if number % 2 else bob).http.post("/api/contacts", json={"name": name}) for number, name in enumerate(names))
    )
    assert [answer.status_code for answer in answers] == [500 if name == "poison" else 201 for name in names]
    assert answers[7].json()["code"] == "internal"
    assert "poison" not in answers[7].text
    for client, count in ((alice, 9), (bob, 10)):
        pulled = await client.post("/api/sync/pull", {})
        assert [fact["seq"] for fact in pulled["events"]] == list(range(1, count + 1))


async def test_a_lost_connection_costs_a_503_at_most_and_a_retry_takes_each_change_once(alice: Client, database: Engine) -> None:
    keys = [str(uuid.uuid4()) for _ in range(30)]

    async def create(key: str) -> None:
        while True:
            answer = await alice.http.post("/api/contacts", json={"name": "Ana"}, headers={"Idempotency-Key": key})
            if answer.status_code != 503:
                assert answer.status_code in (200, 201), answer.text
                return
            assert answer.headers["Retry-After"] == "1"
            await asyncio.sleep(0.05)

    async def disturb() -> None:
        for _ in range(5):
            await asyncio.sleep(0.02)
            with database.begin() as connection:
                connection.execute(
                    text(
                        "select pg_terminate_backend(pid) from pg_stat_activity"
                        " where datname = current_database() and application_name like 'debitum-api%'"
                    )
                )

    await asyncio.gather(disturb(), *(create(key) for key in keys))
    pulled = await alice.post("/api/sync/pull", {})
    assert sorted(fact["id"] for fact in pulled["events"]) == sorted(keys)


async def test_changes_that_wait_for_a_locked_ledger_are_answered_when_it_is_free(alice: Client, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("select from debitum.ledgers where id = :id for update"), {"id": alice.ledger_id})
        waiting = [asyncio.create_task(alice.http.post("/api/contacts", json={"name": str(number)})) for number in range(10)]
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in waiting)
    assert {(await task).status_code for task in waiting} == {201}


async def test_a_ledger_that_somebody_keeps_makes_nobody_else_wait(
    alice: Client, bob: Client, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "SECONDS", 60.0)
    with structlog.testing.capture_logs() as logged, database.begin() as connection:
        connection.execute(text("select from debitum.ledgers where id = :id for update"), {"id": alice.ledger_id})
        both = [client.http.post("/api/contacts", json={"name": "Ana"}) for client in (alice, bob) * 5]
        answers = await asyncio.gather(*both)
        assert [answer.status_code for answer in answers] == [503, 201] * 5
        assert answers[0].headers["Retry-After"] == "1"
        assert (await alice.http.post("/api/contacts", json={"name": "Ana"})).status_code == 503
    assert [line["error"] for line in logged if line["event"] == "write_unavailable"] == ["LockNotAvailable"], "waited for once"


def contacts(count: int) -> list[dict[str, Any]]:
    return [event("contact", "CREATED", {"name": f"contact {number}"}) for number in range(count)]


async def test_a_push_of_many_commands_that_waits_keeps_only_its_own_ledger_waiting(
    alice: Client, bob: Client, api: Server, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roles, "LOCK_TIMEOUT", roles.LOCK_TIMEOUT.replace("1s", "20s"))  # the others may be slow
    carol = await api.register()
    with database.begin() as connection:
        connection.execute(text("select from debitum.ledgers where id = :id for update"), {"id": alice.ledger_id})
        many = asyncio.create_task(alice.push(*contacts(100)))
        await asyncio.sleep(0.1)
        own = asyncio.create_task(alice.push(*contacts(1)))
        few, others = await asyncio.gather(bob.push(*contacts(1)), carol.push(*contacts(100)))
        assert (few["version"], others["version"]) == (1, 100)
        assert not many.done()
        assert not own.done()
    assert (await many)["version"] == 100
    assert [outcome["seq"] for outcome in (await own)["results"]] == [101]


async def test_while_a_ledger_is_taken_over_only_its_own_changes_are_refused(alice: Client, bob: Client, api: Server) -> None:
    nothing, begun = Push(alice.ledger_id, [], Defaults("EUR", "UTC")), threading.Event()
    asked: list[asyncio.Task[httpx.Response]] = []

    def pushes() -> Iterator[Push]:
        yield nothing
        yield nothing
        begun.set()  # the one before has been stored
        for _ in range(2_000):
            if not (asked and all(task.done() for task in asked)):
                yield nothing

    taking = asyncio.create_task(api.app.ctx.services.writer.take_over(alice.ledger_id, pushes()))
    await asyncio.to_thread(begun.wait)
    asked.extend(asyncio.create_task(one.http.post("/api/contacts", json={"name": "Ana"})) for one in (alice, bob))
    await taking
    assert [task.done() and task.result().status_code for task in asked] == [503, 201]
    assert (await alice.http.post("/api/contacts", json={"name": "Ana"})).status_code == 201


async def test_what_is_logged_of_a_batch_bears_the_ids_of_its_requests(alice: Client, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("alter table debitum.contacts add constraint poison check (name <> 'poison')"))
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logged:
        with database.begin() as connection:
            connection.execute(text("select from debitum.ledgers where id = :id for update"), {"id": alice.ledger_id})
            waiting: list[asyncio.Task[Any]] = []
            for name in ("ahead", "one", "poison", "two"):
                given = {"X-Request-ID": f"r-{name}"}
                waiting.append(asyncio.create_task(alice.http.post("/api/contacts", json={"name": name}, headers=given)))
                await asyncio.sleep(0.1)
        answers = [await task for task in waiting]
    assert [answer.status_code for answer in answers] == [201, 201, 500, 201]
    together, alone = (line for line in logged if line["event"] == "write_failed")
    assert (together["request_ids"], together["pushes"]) == (["r-one", "r-poison", "r-two"], 3)
    assert (alone["request_id"], alone["pushes"]) == ("r-poison", 1)
    assert "request_ids" not in alone
    [failed] = [line for line in logged if line["event"] == "request_failed"]
    assert failed["request_id"] == "r-poison"


async def test_what_postgres_passes_over_behind_a_failure_is_no_news(
    alice: Client, database: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure that is known before the rest has been sent: psycopg warned of the rest, depending on who was faster."""
    ask = current.ask

    async def slowly(connection: Any, places: Any) -> current.Answer:
        await asyncio.sleep(0.1)
        answer = await ask(connection, places)
        await asyncio.sleep(0.1)
        return answer

    monkeypatch.setattr(current, "ask", slowly)
    with database.begin() as connection:
        connection.execute(text("alter table debitum.contacts add constraint poison check (name <> 'poison')"))
    answers = [await alice.http.post("/api/contacts", json={"name": name}) for name in ("poison", "Ana")]
    assert [answer.status_code for answer in answers] == [500, 201]
    assert [record.name for record in caplog.records if record.name == "psycopg"] == []


class TestFullQueue:
    """With room for two."""

    @pytest.fixture
    def api_settings(self, api_settings: Settings) -> Settings:
        return replace(api_settings, queue_limit=2)

    async def test_what_does_not_fit_is_told_to_come_back(self, alice: Client, database: Engine) -> None:
        with database.begin() as connection:
            connection.execute(text("select from debitum.ledgers where id = :id for update"), {"id": alice.ledger_id})
            first = asyncio.create_task(alice.http.post("/api/contacts", json={"name": "in flight"}))
            await asyncio.sleep(0.2)
            others = [asyncio.create_task(alice.http.post("/api/contacts", json={"name": str(number)})) for number in range(8)]
            done, _ = await asyncio.wait(others, timeout=0.5, return_when=asyncio.ALL_COMPLETED)
            refused = [task.result() for task in done]
            assert {answer.status_code for answer in refused} == {503}
            assert {answer.json()["code"] for answer in refused} == {"unavailable"}
        statuses = [(await task).status_code for task in (first, *others)]
        assert statuses.count(201) == 3
        assert len((await alice.get("/api/contacts"))["items"]) == 3


class TestNoDatabase:
    """With an address where no Postgres listens."""

    @pytest.fixture
    def api_settings(self, api_settings: Settings, tmp_path: Any) -> Settings:
        return replace(api_settings, database_url=f"postgresql://nobody@/nothing?host={tmp_path}")

    async def test_every_answer_is_a_503_and_the_process_lives(self, api: Server) -> None:
        async with api.http() as http:
            assert (await http.get("/health")).status_code == 200
            ready = await http.get("/health/ready")
            assert (ready.status_code, ready.json()["checks"]) == (503, {"postgres": "does not answer"})
            answer = await http.post("/api/auth/register", json={"email": "a@example.org", "password": PASSWORD})
            assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "unavailable", "1")
