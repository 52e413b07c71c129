"""Changing a password, and setting a new one for one that is forgotten."""

import asyncio
import datetime
import subprocess
import sys
import uuid
from typing import Any

import pytest
from argon2 import Type, extract_parameters
from sqlalchemy import Engine, text

from api import passwords
from storage import identity, recipients, roles
from tests.api.test_deadline import waiting
from tests.debitum.test_children import until
from tests.fixtures.api import PASSWORD, Client, Server

ANOTHER = "wrong battery, wrong staple"


async def signing_in(api: Server, client: Client, password: str) -> int:
    """The status of a login."""
    async with api.http() as http:
        body = {"email": client.user["email"], "password": password}
        return (await http.post("/api/auth/login", json=body)).status_code


def changing(current: str = PASSWORD, new: str = ANOTHER, **members: Any) -> dict[str, Any]:
    return {"current_password": current, "new_password": new, **members}


async def test_a_password_is_changed_by_who_knows_it(alice: Client, api: Server) -> None:
    other = await api.login(alice)
    await alice.post("/api/auth/password", changing(), status=204)
    assert (await signing_in(api, alice, PASSWORD), await signing_in(api, alice, ANOTHER)) == (401, 200)
    for client in (alice, other):
        assert (await client.http.get("/api/me")).status_code == 200


async def test_a_wrong_password_changes_nothing(alice: Client, api: Server) -> None:
    refused = await alice.post("/api/auth/password", changing(current="a guess"), status=401)
    assert refused["code"] == "invalid_credentials"
    short = await alice.post("/api/auth/password", changing(new="short"), status=400)
    assert short["errors"][0]["pointer"] == "/new_password"
    assert (await alice.http.get("/api/me")).status_code == 200
    assert (await signing_in(api, alice, PASSWORD), await signing_in(api, alice, ANOTHER)) == (200, 401)


async def test_the_other_sessions_end_if_the_user_wants_it(alice: Client, bob: Client, api: Server) -> None:
    other = await api.login(alice)
    await alice.post("/api/auth/password", changing(end_other_sessions=True), status=204)
    assert [(await client.http.get("/api/me")).status_code for client in (alice, other, bob)] == [200, 401, 200]
    refreshed = await other.http.post("/api/auth/refresh", json={"refresh_token": other.signed_in["refresh_token"]})
    assert refreshed.status_code == 401


