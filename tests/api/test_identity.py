"""Registration, sessions, tokens and what a user sets."""

import asyncio
import base64
import datetime
import json
import uuid
from typing import Any

import jwt
import pytest
from sqlalchemy import Engine, text

from api.settings import Settings
from api.tokens import TYPE
from storage import recipients, roles
from storage.encryption import KeyRing, new_key
from tests.api.test_deadline import waiting
from tests.debitum.test_children import until
from tests.fixtures.api import PASSWORD, Client, Server, of_the_module

pytestmark, database_url, api, alice, bob = of_the_module()


async def test_registering_signs_in_and_makes_an_empty_ledger(api: Server) -> None:
    async with api.http() as http:
        body = {
            "email": "Ada@Example.org",
            "password": PASSWORD,
            "name": "Ada",
            "device": {"name": "phone", "platform": "android"},
        }
        response = await http.post("/api/auth/register", json=body)
    assert response.status_code == 201
    answer = response.json()
    assert set(answer) == {"user", "ledger_id", "device_id", "access_token", "refresh_token", "token_type", "expires_in"}
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 600)
    client = api.client(answer)
    user = await client.get("/api/me")
    assert user == answer["user"]
    assert user | {"id": None} == {
        "id": None,
        "email": "ada@example.org",
        "email_verified": False,
        "name": "Ada",
        "time_zone": "UTC",
        "locale": "en",
        "default_currency": "EUR",
        "reminder_settings": {
            "due_offsets_days": [-1, 0, 7],
            "local_time": "09:00",
            "quiet_hours": None,
            "channels": ["email", "push"],
            "digest": False,
        },
        "deleting_at": None,
        "mail_problem": None,
    }
    assert (await client.get("/api/balances"))["version"] == 0


async def test_a_taken_address_is_refused_whatever_its_case(api: Server) -> None:
    await api.register("bea@example.org")
    async with api.http() as http:
        response = await http.post("/api/auth/register", json={"email": "BEA@example.org", "password": PASSWORD})
    assert (response.status_code, response.json()["code"]) == (409, "email_taken")


async def test_an_address_is_one_account_in_each_way_to_write_its_domain(api: Server) -> None:
    bea = await api.register("bea@bücher.example")
    credentials = {"email": "Bea@xn--bcher-kva.example", "password": PASSWORD}
    async with api.http() as http:
        response = await http.post("/api/auth/register", json=credentials)
        signed_in = await http.post("/api/auth/login", json=credentials)
    assert (response.status_code, response.json()["code"]) == (409, "email_taken")
    assert signed_in.json()["user"]["id"] == bea.user["id"]


async def test_passwords_are_kept_as_argon2id_and_wrong_ones_are_refused(api: Server, database: Engine) -> None:
    cleo = await api.register("cleo@example.org")
    with database.begin() as connection:
        query = text("select password_hash from debitum.users where id = :id")
        [kept] = connection.scalars(query, {"id": cleo.user["id"]})
    assert kept.startswith("$argon2id$")
    async with api.http() as http:
        for email, password in (("cleo@example.org", "wrong horse"), ("nobody@example.org", PASSWORD)):
            response = await http.post("/api/auth/login", json={"email": email, "password": password})
            assert (response.status_code, response.json()["code"]) == (401, "invalid_credentials")
        short = await http.post("/api/auth/register", json={"email": "b@example.org", "password": "short"})
        assert short.json()["errors"][0]["pointer"] == "/password"


async def test_a_device_keeps_its_id_across_logins(api: Server) -> None:
    device = {"id": str(uuid.uuid4()), "name": "phone"}
    first = await api.register("dana@example.org", device=device)
    async with api.http() as http:
        body = {"email": "dana@example.org", "password": PASSWORD, "device": device | {"name": "new name"}}
        second = (await http.post("/api/auth/login", json=body)).json()
    assert first.device_id == second["device_id"] == device["id"]


async def test_logging_out_ends_the_session_at_once(alice: Client, api: Server) -> None:
    other = await api.login(alice)
    await alice.post("/api/auth/logout", status=204)
    assert (await alice.http.get("/api/me")).status_code == 401
    assert (
        await alice.http.post("/api/auth/refresh", json={"refresh_token": alice.signed_in["refresh_token"]})
    ).status_code == 401
    assert (await other.http.get("/api/me")).status_code == 200


