"""How often an address may try to sign in, and a user may ask."""

import asyncio
import contextlib
import json
import math
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api import limits, routing, sockets
from api.app import ROUTES
from api.limits import Limiter, Table
from api.settings import Settings, SettingsError
from storage.encryption import new_ring
from tests.debitum.test_children import until
from tests.fixtures.api import Client, Server, serve
from tests.fixtures.process import Process

WRONG = {"email": "nobody@example.org", "password": "not this one"}
NOW = 1_000_000.0


@asynccontextmanager
async def limited(api: Server, **figures: Any) -> AsyncIterator[Server]:
    async with serve(replace(api.settings, **figures)) as running:
        yield running


async def statuses(http: httpx.AsyncClient, count: int, **headers: str) -> list[int]:
    return [(await http.post("/api/auth/login", json=WRONG, headers=headers)).status_code for _ in range(count)]


def check(answer: httpx.Response, limit: int) -> None:
    """A 429 as the wire has it."""
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (429, "application/problem+json")
    assert (problem["status"], problem["code"], problem["type"]) == (429, "rate_limited", "/docs/problems/rate_limited")
    assert (answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]) == (str(limit), "0")
    assert 1 <= int(answer.headers["Retry-After"]) <= int(answer.headers["RateLimit-Reset"])


def test_all_at_once_then_as_they_come_back() -> None:
    limiter = Limiter(Table(), "address", 60, 60.0)
    left = [limiter.take("a", NOW) for _ in range(60)]
    assert [one.remaining for one in left] == list(range(59, -1, -1))
    assert not any(one.retry_seconds for one in left)
    for _ in range(100):
        refused = limiter.take("a", NOW + 0.25)
        assert refused.remaining == 0
        assert refused.retry_seconds == pytest.approx(0.75), "what is refused costs nothing"
    assert [bool(limiter.take("a", NOW + 1).retry_seconds) for _ in range(2)] == [False, True]
    assert limiter.take("b", NOW + 1).remaining == 59, "another key has its own"
    assert limiter.take("a", NOW + 3600).remaining == 59
    assert limiter.take("a", NOW + 3600).reset_seconds == pytest.approx(2)


@pytest.mark.parametrize(("limit", "period_seconds"), [(60, 60.0), (200, 1.0), (7, 60.0), (3, 1.0), (1, 60.0), (999, 1.0)])
def test_rounding_gives_nothing_away(limit: int, period_seconds: float) -> None:
    limiter = Limiter(Table(), "user", limit, period_seconds)
    for second in (0, *range(1, 30_000_000, 999_983)):
        now = second * math.pi
        taken = [limiter.take(f"{second}", now) for _ in range(3 * limit)]
        assert [one.remaining for one in taken] == [*range(limit - 1, -1, -1), *[0] * (2 * limit)]
        assert [bool(one.retry_seconds) for one in taken] == [False] * limit + [True] * (2 * limit)


def test_limits_of_two_names_do_not_share_a_key() -> None:
    table = Table()
    one, other = Limiter(table, "address", 1, 60.0), Limiter(table, "user", 1, 60.0)
    assert not one.take("a", NOW).retry_seconds
    assert one.take("a", NOW).retry_seconds
    assert not other.take("a", NOW).retry_seconds


@pytest.mark.parametrize("written", [math.inf, math.nan, NOW * 1e6, -1.0])
def test_what_is_no_time_locks_nobody_out(written: float) -> None:
    table = Table()
    limiter = Limiter(table, "user", 5, 1.0)
    table.times[table.place(b"user a")] = written
    assert limiter.take("a", NOW).remaining == 4


def test_strangers_push_nobody_out_while_there_is_room() -> None:
    limiter = Limiter(Table(), "address", 2, 60.0)
    for _ in range(2):
        limiter.take("guesser", NOW)
    for stranger in range(20_000):
        limiter.take(str(stranger), NOW)
    assert limiter.take("guesser", NOW).retry_seconds


def test_when_it_is_full_the_one_who_asked_least_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SETS", 1)
    limiter = Limiter(Table(), "address", 10, 60.0)
    for _ in range(10):
        limiter.take("guesser", NOW)
    for stranger in range(50):
        limiter.take(str(stranger), NOW + 1)
    assert limiter.take("guesser", NOW + 1).retry_seconds


