"""GET /metrics: what is counted, by all workers together, who may read it, and what it says while Postgres is away."""

import asyncio
import os
import signal
import socket as sockets_of_python
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from api import metrics, scrape
from api.app import ROUTES
from api.board import Board
from api.metrics import SECONDS, Metrics
from api.settings import Settings, SettingsError
from storage import roles, vitals
from storage.encryption import new_ring
from tests.api.test_feed import hear, listening
from tests.api.test_sync import event
from tests.debitum.test_children import until
from tests.fixtures.api import Client, Server, serve
from tests.fixtures.process import Process

TOKEN = "a token that is long enough".replace(" ", "-")
REQUESTS = "debitum_http_request_duration_seconds_count"


class Scrape:
    """What was scraped."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(text_string_to_metric_families(text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum of what has this name and these labels."""
        return sum(one.value for one in self.samples if one.name == name and labels.items() <= one.labels.items())

    def names(self) -> set[str]:
        return {one.name for one in self.samples}


async def scraped(http: httpx.AsyncClient, **headers: str) -> Scrape:
    answer = await http.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scrape(answer.text)


@pytest.fixture(autouse=True)
def _asks_postgres_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "FRESH_SECONDS", 0.0)


# --- what is counted ------------------------------------------------------------------------------------------------


async def test_a_client_that_hangs_up_is_no_mistake_of_the_servers(api: Server) -> None:
    address = httpx.URL(api.url)
    for sent in (b"GET /api/me HTTP/1.1\r\nHo", b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"):
        _, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
    found = await scraped(api.http())
    assert found.value(REQUESTS, route="none", method="other", status="4xx") == 1
    assert found.value(REQUESTS, route="/api/auth/login", method="POST", status="4xx") == 1
    assert {one.value for one in found.samples if one.name == REQUESTS and one.labels["status"] == "5xx"} <= {0}


async def test_requests_are_counted_by_the_template_of_their_route(api: Server, alice: Client) -> None:
    for number in range(3):
        ana = await alice.post("/api/contacts", {"name": f"Ana {number}"}, status=201)
    await alice.get(f"/api/contacts/{ana['id']}")
    assert (await alice.http.get(f"/api/contacts/{uuid.uuid4()}")).status_code == 404
    assert (await alice.http.get(f"/nothing/{uuid.uuid4()}")).status_code == 404
    assert (await alice.http.request("BREW", "/api/contacts")).status_code == 405
    found = await scraped(api.http())
    assert found.value(REQUESTS, route="/api/contacts", method="POST", status="2xx") == 3
    assert found.value(REQUESTS, route="/api/contacts/{id}", method="GET", status="2xx") == 1
    assert found.value(REQUESTS, route="/api/contacts/{id}", method="GET", status="4xx") == 1
    assert found.value(REQUESTS, route="none", method="GET", status="4xx") == 1
    assert found.value(REQUESTS, route="none", method="other", status="4xx") == 1
    assert found.value("debitum_http_request_duration_seconds_sum", route="/api/contacts", method="POST", status="2xx") > 0
    documented = {route.path for route in ROUTES} | {"/metrics", "none"}
    assert {one.labels["route"] for one in found.samples if one.name == REQUESTS} <= documented


async def test_nobodys_ids_or_addresses_are_in_it(api: Server, alice: Client) -> None:
    ana = await alice.post("/api/contacts", {"name": "Ana"}, status=201)
    await alice.get(f"/api/contacts/{ana['id']}")
    said = (await scraped(api.http())).text
    for secret in (ana["id"], alice.ledger_id, alice.device_id, alice.user["id"], alice.user["email"], "Ana"):
        assert secret not in said


async def test_commands_are_counted_by_outcome_and_dry_runs_are_not(api: Server, alice: Client) -> None:
    created = event("contact", "CREATED", {"name": "Ana"})
    refused = event(
        "transaction", "CREATED", {"contact_id": str(uuid.uuid4()), "direction": "lent", "amount": 1, "currency": "EUR"}
    )
    await alice.push(created, dry_run=True)
    await alice.push(created, refused)
    await alice.push(created)
    await alice.push(event("contact", "CREATED", {"name": "Bo"}, base_seq=1), base_hash="00" * 32, status=409)
    found = await scraped(api.http())
    counts = {outcome: found.value("debitum_commands_total", outcome=outcome) for outcome in metrics.COMMANDS}
    assert counts == {"accepted": 1, "duplicate": 1, "conflict": 0, "rejected": 1}
    assert found.value("debitum_pushes_refused_total", reason="reset") == 1
    assert found.value("debitum_commits_total", outcome="stored") == found.value("debitum_commit_duration_seconds_count") == 4


async def test_what_cannot_be_stored_is_counted(api: Server, alice: Client, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("alter table debitum.contacts add constraint poison check (name <> 'poison')"))
    assert (await alice.http.post("/api/contacts", json={"name": "poison"})).status_code == 500
    found = await scraped(api.http())
    assert found.value("debitum_commits_total", outcome="failed") == 1
    assert found.value(REQUESTS, route="/api/contacts", method="POST", status="5xx") == 1


async def test_sockets_and_how_soon_they_are_told_of_a_change_of_another_host(api: Server, alice: Client) -> None:
    async with serve(api.settings) as other, listening(api, alice) as socket:
        elsewhere = other.client(alice.signed_in)
        await elsewhere.post("/api/contacts", {"name": "Ana"}, status=201)
        await hear(socket)
        await until(lambda: api.app.ctx.metrics.board.row[api.app.ctx.metrics.feed_seconds] > 0, 5)
        found = await scraped(api.http())
        assert found.value("debitum_sockets_open") == 1
        assert found.value("debitum_feed_delay_seconds_count") == 1
        assert 0 < found.value("debitum_feed_delay_seconds_sum") < 5
    assert (await scraped(api.http())).value("debitum_sockets_open") == 0


async def test_connections_in_use_are_seen(api: Server, alice: Client) -> None:
    pool = api.app.ctx.services.engine
    async with pool.connect(), pool.connect():
        found = await scraped(api.http())
    assert found.value("debitum_pool_connections_used", pool="requests") == 2
    assert found.value("debitum_pool_connections_max", pool="requests") == api.settings.pool_size


async def test_what_waits_in_the_database(api: Server, alice: Client, database: Engine) -> None:
    await alice.post("/api/contacts", {"name": "Ana"}, status=201)
    with database.begin() as connection:
        connection.execute(text("update debitum.outbox set next_at = now() - interval '1 hour'"))
        connection.execute(text("update debitum.ledgers set recorded_at = now() - interval '2 hours' where dirty"))
    found = await scraped(api.http())
    assert found.value("debitum_outbox_messages", state="pending") == 1, "the mail that verifies her address"
    assert found.value("debitum_outbox_oldest_ready_seconds") == pytest.approx(3_600, abs=60)
    assert found.value("debitum_projection_dirty_ledgers") == 1
    assert found.value("debitum_projection_lag_seconds") == pytest.approx(7_200, abs=60)
    with database.begin() as connection:
        connection.execute(text("update debitum.outbox set state = 'dead', finished_at = now()"))
        connection.execute(text("update debitum.ledgers set dirty = false"))
    found = await scraped(api.http())
    assert found.value("debitum_outbox_messages") == found.value("debitum_outbox_oldest_ready_seconds") == 0
    assert found.value("debitum_outbox_finished_messages", state="dead") == 1
    assert found.value("debitum_projection_dirty_ledgers") == found.value("debitum_projection_lag_seconds") == 0


async def test_the_database_is_asked_along_indexes_also_before_anybody_has_counted_its_rows(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text(roles.ENTER_BY_KEYS.replace("%(", ":").replace(")s", "")), roles.parameters(roles.REPORT))
        asked = vitals.VITALS.replace("%(most)s", ":most").replace("%(recent)s", ":recent")
        values = {"most": vitals.MOST_COUNTED, "recent": vitals.RECENT}
        plan = "\n".join(connection.scalars(text(f"explain {asked}"), values))
    assert "Index" in plan
    assert "Seq Scan" not in plan


# --- all workers together -------------------------------------------------------------------------------------------


async def test_workers_count_together_and_what_a_killed_one_has_counted_stays(tmp_path: Path, database_url: str) -> None:
    running = Process(tmp_path, database_url, workers=2)
    try:
        await running.listens()
        await until(lambda: len(running.workers()) == 2, 10)
        asked = 0.0
        for _ in range(30):  # a connection each, so that both are asked
            async with httpx.AsyncClient(base_url=running.url) as http:
                assert (await http.get("/health")).status_code == 200
                asked += 1
        before = await _together(running, workers=2)
        assert before.value(REQUESTS, route="/health", method="GET", status="2xx") == asked
        assert before.value("debitum_api_worker_starts_total") == 2
        for worker in running.workers():
            os.kill(worker.pid, signal.SIGKILL)
        after = await _together(running, workers=2, starts=4)
        assert after.value(REQUESTS, route="/health", method="GET", status="2xx") == asked
        assert after.value("debitum_pool_connections_max", pool="requests") == 2 * Settings.pool_size
    finally:
        running.close()


async def _together(running: Process, workers: int, starts: int = 0) -> Scrape:
    """A scrape once so many workers have spoken, of so many that were started."""
    deadline = time.monotonic() + 20
    while True:
        try:
            async with httpx.AsyncClient(base_url=running.url) as http:
                found = await scraped(http)
            spoken = found.value("debitum_api_workers") == workers
            if spoken and found.value("debitum_api_worker_starts_total") >= starts:
                return found
        except httpx.TransportError:  # to one that was killed
            pass
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


def test_whoever_is_forked_adds_to_its_own_row_and_all_are_read() -> None:
    board = Board(workers=3, width=2)
    for place in (1, 2):
        if (pid := os.fork()) == 0:
            board.take(place)
            board.row[1] += place
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
    board.row[0] += 0.5
    assert board.totals() == [0.5, 3.0]


def test_a_bucket_holds_what_is_not_above_its_bound() -> None:
    row = memoryview(bytearray(8 * SECONDS.width)).cast("d")
    for value in (0.0, 0.001, 0.0011, 30.0, 31.0):
        SECONDS.add(row, 0, value)
    buckets, total = SECONDS.read(list(row), 0)
    assert dict(buckets)["0.001"] == 2
    assert dict(buckets)["0.0025"] == 3
    assert (dict(buckets)["30.0"], dict(buckets)["+Inf"]) == (4, 5)
    assert total == pytest.approx(61.0021)


def test_a_worker_that_says_nothing_any_more_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Metrics((), workers=2)
    counted.say(metrics.Gauges(1, 8, 0, 3, 0, 5))
    assert [one.sockets for one in counted.living()] == [5]
    monkeypatch.setattr(metrics, "STALE_SECONDS", -1.0)
    assert counted.living() == []


# --- who may read it ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def configured(api: Server, **members: Any) -> AsyncIterator[Server]:
    async with serve(replace(api.settings, **members)) as running:
        yield running


async def status(http: httpx.AsyncClient, **headers: str) -> int:
    return (await http.get("/metrics", headers={name.replace("_", "-"): value for name, value in headers.items()})).status_code


async def test_without_a_token_it_is_for_programs_of_this_machine(api: Server) -> None:
    http = api.http()
    assert await status(http) == 200
    assert await status(http, Host="localhost:8000") == 200
    assert await status(http, Host="[::1]:8000") == 200
    assert await status(http, Host="debitum.example.org") == 404, "a page whose name leads here, or a proxy that keeps the Host"
    for name in ("X_Forwarded_For", "X_Real_IP", "Forwarded"):
        assert await status(http, **{name: "127.0.0.1"}) == 404, "a proxy that nobody has told us of"
    hidden, nothing = await http.get("/metrics", headers={"Host": "x.org"}), await http.get("/nothing")
    assert hidden.json().keys() == nothing.json().keys()
    assert hidden.json()["code"] == nothing.json()["code"] == "not_found"


async def test_behind_a_proxy_it_is_the_client_who_has_to_be_here(api: Server) -> None:
    async with configured(api, trusted_proxies=1) as server:
        http = server.http()
        assert await status(http) == 200, "past the proxy"
        assert await status(http, X_Forwarded_For="127.0.0.1") == 200
        assert await status(http, X_Forwarded_For="::1") == 200
        for elsewhere in ("203.0.113.7", "unknown", "_hidden", "nonsense"):
            assert await status(http, X_Forwarded_For=elsewhere) == 404, elsewhere
        assert await status(http, X_Forwarded_For="127.0.0.1, 203.0.113.7") == 404, "the proxy appends whom it sees"
    async with configured(api, trusted_proxies=2) as server:
        http = server.http()
        assert await status(http, X_Forwarded_For="127.0.0.1") == 404, "one of the two is missing"
        assert await status(http, X_Forwarded_For="127.0.0.1, 203.0.113.7") == 200


async def test_with_a_token_it_is_for_whoever_has_it(api: Server) -> None:
    async with configured(api, metrics_token=TOKEN) as server:
        http = server.http()
        refused = await http.get("/metrics")
        assert (refused.status_code, refused.json()["code"], refused.headers["www-authenticate"]) == (
            401,
            "unauthorized",
            "Bearer",
        )
        for given in ("Bearer wrong", f"Basic {TOKEN}", "Bearer", "Bearer not-this-one-though-as-long"):
            assert await status(http, Authorization=given) == 401, given
        no_text = await http.get("/metrics", headers={b"Authorization": b"Bearer \xff"})
        assert no_text.status_code == 401
        elsewhere = {"Host": "debitum.example.org", "X-Forwarded-For": "203.0.113.7"}
        await scraped(http, Authorization=f"Bearer {TOKEN}", **elsewhere)


@pytest.mark.parametrize("given", ["short", "with a space in the middle", "ümlauts-are-nothing-for-headers"])
def test_a_token_that_is_none_is_refused_and_not_repeated(given: str) -> None:
    environment = {"DATABASE_URL": "postgresql:///x", "DEBITUM_KEYS": new_ring(), "DEBITUM_METRICS_TOKEN": given}
    with pytest.raises(SettingsError, match=r"^DEBITUM_METRICS_TOKEN: ") as caught:
        Settings.from_environment(environment)
    assert given not in str(caught.value)


# --- while Postgres is away -----------------------------------------------------------------------------------------


@pytest.fixture
def deaf() -> Iterator[str]:
    """URL of a Postgres that takes connections and says nothing."""

    with sockets_of_python.create_server(("127.0.0.1", 0)) as listener:
        yield f"postgresql://nobody@127.0.0.1:{listener.getsockname()[1]}/nothing"


@pytest.mark.parametrize("kind", ["refuses", "deaf"])
async def test_while_postgres_is_away_the_rest_is_told(api_settings: Settings, deaf: str, kind: str) -> None:
    url = deaf if kind == "deaf" else "postgresql://nobody@127.0.0.1:1/nothing"
    async with serve(replace(api_settings, database_url=url, direct_url="postgresql://nobody@127.0.0.1:1/nothing")) as server:
        began = time.monotonic()
        found = await scraped(server.http())
        assert time.monotonic() - began < scrape.DEADLINE_SECONDS + 2
    assert found.value("debitum_postgres_up") == 0
    assert found.value("debitum_api_workers") == 1
    assert {
        name for name in found.names() if name.startswith(("debitum_outbox", "debitum_projection", "debitum_snapshot"))
    } == set()


async def test_postgres_is_asked_once_for_many(api: Server, monkeypatch: pytest.MonkeyPatch, database: Engine) -> None:
    monkeypatch.setattr(scrape, "FRESH_SECONDS", 60.0)
    alice = await api.register()
    await scraped(api.http())
    await alice.post("/api/contacts", {"name": "Ana"}, status=201)
    again = await asyncio.gather(*(scraped(api.http()) for _ in range(5)))
    assert [one.value("debitum_projection_dirty_ledgers") for one in again] == [0] * 5