async def refreshed(client: Client, token: str) -> Any:
    response = await client.http.post("/api/auth/refresh", json={"refresh_token": token})
    return response.json()["refresh_token"] if response.status_code == 200 else response.status_code


async def test_a_refresh_token_rotates_and_its_theft_ends_the_session(alice: Client) -> None:
    first = alice.signed_in["refresh_token"]
    lost = await refreshed(alice, first)
    second = await refreshed(alice, first)
    assert len({first, lost, second}) == 3, "the reply was lost: the parent is good once more"
    third = await refreshed(alice, second)
    assert isinstance(third, str)
    assert await refreshed(alice, first) == 401, "its child has been used: somebody else has it too"
    assert await refreshed(alice, third) == 401
    assert (await alice.http.get("/api/me")).status_code == 401


async def test_a_theft_is_noticed_also_where_thief_and_victim_come_at_once(alice: Client, database: Engine) -> None:
    first = alice.signed_in["refresh_token"]
    second = await refreshed(alice, first)
    with database.begin() as connection:
        connection.execute(text("select from debitum.sessions for update"))
        both = [asyncio.create_task(refreshed(alice, token)) for token in (first, second)]
        await until(lambda: waiting(database) == 2)
    found = await asyncio.gather(*both)
    assert 401 in found, "one came second: the parent of a child that was used, or a child that was replaced"
    assert [await refreshed(alice, token) for token in found if token != 401] in ([401], [])
    assert (await alice.http.get("/api/me")).status_code == 401


async def test_the_replaced_child_of_a_lost_reply_is_not_good_any_more(alice: Client) -> None:
    first = alice.signed_in["refresh_token"]
    lost = await refreshed(alice, first)
    await refreshed(alice, first)
    assert await refreshed(alice, lost) == 401


def _signed(settings: Settings, *, key: bytes | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
    now = datetime.datetime.now(datetime.UTC)
    whole = {"iss": "debitum", "aud": "debitum", "jti": "j", "iat": now, "exp": now + datetime.timedelta(minutes=5)} | claims
    kept = {name: value for name, value in whole.items() if value is not None}
    secret = key or settings.keys.derive(settings.keys.current, "access tokens")
    return jwt.encode(kept, secret, "HS256", headers={"kid": settings.keys.current, "typ": TYPE} | (header or {}))


@pytest.mark.parametrize(
    "flaw",
    [
        {"exp": None},
        {"iat": None},
        {"jti": None},
        {"iss": None},
        {"aud": None},
        {"sub": None},
        {"sid": None},
        {"iss": "other"},
        {"aud": "other"},
        {"exp": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)},
        {"iat": datetime.datetime(2090, 1, 1, tzinfo=datetime.UTC)},
        {"header": {"typ": "JWT"}},
        {"header": {"kid": "other"}},
        {"key": b"0" * 32},
        {"sid": "not an id"},
    ],
    ids=str,
)
async def test_access_tokens_are_checked_strictly(alice: Client, api: Server, flaw: dict[str, Any]) -> None:
    good = jwt.decode(alice.signed_in["access_token"], options={"verify_signature": False})
    claims = {"sub": good["sub"], "sid": good["sid"]}
    for expected, members in ((200, claims), (401, claims | flaw)):
        async with api.http(_signed(api.settings, **members)) as http:
            assert (await http.get("/api/me")).status_code == expected


