"""Pages of other origins: those on the operator's list may use the API, no other one learns anything."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
import pytest_asyncio

from api import cors
from api.settings import Settings, SettingsError
from storage.encryption import new_ring
from tests.fixtures.api import Client, Server, of_the_module, serve

FRIEND, STRANGER = "https://app.example.org", "https://evil.example"
ASKS = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization, if-match"}


pytestmark, database_url, api, alice, bob = of_the_module(cors_origins=("http://localhost:5173", FRIEND))


@pytest_asyncio.fixture(loop_scope="module")
async def closed(api: Server) -> AsyncIterator[Server]:
    """A server whose operator has named nobody."""
    async with serve(replace(api.settings, cors_origins=())) as running:
        yield running


def names(text: str) -> set[str]:
    return {name.strip().lower() for name in text.split(",")}


def about_origins(answer: httpx.Response) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-")}


async def test_a_preflight_says_what_a_page_may_send(api: Server) -> None:
    async with api.http() as http:
        for path in ("/api/contacts", "/api/auth/login", "/api/sync/push", "/api/nowhere"):
            answer = await http.options(path, headers={"Origin": FRIEND, **ASKS})
            assert (answer.status_code, answer.content) == (204, b"")
            assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
            assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
            sent = {"authorization", "content-type", "idempotency-key", "if-match", "x-request-id"}
            assert names(answer.headers["Access-Control-Allow-Headers"]) == sent
            assert "origin" in names(answer.headers["Vary"])
            assert int(answer.headers["Access-Control-Max-Age"]) > 0
            assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_trusted_page_reads_answers_and_their_headers(alice: Client) -> None:
    sent = {"Origin": FRIEND}
    created = await alice.http.post("/api/contacts", json={"name": "Ana"}, headers=sent)
    refused = await alice.http.post("/api/contacts", json={}, headers=sent)
    unknown = await alice.http.get("/api/nowhere", headers=sent)
    stranger = await alice.http.get("/api/me", headers={**sent, "Authorization": "Bearer x"})
    streamed = await alice.http.get("/api/sync/state", headers=sent)
    assert [one.status_code for one in (created, refused, unknown, stranger, streamed)] == [201, 400, 404, 401, 200]
    for answer in (created, refused, unknown, stranger, streamed):
        assert answer.headers.get_list("Access-Control-Allow-Origin") == [FRIEND]
        assert names(answer.headers["Vary"]) == {"accept-encoding", "origin"}
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert {"etag", "location", "x-ledger-version", "x-request-id", "retry-after", "idempotency-replayed"} <= names(
            answer.headers["Access-Control-Expose-Headers"]
        )


@pytest.mark.parametrize(
    "origin", [STRANGER, "null", f"{FRIEND}.evil.example", FRIEND.upper(), f"{FRIEND}:8443", "http://app.example.org", "*"]
)
async def test_no_other_page_learns_anything(alice: Client, origin: str) -> None:
    preflight = await alice.http.options("/api/contacts", headers={"Origin": origin, **ASKS})
    assert (preflight.status_code, preflight.json()["code"]) == (405, "method_not_allowed")
    read = await alice.http.get("/api/contacts", headers={"Origin": origin})
    for answer in (preflight, read):
        assert about_origins(answer) == set()
        assert "origin" in names(answer.headers["Vary"]), "or a cache would give it to a page that may"


async def test_without_an_origin_there_is_nothing_to_tell(alice: Client) -> None:
    answer = await alice.http.get("/api/contacts")
    assert about_origins(answer) == set()
    assert "origin" in names(answer.headers["Vary"])
    plain = await alice.http.options("/api/contacts", headers={"Origin": FRIEND})
    assert plain.status_code == 405, "that is no preflight"


async def test_pages_and_health_are_not_for_pages_of_elsewhere(api: Server) -> None:
    async with api.http() as http:
        for path in ("/docs", "/verify?token=x", "/health"):
            assert about_origins(await http.get(path, headers={"Origin": FRIEND})) == set()


async def test_the_list_is_empty_unless_somebody_writes_it(closed: Server) -> None:
    async with closed.http() as http:
        answer = await http.get("/api/meta", headers={"Origin": FRIEND})
        assert about_origins(answer) == set()
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert (await http.options("/api/meta", headers={"Origin": FRIEND, **ASKS})).status_code == 405


def read(origins: str, environment: str = "development") -> tuple[str, ...]:
    given = {"DATABASE_URL": "postgresql:///x", "DEBITUM_KEYS": new_ring(), "DEBITUM_ENV": environment}
    return Settings.from_environment({**given, "DEBITUM_CORS_ORIGINS": origins}).cors_origins


async def test_origins_are_read_as_browsers_write_them() -> None:
    assert read(f" {FRIEND}, http://localhost:5173,capacitor://localhost,http://[::1]:3000,") == (
        FRIEND,
        "http://localhost:5173",
        "capacitor://localhost",
        "http://[::1]:3000",
    )
    assert read("") == ()


@pytest.mark.parametrize("environment", ["development", "production"])
@pytest.mark.parametrize(
    "origins", ["*", "https://*.example.org", f"{FRIEND}/", f"{FRIEND}/app", "app.example.org", "null", FRIEND.upper()]
)
async def test_what_is_no_list_of_origins_is_refused(origins: str, environment: str) -> None:
    with pytest.raises(SettingsError, match=r"^DEBITUM_CORS_ORIGINS: "):
        read(origins, environment)


async def test_what_pages_may_see_covers_the_limits() -> None:
    assert {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"} <= names(cors.EXPOSED_HEADERS)
