"""Who may register, as the operator says, and what is told to whom."""

import asyncio
import datetime
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
from sqlalchemy import Engine, text

from api.refusals import Signup
from api.registration import APPLY_SECONDS
from api.settings import Settings
from storage import account_mails, invites, recipients, roles
from storage.encryption import new_ring
from tests.api.test_guesses import guess, set_back, whole
from tests.api.test_passwords import ANOTHER, mail_token
from tests.fixtures.api import PASSWORD, Client, Server
from tests.fixtures.hashes import watch

COMMON = "password1"


@contextmanager
def signing_up(api: Server, signup: Signup) -> Iterator[Server]:
    """The server as if it had been started with this DEBITUM_SIGNUP; a second one would cost more than a test does."""
    services, before = api.app.ctx.services, api.app.ctx.services.settings
    services.settings = replace(before, signup=signup)
    yield api
    services.settings = before


async def applying(api: Server, email: str, **members: Any) -> httpx.Response:
    async with api.http() as http:
        return await http.post("/api/auth/register", json={"email": email, "password": PASSWORD, **members})


async def verifying(api: Server, token: str) -> httpx.Response:
    async with api.http() as http:
        return await http.post("/api/auth/verify", json={"token": token, "device": {"name": "phone"}})


def of_address(database: Engine, email: str) -> dict[str, Any]:
    with database.begin() as connection:
        found = connection.execute(text("select * from debitum.users where email = :email"), {"email": email})
        return dict(found.mappings().one())


def mail(database: Engine, email: str) -> str:
    """The token of a mail to this address, as dispatch writes it now."""
    with database.begin() as connection:
        roles.enter(connection, roles.JOBS)
        user_id = of_address(database, email)["id"]
        return recipients.mint(connection, user_id, "verify", hours=72, now=datetime.datetime.now(datetime.UTC))


def queued(database: Engine, email: str) -> int:
    with database.begin() as connection:
        found: int = connection.execute(
            text("select count(*) from debitum.outbox where kind = 'verify' and ledger_id = :ledger"),
            {"ledger": of_address(database, email)["ledger_id"]},
        ).scalar_one()
    return found


async def test_registering_tells_nobody_who_has_an_account(api: Server, database: Engine) -> None:
    await api.register("proven@example.org")
    with signing_up(api, "verified") as server:
        assert (await verifying(server, mail(database, "proven@example.org"))).status_code == 201
        with database.begin() as connection:
            connection.execute(text("delete from debitum.sessions"))  # what is proven is taken, also where nobody comes any more
        before, mails, hashes = of_address(database, "proven@example.org"), queued(database, "proven@example.org"), watch(server)
        seen = []
        for email in ("free@example.org", "free@example.org", "Proven@example.org"):  # free, taken and not proven, proven
            answer = await applying(server, email, name="Newcomer")
            seen.append((whole(answer), hashes.taken(), APPLY_SECONDS <= answer.elapsed.total_seconds() < 20))
        assert seen[0] == seen[1] == seen[2]
        assert (seen[0][0]["status"], seen[0][0]["body"], seen[0][1:]) == (202, {}, (1, True))
        assert of_address(database, "proven@example.org") == before
        assert queued(database, "proven@example.org") == mails
        common = [whole(await applying(server, email, password=COMMON)) for email in ("free@example.org", "proven@example.org")]
        assert (common[0] == common[1], common[0]["status"], hashes.taken()) == (True, 400, 0)
        login = [whole(await guess(server, "free@example.org", PASSWORD)), whole(await guess(server, "proven@example.org"))]
        assert (login[0] == login[1], login[0]["status"], hashes.taken()) == (True, 401, 2)


async def within_a_window() -> None:
    """Not at the end of one: what is asked for a moment later would be in the next."""
    seconds = account_mails.WINDOW_MINUTES * 60
    left = seconds - time.time() % seconds
    if left < 15:
        await asyncio.sleep(left)