async def test_no_algorithm_but_ours(alice: Client, api: Server) -> None:
    header, claims, _ = alice.signed_in["access_token"].split(".")
    unsigned = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": TYPE, "kid": "k1"}).encode()).decode().rstrip("=")
    for token in (f"{unsigned}.{claims}.", f"{header}.{claims}.", "x.y.z", "é"):
        async with api.http() as http:
            response = await http.get("/api/me", headers={b"Authorization": f"Bearer {token}".encode()})
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_users_change_what_is_theirs(alice: Client) -> None:
    changed = await alice.http.patch(
        "/api/me",
        json={
            "name": "Alice",
            "default_currency": "JPY",
            "reminder_settings": {"local_time": "07:30", "quiet_hours": {"from": "22:00", "to": "07:00"}},
        },
    )
    assert changed.status_code == 200
    settings = changed.json()["reminder_settings"]
    assert (settings["local_time"], settings["quiet_hours"], settings["digest"]) == (
        "07:30",
        {"from": "22:00", "to": "07:00"},
        False,
    )
    assert (await alice.get("/api/me"))["default_currency"] == "JPY"
    for body, pointer in (
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"default_currency": "XXX"}, "/default_currency"),
        ({"reminder_settings": {"local_time": "24:00"}}, "/reminder_settings/local_time"),
        ({"email": "x@example.org"}, "/email"),
    ):
        response = await alice.http.patch("/api/me", json=body)
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (400, pointer)


async def test_what_changes_meanwhile_stays(alice: Client, database: Engine) -> None:
    with database.begin() as connection:
        muted = """update debitum.users set reminder_settings = reminder_settings || '{"channels": []}'"""
        connection.execute(text(muted))
        asked = asyncio.create_task(alice.http.patch("/api/me", json={"reminder_settings": {"digest": True}}))
        await asyncio.wait([asked], timeout=0.2)
        assert not asked.done(), "it waits for what changes meanwhile"
    settings = (await asked).json()["reminder_settings"]
    assert (settings["channels"], settings["digest"]) == ([], True)


async def test_the_key_ring_opens_only_what_it_sealed() -> None:
    ring, other = KeyRing.parse(new_key("k1")), KeyRing.parse(new_key("k1"))
    sealed = ring.new_data_key("ledger")
    assert len(ring.open_data_key("ledger", sealed)) == 32
    for opener, ledger in ((other, "ledger"), (ring, "another ledger")):
        with pytest.raises(Exception, match="does not open"):
            opener.open_data_key(ledger, sealed)
    rotated = KeyRing({"k2": bytes(32), **ring.keys})
    assert rotated.open_data_key("ledger", sealed) == ring.open_data_key("ledger", sealed)


def _mail_token(database: Engine, user_id: str) -> str:
    """What dispatch does when it writes the mail: mint a token of which the database keeps the hash."""
    now = datetime.datetime.now(datetime.UTC)
    with database.begin() as connection:
        roles.enter(connection, roles.JOBS)
        return recipients.mint(connection, uuid.UUID(user_id), "verify", hours=72, now=now)


async def test_an_address_is_verified_by_the_token_from_its_mail_once(alice: Client, api: Server, database: Engine) -> None:
    token = _mail_token(database, alice.user["id"])
    async with api.http() as http:
        assert (await http.post("/api/auth/verify", json={"token": "x" + token})).status_code == 401
        assert (await alice.get("/api/me"))["email_verified"] is False
        verified = await http.post("/api/auth/verify", json={"token": token})
        assert (verified.status_code, verified.json()["user"]["email_verified"]) == (201, True)
        assert (await http.post("/api/auth/verify", json={"token": token})).status_code == 401


async def test_the_page_behind_the_mails_link_verifies_only_when_the_button_is_pressed(
    alice: Client, api: Server, database: Engine
) -> None:
    token = _mail_token(database, alice.user["id"])
    async with api.http() as http:
        page = await http.get("/verify", params={"token": token})
        assert page.status_code == 200
        assert token in page.text
        assert (await alice.get("/api/me"))["email_verified"] is False
        assert "<script>" not in (await http.get("/verify", params={"token": '"><script>'})).text
        assert (await http.post("/verify", data={"token": token})).status_code == 200
        assert (await alice.get("/api/me"))["email_verified"] is True
        assert (await http.post("/verify", data={"token": token})).status_code == 400


@pytest.mark.parametrize("zone", ["localtime", "Factory", "right/UTC", "posix/Europe/Berlin"])
async def test_a_zone_is_one_that_every_machine_takes_for_the_same(alice: Client, zone: str) -> None:
    problem = await alice.http.patch("/api/me", json={"time_zone": zone})
    assert (problem.status_code, problem.json()["errors"][0]["pointer"]) == (400, "/time_zone")
