"""Guessing passwords: slow for whoever tries many, and the same work and answer whether the account is there or not."""

import asyncio
import datetime
import time
from collections import Counter
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from api import passwords, places
from api.passwords import CONCURRENT_HASHES
from api.settings import Settings
from domain.throttling import ACCOUNT, ADDRESS
from storage import throttling
from tests.api.test_passwords import ANOTHER, changing, mail_token, resetting, signing_in
from tests.debitum.test_children import until
from tests.fixtures.api import PASSWORD, Client, Server, serve
from tests.fixtures.hashes import watch

NOBODY = "nobody@example.org"


def whole(answer: httpx.Response) -> dict[str, Any]:
    """All of an answer that does not name the request."""
    body = answer.json() if answer.content else {}
    body.pop("request_id", None)
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return {"status": answer.status_code, "body": body, "headers": headers, "names": list(answer.headers)}


async def guess(api: Server, email: str, password: str = "a guess") -> httpx.Response:
    async with api.http() as http:
        return await http.post("/api/auth/login", json={"email": email, "password": password})


def set_back(database: Engine, api: Server, email: str, failures: int, seconds: float) -> None:
    """So many wrong passwords for this account, the latest so many seconds ago."""
    key = throttling.account_key(api.settings.keys, email)
    now = datetime.datetime.now(datetime.UTC)
    row = {"key": key, "failures": failures, "at": now - datetime.timedelta(seconds=seconds)}
    with database.begin() as connection:
        connection.execute(
            text(
                "insert into debitum.login_attempts values (:key, :failures, :at) "
                "on conflict (key) do update set failures = :failures, last_at = :at"
            ),
            row,
        )


def counted(database: Engine, key: bytes) -> int | None:
    with database.begin() as connection:
        found: int | None = connection.scalar(text("select failures from debitum.login_attempts where key = :key"), {"key": key})
    return found


async def test_known_and_unknown_accounts_get_the_same_answers_for_the_same_work(
    alice: Client, api: Server, database: Engine
) -> None:
    hashes, emails = watch(api), (alice.user["email"], NOBODY)
    wrong = [(whole(await guess(api, email)), hashes.taken()) for email in emails]
    assert wrong[0] == wrong[1]
    assert (wrong[0][0]["status"], wrong[0][0]["body"]["code"], wrong[0][1]) == (401, "invalid_credentials", 1)
    early = []
    for email in emails:
        set_back(database, api, email, 30, 0.5)
        early.append((whole(await guess(api, email)), hashes.taken()))
    assert early[0] == early[1]
    assert (early[0][0]["status"], early[0][0]["body"]["code"], early[0][1]) == (429, "rate_limited", 0)
    assert early[0][0]["headers"]["retry-after"] == "60", "the most that an owner waits for what others did"
    forgot = []
    async with api.http() as http:
        for email in emails:
            answer = await http.post("/api/auth/password/forgot", json={"email": email})
            forgot.append((whole(answer), hashes.taken(), 0.2 <= answer.elapsed.total_seconds() < 20))
    assert forgot[0] == forgot[1]
    assert forgot[0][0]["status"] == 202
    assert forgot[0][1:] == (0, True)


async def test_the_owner_waits_once_and_a_right_password_clears_the_account(alice: Client, api: Server, database: Engine) -> None:
    email = alice.user["email"]
    key, hashes = throttling.account_key(api.settings.keys, email), watch(api)
    assert [(await guess(api, email)).status_code for _ in range(3)] == [401] * 3
    assert (await guess(api, email, PASSWORD)).status_code == 200
    assert counted(database, key) is None
    set_back(database, api, email, 30, 58.5)
    hashes.taken()
    early = await guess(api, email.upper(), PASSWORD)
    assert (early.status_code, early.headers["Retry-After"], hashes.taken()) == (429, "2", 0)
    assert counted(database, key) == 30, "what is refused is not counted: nobody is kept out by somebody who does not stop"
    set_back(database, api, email, 30, 60.5)
    assert (await guess(api, email, PASSWORD)).status_code == 200
    assert counted(database, key) is None
    set_back(database, api, email, 30, 24 * 3_600 + 1)
    assert (await guess(api, email)).status_code == 401
    assert counted(database, key) == 1, "after a day it is forgotten"


async def test_a_hundred_guesses_at_once_are_not_looked_at(alice: Client, api: Server) -> None:
    hashes, began = watch(api), time.monotonic()
    async with httpx.AsyncClient(base_url=api.url, timeout=60, limits=httpx.Limits(max_connections=20)) as http:
        body = {"email": alice.user["email"], "password": "a guess"}
        answers = await asyncio.gather(*(http.post("/api/auth/login", json=body) for _ in range(100)))
    elapsed = time.monotonic() - began
    earned = next(beyond for beyond in range(100) if elapsed < 2**beyond)  # 1, 3, 7 … seconds after the last free one
    assert ACCOUNT.free <= hashes.count <= ACCOUNT.free + earned
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[401] == hashes.count
    assert set(statuses) <= {401, 429, 503}


