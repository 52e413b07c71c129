"""What every answer says to browsers and caches."""

import asyncio
import base64
import gzip
import hashlib
import re
from dataclasses import replace

import httpx
import pytest
import sqlalchemy.exc
from websockets.asyncio.client import connect

from api import auth, browser, compression, pages
from api.headers import HSTS_SECONDS
from tests.fixtures.api import Client, Server, of_the_module, serve

pytestmark, database_url, api, alice, bob = of_the_module()

PAGES = ("/docs", "/docs/problems/stale", "/verify?token=x", "/reset?token=x", "/join?invite=x")
BANNERS = {"server", "x-powered-by", "via"}


def check(answer: httpx.Response, *, cached: bool = False) -> None:
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers.get("Cache-Control") == (None if cached else "no-store")
    assert not BANNERS & set(answer.headers)
    assert "Strict-Transport-Security" not in answer.headers, "nobody has said that we are reached by https"


async def test_an_answer_without_a_body_has_no_type(api: Server) -> None:
    async with api.http() as http:
        answer = await http.post("/api/auth/password/forgot", json={"email": "nobody@example.org"})
    assert (answer.status_code, answer.content) == (202, b"")
    assert "Content-Type" not in answer.headers


async def test_private_answers_stay_out_of_caches(alice: Client) -> None:
    await alice.post("/api/contacts", {"name": "Ana"}, status=201)
    for path in (
        "/api/me",
        "/api/contacts",
        "/api/balances",
        "/api/export?format=csv",
        "/api/sync/state",
        "/health/ready",
        "/docs",
    ):
        answer = await alice.http.get(path)
        assert answer.status_code == 200
        check(answer)
    for path in ("/api/meta", "/docs/openapi.json"):
        check(await alice.http.get(path), cached=True)
    check(await alice.http.post("/api/sync/pull", json={}))
    check(await alice.http.head("/api/contacts"))


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/api/nowhere", b"", 404),
        ("GET", "/api/contacts/0", b"", 404),
        ("DELETE", "/api/contacts", b"", 405),
        ("POST", "/api/contacts", b" " * (1024 * 1024 + 1), 413),
        ("POST", "/api/contacts", b"", 415),
        ("GET", "/api/contacts?limit=0", b"", 400),
    ],
)
async def test_refusals_have_them_too(alice: Client, method: str, path: str, content: bytes, status: int) -> None:
    answer = await alice.http.request(method, path, content=content)
    assert answer.status_code == status
    check(answer)


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("boom"), 500), (sqlalchemy.exc.TimeoutError(), 503)], ids=["500", "503"]
)
async def test_failures_have_them_too(alice: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int) -> None:
    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(auth, "sign_in", fail)
    answer = await alice.http.get("/api/contacts")
    assert answer.status_code == status
    check(answer)


async def test_what_cannot_even_be_parsed_gets_them(api: Server) -> None:
    reader, writer = await asyncio.open_connection(*api.url.removeprefix("http://").split(":"))
    writer.write(b"nonsense\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert b" 400 " in head
    assert b"x-content-type-options: nosniff" in head.lower()
    assert b"server:" not in head.lower()


async def test_a_socket_is_opened_without_a_banner(api: Server) -> None:
    async with connect(f"{api.url.replace('http', 'ws')}/api/sync/ws") as socket:
        assert socket.response is not None
        assert not BANNERS & {name.lower() for name in socket.response.headers}


async def test_pages_run_nothing_and_tell_nobody_where_they_were(api: Server) -> None:
    async with api.http() as http:
        for path in PAGES:
            page = await http.get(path)
            policy = page.headers["Content-Security-Policy"]
            assert page.headers["Referrer-Policy"] == "no-referrer"
            assert "unsafe" not in policy
            assert policy.startswith("default-src 'none'; ")
            assert page.text.count("<style>") == 1
            [style] = re.findall("<style>(.*?)</style>", page.text, re.DOTALL)
            assert f"style-src 'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy
            assert not re.search(r"<script|\sstyle=|\son[a-z]+=", page.text)
            check(page)


async def test_a_statement_is_a_page_like_the_others(alice: Client) -> None:
    ana = await alice.post("/api/contacts", {"name": "Ana"}, status=201)
    answer = await alice.http.get(f"/api/contacts/{ana['id']}/statement?format=html")
    assert answer.headers["Content-Security-Policy"] == pages.HEADERS["Content-Security-Policy"]
    assert not re.search(r"<script|\sstyle=", answer.text)
    check(answer)


async def test_https_is_for_good_where_people_come_by_it(api: Server) -> None:
    async with serve(replace(api.settings, public_url="https://debitum.example.org")) as secure, secure.http() as http:
        for path in ("/health", "/api/meta", "/api/nowhere", "/docs"):
            assert (await http.get(path)).headers["Strict-Transport-Security"] == f"max-age={HSTS_SECONDS}"


async def test_what_is_the_same_for_everybody_is_packed_once() -> None:
    for file in browser.load(browser.ROOT).values():
        assert compression.whole(file.body) is compression.whole(file.body)
        assert gzip.decompress(compression.whole(file.body)) == file.body
