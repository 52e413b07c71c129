"""Deleting an account: a week in which everything works and nothing is lost, and what ends at once."""

import datetime
import uuid
from typing import Any

import pytest
from sqlalchemy import Engine, text

from api import accounts, problems
from storage import events, personal_tokens, reports, sessions
from storage.ledgers import LedgerGone
from tests.fixtures.api import PASSWORD, Client, Server


async def delete(client: Client, password: str = PASSWORD, *, status: int = 202) -> dict[str, Any]:
    answer = await client.http.request("DELETE", "/api/me", json={"password": password})
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_an_account_goes_a_week_after_its_owners_word(alice: Client, bob: Client, api: Server) -> None:
    other = await api.login(alice)
    program = api.http((await alice.post("/api/tokens", {"name": "script", "scope": "write"}, status=201))["token"])
    assert (await delete(alice, "a guess", status=401))["code"] == "invalid_credentials"
    assert (await alice.http.request("DELETE", "/api/me")).status_code == 415
    assert [(await client.get("/api/me"))["deleting_at"] for client in (alice, other)] == [None, None]
    before = datetime.datetime.now(datetime.UTC)
    deleting_at = (await delete(alice))["deleting_at"]
    left = datetime.datetime.fromisoformat(deleting_at) - before
    assert datetime.timedelta(days=7) <= left < datetime.timedelta(days=7, minutes=1)
    assert [(await one.get("/api/me")).status_code for one in (alice.http, other.http, program, bob.http)] == [200, 401, 401, 200]
    assert await delete(alice) == {"deleting_at": deleting_at}, "said twice it is no later"
    phone = await api.login(alice)
    assert (await phone.get("/api/me"))["deleting_at"] == deleting_at
    await phone.post("/api/contacts", {"name": "Ana"}, status=201)
    for _ in range(2):
        assert (await phone.post("/api/me/keep"))["deleting_at"] is None
    assert (await alice.get("/api/me"))["deleting_at"] is None
    assert (await alice.http.post("/api/me/keep", json={})).status_code == 200


async def test_an_account_that_is_being_erased_is_not_kept(alice: Client, database: Engine) -> None:
    """Its files may be gone already."""
    await delete(alice)
    with database.begin() as connection:
        connection.execute(text("update debitum.users set deleting_at = now()"))
    assert (await alice.post("/api/me/keep", status=409))["code"] == "too_late"
    assert (await alice.get("/api/me"))["deleting_at"] is not None


async def test_whoever_was_erased_since_their_token_was_looked_at_is_no_error_of_ours(api: Server) -> None:
    here, nobody = api.app.ctx.services, uuid.uuid4()
    async with here.transaction() as connection:
        with pytest.raises(problems.Unauthorized):
            await accounts.profile(connection, nobody)
    async with here.reading(nobody) as connection:
        with pytest.raises(LedgerGone):
            await events.head(connection, nobody)
        assert await reports.balances(connection, nobody, reports.Point(datetime.datetime.now(datetime.UTC), None)) == []


async def test_fifty_personal_tokens_and_no_more(alice: Client, database: Engine) -> None:
    def fill(expires_at: str) -> None:
        with database.begin() as connection:
            connection.execute(text("delete from debitum.personal_tokens"))
            row = "gen_random_uuid(), :user, decode(md5(n::text), 'hex'), 'script', 'read', now(), "
            connection.execute(
                text(f"insert into debitum.personal_tokens select {row} {expires_at} from generate_series(1, :count) as n"),
                {"user": uuid.UUID(alice.user["id"]), "count": personal_tokens.MAX_TOKENS},
            )

    body = {"name": "script", "scope": "read"}
    fill("case when n = 1 then now() - interval '1 second' end")
    await alice.post("/api/tokens", body, status=201)
    assert (await alice.post("/api/tokens", body, status=409))["code"] == "too_many_tokens"
    [one, *_] = (await alice.get("/api/tokens"))["items"]
    await alice.delete(f"/api/tokens/{one['id']}")
    await alice.post("/api/tokens", body, status=201)


async def test_fifty_devices_and_the_one_that_was_away_longest_goes(alice: Client, api: Server, database: Engine) -> None:
    user = {"user": uuid.UUID(alice.user["id"])}
    row = "gen_random_uuid(), 'device ' || n, now(), now() - n * interval '1 hour'"
    with database.begin() as connection:
        connection.execute(
            text(
                "insert into debitum.devices (user_id, id, name, created_at, last_seen_at) "
                f"select :user, {row} from generate_series(1, :count) as n"
            ),
            user | {"count": sessions.MAX_DEVICES - 1},
        )
    phone = {"id": str(uuid.uuid4()), "name": "phone"}
    first = await api.login(alice, device=phone)
    names = [item["name"] for item in (await first.get("/api/devices", limit=200))["items"]]
    assert (len(names), "device 49" in names, "device 48" in names) == (sessions.MAX_DEVICES, False, True)
    assert (await alice.http.get("/api/me")).status_code == 200, "where somebody is signed in stays, however long ago"
    await api.login(alice, device=phone)
    assert len((await first.get("/api/devices", limit=200))["items"]) == sessions.MAX_DEVICES, "one that is known needs no room"
    with database.begin() as connection:
        connection.execute(
            text(
                "insert into debitum.sessions (id, user_id, device_id, created_at, last_used_at, expires_at) "
                "select gen_random_uuid(), user_id, id, now(), now(), now() + interval '1 day' from debitum.devices"
            )
        )
    for _ in range(3):
        await api.login(alice)
    left = (await first.get("/api/devices", limit=200))["items"]
    assert len(left) == sessions.MAX_DEVICES, "whoever does not say on which device leaves no more behind"
    assert {"device 48", "device 47"}.isdisjoint(item["name"] for item in left), "the ones that were away the longest"