async def test_the_last_to_register_an_address_that_nobody_has_proven_gets_it(api: Server, database: Engine) -> None:
    email = "ada@example.org"
    await within_a_window()
    with signing_up(api, "verified") as server:
        await applying(server, email, name="First", password=ANOTHER)
        earlier, first = mail(database, email), of_address(database, email)
        assert queued(database, email) == 1
        with database.begin() as connection:
            connection.execute(text("update debitum.users set deleting_at = now() + interval '1 day'"))
        await applying(server, email, name="Ada", time_zone="Europe/Berlin", default_currency="USD")
        assert (await verifying(server, earlier)).status_code == 401, "what was mailed before is void"
        later = of_address(database, email)
        assert (later["id"], later["ledger_id"]) == (first["id"], first["ledger_id"])
        assert later["deleting_at"] is None
        assert (later["name"], later["time_zone"], later["default_currency"]) == ("Ada", "Europe/Berlin", "USD")
        await applying(server, email, name="Ada")
        assert queued(database, email) == 2, "one now, and one when five minutes are over"
        verified = await verifying(server, mail(database, email))
        assert (verified.status_code, verified.json()["user"]["email_verified"]) == (201, True)
        assert [(await guess(server, email, password)).status_code for password in (ANOTHER, PASSWORD)] == [401, 200]
    with database.begin() as connection:
        due = connection.execute(text("select next_at > created_at from debitum.outbox order by dedupe_key")).scalars().all()
    assert due == [False, True]


async def test_nobody_proves_an_address_for_somebody_else(api: Server, database: Engine) -> None:
    """Whoever registers it after its owner waits for the owner to follow the link, to sign in with a password of theirs."""
    email = "ada@example.org"
    with signing_up(api, "verified") as server:
        await applying(server, email)
        await applying(server, email, password=ANOTHER)
        token, http = mail(database, email), server.http()
        refused = await http.post("/api/auth/verify", json={"token": token, "password": PASSWORD})
        assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")
        page = await http.get("/verify", params={"token": token})
        assert (page.status_code, 'type="password"' in page.text, page.text.count(token)) == (200, True, 1)
        page = await http.post("/verify", data={"token": token, "password": PASSWORD})
        assert (page.status_code, "registered last" in page.text, page.text.count(token)) == (400, True, 1)
        assert of_address(database, email)["email_verified_at"] is None
        await applying(server, email)
        token = mail(database, email)
        assert (await http.post("/verify", data={"token": token})).status_code == 400
        set_back(database, server, email, 30, 1)
        assert (await http.post("/verify", data={"token": token, "password": PASSWORD})).status_code == 429
        set_back(database, server, email, 30, 61)
        assert (await http.post("/verify", data={"token": token, "password": PASSWORD})).status_code == 200
        assert (await http.post("/verify", data={"token": token, "password": PASSWORD})).status_code == 400
        assert [(await guess(server, email, password)).status_code for password in (ANOTHER, PASSWORD)] == [401, 200]


async def test_an_account_in_use_is_nobody_elses_to_register(api: Server, alice: Client, database: Engine) -> None:
    """Its owner registered while that was open to all, and has debts in it."""
    email, before = alice.user["email"], of_address(database, alice.user["email"])
    with signing_up(api, "verified") as server:
        assert (await applying(server, email, password=ANOTHER)).status_code == 202
        assert of_address(database, email) == before
        await alice.post("/api/contacts", {"name": "Ana"}, status=201)
        with database.begin() as connection:
            connection.execute(text("delete from debitum.sessions"))  # as retention does once they are over
        assert (await applying(server, email, password=ANOTHER)).status_code == 202
        assert of_address(database, email) == before
        assert (await guess(server, email, PASSWORD)).status_code == 401
        token = mail_token(database, alice)
        async with server.http() as http:
            body = {"token": token, "new_password": ANOTHER}
            assert (await http.post("/api/auth/password/reset", json=body)).status_code == 204
        assert (await guess(server, email, ANOTHER)).json()["user"]["email_verified"], "a mail that came proves the address"


async def invitation(api: Server, email: str | None = None, *, days_ago: int = 0) -> str:
    """What `debitum user invite` makes."""
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days_ago)
    async with api.app.ctx.services.transaction() as connection:
        return await invites.create(connection, email, now=now)