async def test_what_an_old_password_opens_is_not_begun_after_its_end(
    alice: Client, api: Server, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = passwords.Place.verify

    async def verify_and_lose_a_moment(place: passwords.Place, encoded: str | None, password: str) -> bool:
        right = await verify(place, encoded, password)
        with database.begin() as connection:
            connection.execute(text("update debitum.users set password_hash = :other"), {"other": passwords.nobodys_hash()})
        return right

    with monkeypatch.context() as patched:
        patched.setattr(passwords.Place, "verify", verify_and_lose_a_moment)
        assert await signing_in(api, alice, PASSWORD) == 401
    assert [one["device_id"] for one in (await alice.get("/api/auth/sessions"))["items"]] == [alice.device_id]
    with database.begin() as connection:
        connection.execute(text("update debitum.users set password_hash = :own"), {"own": passwords.argon2().hash(PASSWORD)})
    with monkeypatch.context() as patched:
        patched.setattr(passwords.Place, "verify", verify_and_lose_a_moment)
        gone = await alice.http.request("DELETE", "/api/me", json={"password": PASSWORD})
        assert (gone.status_code, gone.json()["code"]) == (401, "invalid_credentials")
    assert (await alice.get("/api/me")).get("deleting_at") is None


async def test_only_hashes_are_kept(alice: Client, database: Engine) -> None:
    await alice.post("/api/auth/password", changing(), status=204)
    with database.begin() as connection:
        [kept] = connection.scalars(text("select password_hash from debitum.users"))
    assert kept.startswith("$argon2id$")


def test_a_hash_is_as_much_work_as_owasp_asks_for() -> None:
    """Asked of another process: in this one they are little work."""
    hashed = subprocess.run(
        [sys.executable, "-P", "-c", "from api import passwords; print(passwords.argon2().hash('a'))"],
        stdout=subprocess.PIPE,
        check=True,
    )
    found = extract_parameters(hashed.stdout.decode().strip())
    assert (found.type, found.memory_cost, found.time_cost, found.parallelism) == (Type.ID, 19 * 1024, 2, 1)


def mail_token(database: Engine, client: Client, purpose: identity.Purpose = "reset", **age: float) -> str:
    """What dispatch does when it writes the mail; `age` is how long ago that was."""
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(**age)
    with database.begin() as connection:
        roles.enter(connection, roles.JOBS)
        return recipients.mint(connection, uuid.UUID(client.user["id"]), purpose, hours=recipients.RESET_HOURS, now=now)


def mails(database: Engine) -> list[tuple[str, dict[str, Any]]]:
    """(ledger_id, payload) of every mail about a forgotten password."""
    with database.begin() as connection:
        found = connection.execute(text("select ledger_id, payload from debitum.outbox where kind = 'reset'"))
        return [(str(ledger_id), payload) for ledger_id, payload in found]


async def resetting(api: Server, token: str, new: str = ANOTHER) -> int:
    async with api.http() as http:
        body = {"token": token, "new_password": new}
        return (await http.post("/api/auth/password/reset", json=body)).status_code


async def test_nobody_learns_who_has_an_account(alice: Client, api: Server, database: Engine) -> None:
    answers = []
    async with api.http() as http:
        for email in (alice.user["email"].upper(), "nobody@example.org"):
            answer = await http.post("/api/auth/password/forgot", json={"email": email})
            kept = {name: value for name, value in answer.headers.items() if name in ("content-length", "content-type")}
            answers.append((answer.status_code, answer.content, kept, answer.elapsed.total_seconds() >= 0.2))
    assert answers[0] == answers[1]
    assert answers[0][0] == 202
    assert answers[0][3]
    assert mails(database) == [(alice.ledger_id, {})], "the mail's token is minted when it is sent"


async def test_a_token_from_a_mail_sets_a_new_password_once(alice: Client, api: Server, database: Engine) -> None:
    other = await api.login(alice)
    program = await alice.post("/api/tokens", {"name": "script", "scope": "read"}, status=201)
    token, earlier = mail_token(database, alice), mail_token(database, alice)
    assert await resetting(api, token, "short") == 400
    assert await resetting(api, token) == 204
    for used in (token, earlier):
        assert await resetting(api, used, PASSWORD) == 401
    assert (await signing_in(api, alice, PASSWORD), await signing_in(api, alice, ANOTHER)) == (401, 200)
    assert (await api.http(program["token"]).get("/api/me")).status_code == 401
    for client in (alice, other):
        assert (await client.http.get("/api/me")).status_code == 401
        refreshed = await client.http.post("/api/auth/refresh", json={"refresh_token": client.signed_in["refresh_token"]})
        assert refreshed.status_code == 401


async def test_a_reset_beside_a_change_waits_for_it_and_is_void(alice: Client, api: Server, database: Engine) -> None:
    """Both change the user and void tokens; in two orders each would wait for the other."""
    token = mail_token(database, alice)
    with database.begin() as connection:
        connection.execute(text("select from debitum.users for update"))
        change = asyncio.create_task(alice.http.post("/api/auth/password", json=changing()))
        await until(lambda: waiting(database) == 1)
        reset = asyncio.create_task(resetting(api, token, PASSWORD))
        await until(lambda: waiting(database) == 2)
    assert ((await change).status_code, await reset) == (204, 401)
    assert await signing_in(api, alice, ANOTHER) == 200


async def test_a_token_that_is_not_good_resets_nothing(alice: Client, bob: Client, api: Server, database: Engine) -> None:
    late = mail_token(database, alice, hours=1, seconds=1)
    for token in (late, mail_token(database, alice, "verify"), "guessed", ""):
        assert await resetting(api, token) == 401
    changed = mail_token(database, alice)
    await alice.post("/api/auth/password", changing(new="a third password"), status=204)
    assert await resetting(api, changed) == 401, "the password was changed since"
    assert await resetting(api, mail_token(database, alice, minutes=59)) == 204
    assert (await bob.http.get("/api/me")).status_code == 200


async def test_the_page_behind_the_mails_link_sets_a_new_password(alice: Client, api: Server, database: Engine) -> None:
    token = mail_token(database, alice)
    async with api.http() as http:
        page = await http.get("/reset", params={"token": token})
        assert (page.status_code, page.text.count(token)) == (200, 1)
        assert "<script" not in (await http.get("/reset", params={"token": '"><script>'})).text
        short = await http.post("/reset", data={"token": token, "new_password": "short"})
        assert (short.status_code, short.text.count(token)) == (400, 1)
        assert "short" not in short.text
        assert (await alice.http.get("/api/me")).status_code == 200, "nothing has happened yet"
        assert (await http.post("/reset", data={"token": token, "new_password": ANOTHER})).status_code == 200
        assert (await http.post("/reset", data={"token": token, "new_password": PASSWORD})).status_code == 400
        assert (await http.post("/reset")).status_code == 400
    assert await signing_in(api, alice, ANOTHER) == 200
    assert (await alice.http.get("/api/me")).status_code == 401