async def test_an_address_may_try_so_often(api: Server) -> None:
    async with limited(api, auth_per_minute=4) as server, server.http() as http:
        first = await http.post("/api/auth/login", json={})
        assert (first.status_code, first.headers["RateLimit-Limit"], first.headers["RateLimit-Remaining"]) == (400, "4", "3")
        assert int(first.headers["RateLimit-Reset"]) == 15
        assert await statuses(http, 5) == [401, 401, 401, 429, 429]
        check(await http.post("/api/auth/register", json=WRONG), 4)
        check(await http.post("/api/auth/refresh", json={"refresh_token": "x"}, headers={"Authorization": "Bearer junk"}), 4)
        assert await statuses(http, 1, **{"X-Forwarded-For": "203.0.113.7"}) == [429], "anybody can write that header"
        meta = await http.get("/api/meta")
        assert (meta.status_code, "RateLimit-Limit" in meta.headers) == (200, False)
        assert (await http.get("/api/me")).status_code == 401


async def test_a_trusted_proxy_says_who_asks(api: Server) -> None:
    async with limited(api, auth_per_minute=1, trusted_proxies=1) as server, server.http() as http:
        for addresses in ("203.0.113.7", "2001:db8::1", "[2001:db8:1::1]:4000", "203.0.113.8:4000"):
            assert await statuses(http, 2, **{"X-Forwarded-For": addresses}) == [401, 429]
        same = ("198.51.100.1, 203.0.113.7", "::ffff:203.0.113.7", "2001:db8::ffff:1", "10.0.0.1, 2001:db8:1::2")
        for addresses in same:
            assert await statuses(http, 1, **{"X-Forwarded-For": addresses}) == [429], addresses
        assert await statuses(http, 2) == [401, 429], "without the header it is the peer"
        for addresses in ("unknown", "nonsense", "_hidden"):
            assert await statuses(http, 1, **{"X-Forwarded-For": addresses}) == [429], "and with one that names nobody"


async def test_a_user_may_ask_so_often_on_all_devices_together(api: Server, alice: Client, bob: Client) -> None:
    phone = await api.login(alice)
    async with limited(api, user_per_second=4) as server:
        clients = [server.client(one.signed_in).http for one in (alice, phone, bob)]
        began = time.monotonic()
        answers = await asyncio.gather(*(http.get("/api/me") for http in clients[:2] * 20))
        passed = [answer for answer in answers if answer.status_code == 200]
        assert 4 <= len(passed) <= 4 + 4 * (time.monotonic() - began) + 1
        for answer in answers:
            if answer.status_code != 200:
                check(answer, 4)
                assert answer.headers["Retry-After"] == "1"
        other = await clients[2].get("/api/me")
        assert (other.status_code, other.headers["RateLimit-Limit"], other.headers["RateLimit-Remaining"]) == (200, "4", "3")
        await asyncio.sleep(1)
        assert (await clients[0].get("/api/me")).status_code == 200


async def test_streams_and_refusals_tell_what_is_left(api: Server, alice: Client) -> None:
    async with limited(api, user_per_second=1_000) as server:
        http = server.client(alice.signed_in).http
        for answer in (await http.get("/api/sync/state"), await http.get("/api/contacts?limit=0"), await http.head("/api/me")):
            assert answer.headers["RateLimit-Limit"] == "1000"


async def test_of_two_limits_the_nearer_one_is_told(api: Server, alice: Client) -> None:
    async with limited(api, user_per_second=1_000, auth_per_minute=5) as server:
        answer = await server.client(alice.signed_in).http.post("/api/auth/logout")
    assert (answer.status_code, answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]) == (204, "5", "4")


async def test_mail_programs_unsubscribe_more_people_than_an_address_signs_in(api: Server) -> None:
    async with limited(api, auth_per_minute=1) as server, server.http() as http:
        asked = [await http.post("/unsubscribe?token=x", data={"List-Unsubscribe": "One-Click"}) for _ in range(11)]
        assert [answer.status_code for answer in asked] == [400] * 10 + [429]
        assert int(asked[-1].headers["Retry-After"]) <= 6
        assert (await http.get("/unsubscribe?token=x")).status_code == 429
        assert await statuses(http, 1) == [401], "it has not signed in yet"


async def test_pages_count_with_the_address_too(api: Server) -> None:
    async with limited(api, auth_per_minute=4) as server, server.http() as http:
        form = {"token": "x", "new_password": "long enough"}
        answers = [await http.request(method, page, data=form) for page in ("/verify", "/reset/") for method in ("GET", "POST")]
        assert [answer.status_code for answer in answers] == [200, 400, 200, 400]
        assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["3", "2", "1", "0"]
        for page in ("/verify", "/reset", "/verify/?token=x"):
            refused = await http.post(page, data=form)
            assert (refused.status_code, refused.headers["content-type"]) == (429, "text/html; charset=utf-8")
            assert 1 <= int(refused.headers["Retry-After"]) <= int(refused.headers["RateLimit-Reset"])
        assert await statuses(http, 1) == [429], "it is one limit"
        assert (await http.get("/docs")).status_code == 200