async def test_an_invitation_is_good_once_for_whom_it_is_for(api: Server, database: Engine) -> None:
    with signing_up(api, "invite") as server:
        anybodys, hers = await invitation(server), await invitation(server, "Ada@example.org")
        late, hashes = await invitation(server, days_ago=14), watch(server)
        for invite in (None, "", "guessed", late):
            refused = await applying(server, "eve@example.org", invite=invite)
            assert (refused.status_code, refused.json()["code"]) == (403, "invalid_invite")
        assert (await applying(server, "eve@example.org", invite=hers)).status_code == 403
        assert hashes.taken() == 0, "no work for whoever guesses"
        joined = await applying(server, "ADA@example.org", invite=hers)
        assert (joined.status_code, joined.json()["user"]["email"]) == (201, "ada@example.org")
        assert (await applying(server, "ada@example.org", invite=hers)).status_code == 403
        taken = await applying(server, "ada@example.org", invite=anybodys)
        assert (taken.status_code, taken.json()["code"]) == (409, "email_taken")
        assert (await applying(server, "bob@example.org", invite=anybodys)).status_code == 201, "a refusal used nothing up"
        assert (await applying(server, "eve@example.org", invite=anybodys)).status_code == 403
    with database.begin() as connection:
        users = connection.execute(text("select email from debitum.users order by email")).scalars().all()
    assert users == ["ada@example.org", "bob@example.org"]


async def test_the_page_behind_an_invitations_link(api: Server, database: Engine) -> None:
    with signing_up(api, "invite") as server:
        http = server.http()
        invite = await invitation(server, "ada@example.org")
        page = await http.get("/join", params={"invite": invite})
        assert (page.status_code, page.text.count(invite), "<script" in page.text) == (200, 1, False)
        assert "<script" not in (await http.get("/join", params={"invite": '"><script>'})).text

        async def join(email: str, password: str = PASSWORD, invite: str = invite) -> tuple[int, str]:
            answer = await http.post("/join", data={"invite": invite, "email": email, "password": password})
            assert password not in answer.text
            return answer.status_code, answer.text

        for form, words in (
            (("ada@example.org", "short"), "8 to 128 characters"),
            (("ada@example.org", COMMON), "most common"),
            (('"><script>', PASSWORD), "not an e-mail address"),
            (("eve@example.org", PASSWORD), "another e-mail address"),
            (("ada@example.org", PASSWORD, "guessed"), "not valid any more"),
        ):
            status, text = await join(*form)
            assert (status, words in text, "<script" in text) == (400, True, False)
        assert (await http.post("/join")).status_code == 400
        assert (await join(" Ada@example.org "))[0] == 200
        assert (await guess(server, "ada@example.org", PASSWORD)).status_code == 200
        assert (await join("ada@example.org"))[0] == 400
        status, text = await join("ada@example.org", invite=await invitation(server))
        assert (status, "has an account already" in text) == (400, True)
    assert queued(database, "ada@example.org") == 1


async def test_a_closed_server_takes_nobody_and_says_so(api: Server) -> None:
    with signing_up(api, "closed") as server:
        http = server.http()
        refused = await applying(server, "ada@example.org", invite=await invitation(server))
        assert (refused.status_code, refused.json()["code"]) == (403, "signup_closed")
        assert (await http.get("/join")).status_code == 403
        assert (await http.post("/join", data={"invite": await invitation(server)})).status_code == 403
        assert (await http.get("/api/meta")).json()["registration"] == "closed"
        document = (await http.get("/docs/openapi.json")).json()["paths"]["/api/auth/register"]["post"]["responses"]
    assert {"201", "202"} <= set(document)
    assert "content" in document["201"]
    assert "content" not in document["202"]


def test_the_setting() -> None:
    given = {"DATABASE_URL": "postgresql:///x", "DEBITUM_KEYS": new_ring()}
    assert Settings.from_environment(given).signup == "open"
    for signup in ("open", "verified", "invite", "closed"):
        assert Settings.from_environment({**given, "DEBITUM_SIGNUP": signup}).signup == signup


async def test_common_passwords_are_refused_wherever_one_is_set(alice: Client, api: Server, database: Engine) -> None:
    token, hashes = mail_token(database, alice), watch(api)
    async with api.http() as http:
        answers = {
            "/password": await http.post("/api/auth/register", json={"email": "a@example.org", "password": COMMON}),
            "/new_password": await alice.http.post(
                "/api/auth/password", json={"current_password": PASSWORD, "new_password": COMMON}
            ),
            "/new_password ": await http.post("/api/auth/password/reset", json={"token": token, "new_password": COMMON}),
        }
        for pointer, answer in answers.items():
            [error] = answer.json()["errors"]
            assert (answer.status_code, error["pointer"]) == (400, pointer.strip())
            assert "most common" in error["detail"]
        page = await http.post("/reset", data={"token": token, "new_password": COMMON})
        assert (page.status_code, "most common" in page.text) == (400, True)
        assert hashes.taken() == 0
        assert (await http.post("/reset", data={"token": token, "new_password": "Password1!?"})).status_code == 200
