"""The pages behind the links in mails, in the language of whoever reads them."""

import contextlib
import functools
import html
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from sqlalchemy import Engine

from api import catalogues, languages, places
from api.passwords import CONCURRENT_HASHES
from tests.api.test_guesses import set_back
from tests.api.test_passwords import ANOTHER, mail_token
from tests.api.test_registration import COMMON, applying, invitation, mail, signing_up
from tests.api.test_unsubscribing import unsubscribe_token
from tests.fixtures.api import PASSWORD, Client, Server, of_the_module, serve

pytestmark, database_url, api, alice, bob = of_the_module()

DIRECTIONS = {"en": "ltr", "de": "ltr", "ar": "rtl"}
LINKS = ("/verify?token=x", "/reset?token=x", "/join?invite=x")
MODULES = {f"api/{name}.py" for name in ("pages", "passwords", "verify_page", "reset_page", "join_page", "unsubscribe_page")}
HOSTILE = (
    "",
    ",;,;,",
    "*",
    "de;q=",
    "de;q=nan",
    "de;q=inf",
    "de;q=1e9",
    "de;q=-1",
    "de;q=1.0001",
    "de;q=0,ar;q=0.000",
    "de;q=1;q=1",
    "de;level=1",
    "de_DE",
    "deutsch",
    "de-",
    "-de",
    "\xe4de",
    "../../de",
    '"><script>',
    "fr, tlh;q=0.9",
    "de" + " " * 4_000 + "x",
    "a-" * 3_500,
    "de;" * 2_000,
)


def texts(page: httpx.Response) -> list[str]:
    """What a reader of the page sees."""
    shown = re.sub("<style>.*?</style>", "", page.text, flags=re.DOTALL)
    return [html.unescape(text).strip() for text in re.split("<[^>]*>", shown) if text.strip()]


def check(page: httpx.Response, language: str, status: int, *messages: str) -> set[str]:
    """The page is in this language and in no other; the messages that it says."""
    said = {languages.Language(language)(english): english for english in english_messages()}
    assert page.status_code == status, page.text
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Language"] == language
    assert "Accept-Language" in page.headers["Vary"].split(", ")
    assert page.text.startswith(f'<!doctype html><html lang="{language}" dir="{DIRECTIONS[language]}">')
    found = {said[text] for text in texts(page)}
    assert set(messages) <= found
    return found


@functools.cache
def english_messages() -> set[str]:
    """What the pages of MODULES say."""
    return {str(message.id) for message in catalogues.template() if message.id and MODULES & {at for at, _ in message.locations}}


def reading(server: Server, language: str) -> httpx.AsyncClient:
    http = server.http()
    http.headers["Accept-Language"] = language
    return http


async def verifying(server: Server, database: Engine, language: str) -> AsyncIterator[set[str]]:
    http = reading(server, language)
    yield check(await http.get("/verify?token=x"), language, 200, "Confirm your e-mail address", "Confirm")
    yield check(await http.post("/verify", data={"token": "x"}), language, 400, "This link is not valid any more")
    ada = f"ada-{language}@example.org"
    with signing_up(server, "verified"):
        await applying(server, ada)
        form = {"token": mail(database, ada), "password": ANOTHER}
        yield check(await http.get("/verify", params=form), language, 200, "Your password")
        yield check(await http.post("/verify", data=form), language, 400, "Your password")
        set_back(database, server, ada, 30, 1)
        yield check(await http.post("/verify", data=form), language, 429, "Wait a minute before you try again.")
        set_back(database, server, ada, 30, 61)
        yield check(await http.post("/verify", data=form | {"password": PASSWORD}), language, 200, "Thank you")


async def resetting(server: Server, token: str, language: str) -> AsyncIterator[set[str]]:
    http, form = reading(server, language), {"token": token, "new_password": ANOTHER}
    yield check(await http.get("/reset", params=form), language, 200, "New password", "Change my password")
    short = await http.post("/reset", data=form | {"new_password": "short"})
    yield check(short, language, 400, "A password has 8 to 128 characters.")
    yield check(await http.post("/reset", data=form | {"token": "x"}), language, 400, "This link is not valid any more")
    async with full(server):
        busy = await http.post("/reset", data=form)
        yield check(busy, language, 503, "Too busy just now", "Try again in a few seconds.")
        assert busy.headers["Retry-After"] == "1"
    yield check(await http.post("/reset", data=form), language, 200, "Thank you")


async def joining(server: Server, language: str) -> AsyncIterator[set[str]]:
    http, ada, bob = reading(server, language), f"ada-{language}@example.org", f"bob-{language}@example.org"
    form = {"invite": await invitation(server), "email": bob, "password": PASSWORD}
    hers = await invitation(server, "eve@example.org")
    yield check(await http.get("/join", params=form), language, 200, "Welcome to Debitum", "E-mail address", "Password", "Join")
    for wrong, message in (
        ({"invite": "x"}, "This invitation is not valid any more"),
        ({"invite": hers}, "This invitation is for another e-mail address."),
        ({"email": "x"}, "This is not an e-mail address that can be used."),
        ({"email": ada}, "This address has an account already. Sign in with it, or ask for a new password."),
        ({"password": COMMON}, "This password is one of the most common ones, which are guessed first: choose another."),
    ):
        yield check(await http.post("/join", data=form | wrong), language, 400, message)
    async with full(server):
        yield check(await http.post("/join", data=form), language, 503, "Too busy just now")
    yield check(await http.post("/join", data=form), language, 200, "Thank you")
    with signing_up(server, "closed"):
        yield check(await http.get("/join"), language, 403, "This server takes no new users")
        yield check(await http.post("/join"), language, 403, "Ask whoever runs it for an account.")