async def first_words(server: Server, token: str) -> int:
    """How the feed answers them: the code it closes with, 0 where it is open."""
    async with connect(f"{server.url.replace('http', 'ws')}{sockets.PATH}") as socket:
        await socket.send(json.dumps({"type": "auth", "token": token}))
        with contextlib.suppress(ConnectionClosed):
            await socket.recv()
            return 0
        assert socket.close_code is not None
        return socket.close_code


async def test_so_do_tokens_of_the_feed_that_are_not_good(api: Server, alice: Client) -> None:
    good = alice.signed_in["access_token"]
    async with limited(api, auth_per_minute=4) as server:
        assert [await first_words(server, good) for _ in range(6)] == [0] * 6, "who is known is not counted by address"
        assert [await first_words(server, f"x{number}") for number in range(4)] == [sockets.UNAUTHORIZED] * 4
        assert await first_words(server, "x") == await first_words(server, good) == sockets.TRY_AGAIN
        async with server.http() as http:
            assert await statuses(http, 1) == [429]
    async with limited(api, user_per_second=3) as server:
        closed = await asyncio.gather(*(first_words(server, good) for _ in range(5)))
        assert sockets.TRY_AGAIN in closed, "and who is known is counted as that"


async def test_without_figures_nothing_is_limited(alice: Client) -> None:
    answer = await alice.http.get("/api/me")
    assert not [name for name in answer.headers if name.startswith("ratelimit")]


async def test_the_document_says_where(api: Server) -> None:
    async with api.http() as http:
        paths = (await http.get("/docs/openapi.json")).json()["paths"]
    for route in ROUTES:
        told = "429" in paths[route.path][route.method.lower()]["responses"]
        assert told == (not route.public or route.path.startswith(routing.SIGNING_IN)), route.name


def read(**given: str) -> Settings:
    return Settings.from_environment({"DATABASE_URL": "postgresql:///x", "DEBITUM_KEYS": new_ring(), **given})


def test_the_figures_of_the_wire_hold_unless_somebody_says_otherwise() -> None:
    plain = read()
    assert (plain.auth_per_minute, plain.user_per_second, plain.trusted_proxies) == (60, 200, 0)
    off = read(DEBITUM_RATE_AUTH_PER_MINUTE="0", DEBITUM_RATE_USER_PER_SECOND="0", DEBITUM_TRUSTED_PROXIES="2")
    assert (off.auth_per_minute, off.user_per_second, off.trusted_proxies) == (None, None, 2)
    for name in ("DEBITUM_RATE_AUTH_PER_MINUTE", "DEBITUM_RATE_USER_PER_SECOND", "DEBITUM_TRUSTED_PROXIES"):
        with pytest.raises(SettingsError, match=f"^{name}: "):
            read(**{name: "-1"})


async def test_the_workers_of_a_server_count_together(tmp_path: Path, database_url: str) -> None:
    """Each answers alone for a while, and one is killed: what was counted stays counted."""
    slow: dict[str, Any] = {"DEBITUM_RATE_AUTH_PER_MINUTE": "6"}  # one comes back every ten seconds

    async def tries(count: int) -> list[int]:
        found = []
        for _ in range(count):  # each on a connection of its own, for whichever worker takes it
            async with httpx.AsyncClient(base_url=running.url, timeout=30) as http:
                found.append((await http.post("/api/auth/login", json={})).status_code)
        return found

    with closing(Process(tmp_path, database_url, 2, environment=slow)) as running:
        await running.listens()
        await until(lambda: len(running.workers()) == 2)
        async with httpx.AsyncClient(base_url=running.url, timeout=30) as http:
            assert (await http.get("/health")).status_code == 200
        began = time.monotonic()
        one, other = running.workers()
        other.suspend()
        assert await tries(4) == [400] * 4
        other.resume()
        one.suspend()
        answers = await tries(20)
        one.resume()
        os.kill(other.pid, signal.SIGKILL)
        await until(lambda: running.said("worker_ended") and len(running.workers()) == 2)
        one.suspend()
        answers += await tries(5)
        earned = math.ceil((time.monotonic() - began) / 10)
        assert 2 <= answers.count(400) <= 2 + earned
        assert answers.count(429) == len(answers) - answers.count(400)