async def test_an_address_that_tries_many_accounts_waits_too(alice: Client, api: Server, database: Engine) -> None:
    hashes, key = watch(api), throttling.address_key(api.settings.keys, "127.0.0.1")
    answers = [(await guess(api, f"{number}@example.org")).status_code for number in range(3)]
    assert (answers, counted(database, key)) == ([401] * 3, 3)
    assert (await guess(api, alice.user["email"], PASSWORD)).status_code == 200
    assert counted(database, key) == 3, "a guesser's own account does not wash off the others"
    with database.begin() as connection:
        connection.execute(text("update debitum.login_attempts set failures = 60, last_at = now()"))
    hashes.taken()
    refused = await guess(api, "another@example.org")
    assert (refused.status_code, hashes.taken()) == (429, 0)
    assert ADDRESS.most_seconds - 10 <= int(refused.headers["Retry-After"]) <= ADDRESS.most_seconds
    assert counted(database, throttling.account_key(api.settings.keys, "another@example.org")) is None


async def test_saying_the_password_again_is_guarded_by_account(alice: Client, bob: Client, api: Server, database: Engine) -> None:
    hashes = watch(api)
    for _ in range(2):
        await alice.post("/api/auth/password", changing(current="a guess"), status=401)
    set_back(database, api, alice.user["email"], 9, 0)
    hashes.taken()
    early = await alice.http.post("/api/auth/password", json=changing())
    assert (early.status_code, early.json()["code"]) == (429, "rate_limited")
    told = {name: early.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")}
    assert told == {"Limit": "1", "Remaining": "0", "Reset": early.headers["Retry-After"]}
    early = await alice.http.request("DELETE", "/api/me", json={"password": PASSWORD})
    assert (early.status_code, hashes.taken()) == (429, 0)
    await bob.post("/api/auth/password", changing(), status=204)
    assert await resetting(api, mail_token(database, alice)) == 204
    assert await signing_in(api, alice, ANOTHER) == 200, "who has proven the address does not wait for what others guessed"


async def test_four_hash_at_a_time_and_the_others_wait_for_their_turn(api: Server) -> None:
    """Whoever came fifth was told to come back at once: six people who signed up together could not."""
    hashes, line = watch(api), api.app.ctx.services.hasher.line
    hashes.gate.clear()
    async with asyncio.TaskGroup() as together:
        users = [together.create_task(api.register()) for _ in range(20)]
        await until(lambda: (hashes.count, line.waiting) == (CONCURRENT_HASHES, 20 - CONCURRENT_HASHES), 20)
        hashes.gate.set()
    assert len({user.result().ledger_id for user in users}) == 20
    assert (hashes.count, hashes.most, line.waiting) == (20, CONCURRENT_HASHES, 0)


async def test_who_finds_too_many_waiting_is_told_to_come_back_at_once(
    api_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "MOST_WAITING", 3)
    monkeypatch.setattr(places, "WAIT_SECONDS", 60)  # nobody's turn ends by itself
    async with serve(api_settings) as api:
        hashes, line = watch(api), api.app.ctx.services.hasher.line
        hashes.gate.clear()
        first = [asyncio.create_task(api.register()) for _ in range(CONCURRENT_HASHES + 3)]
        await until(lambda: (hashes.count, line.waiting) == (CONCURRENT_HASHES, 3), 20)
        for _ in range(5):
            answer = await guess(api, NOBODY)
            assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "unavailable", "1")
        assert (hashes.count, line.waiting) == (CONCURRENT_HASHES, 3)
        for one in first:
            one.cancel()
        await until(lambda: line.waiting == 0, 20)  # who hangs up waits no more, and others have their turn
        later = [asyncio.create_task(api.register()) for _ in range(3)]
        hashes.gate.set()
        assert len({(await one).ledger_id for one in later}) == 3
        assert (hashes.count, hashes.most) == (CONCURRENT_HASHES + 3, CONCURRENT_HASHES)


async def test_nobody_waits_for_a_turn_for_longer_than_some_seconds(
    alice: Client, api: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "WAIT_SECONDS", 0.05)
    hashes, email = watch(api), alice.user["email"]
    hashes.gate.clear()
    early = [asyncio.create_task(guess(api, email, PASSWORD)) for _ in range(CONCURRENT_HASHES)]
    await until(lambda: hashes.count == CONCURRENT_HASHES, 20)
    late = await guess(api, email, PASSWORD)
    assert (late.status_code, late.json()["code"], late.headers["Retry-After"]) == (503, "unavailable", "1")
    hashes.gate.set()
    assert [(await one).status_code for one in early] == [200] * CONCURRENT_HASHES
    assert (await guess(api, email, PASSWORD)).status_code == 200