async def unsubscribing(client: Client, database: Engine, server: Server, language: str) -> AsyncIterator[set[str]]:
    http, done = reading(server, language), "You get no more of these mails. In your settings you can have them again."
    for kind in ("due", "reminder"):
        token = unsubscribe_token(client, database, server, kind)
        yield check(await http.get("/unsubscribe", params={"token": token}), language, 200, "No more mails of this kind?")
        yield check(await http.post("/unsubscribe", data={"token": token}), language, 200, "Done", done)
    yield check(await http.get("/unsubscribe?token=x"), language, 400, "The account is gone, or the link is not whole.")


async def asking_too_often(server: Server, language: str) -> AsyncIterator[set[str]]:
    async with serve(replace(server.settings, auth_per_minute=1)) as limited:
        http = reading(limited, language)
        await http.get("/reset")
        for link in LINKS:
            yield check(await http.get(link), language, 429, "Not so often", "Try again in a minute.")


@asynccontextmanager
async def full(server: Server) -> AsyncIterator[None]:
    """Everybody else hashes passwords, for longer than anybody waits."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(places, "WAIT_SECONDS", 0.05)
        async with contextlib.AsyncExitStack() as others:
            for _ in range(CONCURRENT_HASHES):
                await others.enter_async_context(server.app.ctx.services.hasher.place())
            yield


@pytest.mark.parametrize("language", DIRECTIONS)
async def test_every_page_says_everything_in_the_readers_language(
    api: Server, alice: Client, database: Engine, language: str
) -> None:
    said: set[str] = set()
    for journey in (
        verifying(api, database, language),
        resetting(api, mail_token(database, alice), language),
        joining(api, language),
        unsubscribing(alice, database, api, language),
        asking_too_often(api, language),
    ):
        async for page in journey:
            said |= page
    assert said == english_messages()


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("AR-eg", "ar"),
        ("zh-Hant-TW, ar-001;q=0.2", "ar"),
        ("de, en;q=0.9", "de"),
        ("en;q=0.5, de;q=0.7, ar;q=0.6", "de"),
        ("en ; q=0.5 ,\tar\t;\tQ=0.501", "ar"),
        ("de, ar", "de"),
        ("ar, de", "ar"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "en"),
        ("de;q=0.5, *", "en"),
        ("de;q=0.5, *;q=0.1", "de"),
        ("de;q=0, ar;q=0.1", "ar"),
        ("de;q=2, ar;q=0.1", "ar"),
        ("de;q=1.000", "de"),
    ],
)
async def test_the_language_is_the_one_that_is_liked_most(api: Server, accepted: str, language: str) -> None:
    check(await reading(api, accepted).get("/reset"), language, 200)


async def test_headers_that_come_in_parts_are_one_list(api: Server) -> None:
    parts = [("Accept-Language", "en;q=0.3"), ("Accept-Language", "ar;q=0.5, de;q=0.4")]
    async with api.http() as http:
        check(await http.get("/reset", headers=parts), "ar", 200)
        check(await http.get("/reset"), "en", 200)


async def test_hostile_headers_get_english(api: Server) -> None:
    async with api.http() as http:
        for accepted, link in itertools.product(HOSTILE, LINKS):
            check(await http.get(link, headers=[(b"Accept-Language", accepted.encode("latin-1"))]), "en", 200)


@pytest.mark.parametrize("language", DIRECTIONS)
async def test_what_comes_from_outside_is_text_in_every_language(api: Server, language: str) -> None:
    http, given = reading(api, language), "\"><script>'&"
    form = {"invite": await invitation(api), "email": given, "password": PASSWORD}
    for page in (
        await http.get("/verify", params={"token": given}),
        await http.get("/reset", params={"token": given}),
        await http.get("/join", params={"invite": given}),
        await http.post("/reset", data={"token": given}),
        await http.post("/join", data=form),
    ):
        assert page.text.count(html.escape(given)) == 1
        assert "<script" not in page.text


async def test_the_api_and_its_documents_stay_english(api: Server) -> None:
    http = reading(api, "de")
    for password, detail in ((COMMON, "This password is one of the most common ones"), ("short", "Expected `str`")):
        answer = await http.post("/api/auth/register", json={"email": "a@example.org", "password": password})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["detail"].startswith(detail)
    for path in ("/docs", "/docs/problems/stale"):
        page = await http.get(path)
        assert page.text.startswith('<!doctype html><html lang="en" dir="ltr">')
        assert "Content-Language" not in page.headers
        assert page.headers["Vary"] == "Accept-Encoding"
