"""What surrounds the resources: health, documents, problems, limits, compression."""

import asyncio
import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import Engine

from api import health, problems
from api.app import ROUTES
from api.settings import Settings
from domain import errors
from storage import urls
from tests.api.test_deadline import locked, waiting
from tests.debitum.test_children import until
from tests.fixtures import pooler
from tests.fixtures.api import Client, Server, of_the_module, serve
from tests.fixtures.database import cloned

pytestmark, database_url, api, alice, bob = of_the_module()


@pytest.fixture
def another_url(server: str) -> Iterator[str]:
    """Of a database of a test's own."""
    with cloned(server) as url:
        yield url


async def test_health_answers_and_ready_says_what_it_looked_at(
    another_url: str, api_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(replace(api_settings, database_url=another_url)) as api, api.http() as http:
        answer = await http.get("/health")
        assert (answer.status_code, answer.text, answer.headers["content-type"].split(";")[0]) == (200, "OK", "text/plain")
        head = await http.head("/health")
        assert (head.status_code, head.content) == (200, b"")
        assert (await http.get("/health/live")).json() == {"status": "ok"}
        ready = await http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "ok")
        assert ready.json()["checks"] == {"postgres": "ok", "migrations": "ok", "durability": "ok", "projection_lag_seconds": 0.0}
        with psycopg.connect(urls.libpq_url(pooler.direct(another_url))) as connection:
            connection.execute("update debitum.alembic_version set version_num = '0001'")
        unready = await http.get("/health/ready")
        assert (unready.status_code, unready.json()["status"]) == (503, "unavailable")
        assert "0001" in unready.json()["checks"]["migrations"]
        monkeypatch.setattr(health, "READY_SECONDS", 0.2)
        with psycopg.connect(urls.libpq_url(pooler.direct(another_url))) as connection:
            connection.execute("lock table debitum.alembic_version")
            hangs = await http.get("/health/ready")
        assert (hangs.status_code, hangs.json()["checks"]) == (503, {"postgres": "does not answer"})


async def test_all_who_ask_whether_it_is_ready_are_one_look(
    api: Server, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be anybody, and many: the others want the connections."""
    monkeypatch.setattr(health, "READY_SECONDS", 0.5)
    with locked(database, "lock table debitum.alembic_version"):
        async with api.http() as http:
            asked = [asyncio.create_task(http.get("/health/ready")) for _ in range(20)]
            await until(lambda: waiting(database) > 0)
            await asyncio.sleep(0.1)
            assert waiting(database) == 1
            assert {answer.status_code for answer in await asyncio.gather(*asked)} == {503}


async def test_meta_lists_every_currency_with_its_exponent(api: Server) -> None:
    async with api.http() as http:
        meta = (await http.get("/api/meta")).json()
    exponents = {one["code"]: one["exponent"] for one in meta["currencies"]}
    assert (exponents["EUR"], exponents["JPY"], exponents["KWD"], exponents["CLF"]) == (2, 0, 3, 4)
    assert {one["code"]: one["active"] for one in meta["currencies"]}["DEM"] is False
    assert meta["push_versions"] == {"min": 1, "max": 1}
    assert meta["registration"] == "open"


async def test_the_openapi_document_is_valid_and_covers_every_route(api: Server) -> None:
    async with api.http() as http:
        document = (await http.get("/docs/openapi.json")).json()
        assert (await http.get("/docs")).status_code == 200
    served = {(route.method.lower(), route.path) for route in ROUTES}
    described = {(method, path) for path, operations in document["paths"].items() for method in operations}
    assert served == described
    identifiers = [operation["operationId"] for operations in document["paths"].values() for operation in operations.values()]
    assert len(identifiers) == len(set(identifiers))
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert schema.get("description"), f"{name} says nothing of itself"
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])


async def test_whoever_writes_is_told_that_the_ledger_may_be_gone(api: Server) -> None:
    """Its owner's account can be erased between the look at the token and the commit."""
    paths = (await api.http().get("/docs/openapi.json")).json()["paths"]
    written = {(route.path, route.method.lower()) for route in ROUTES if route.replays or route.streams is not None}
    asked = {("/api/sync/push", "post"), ("/api/sync/pull", "post"), ("/api/sync/hash", "get"), ("/api/balances", "get")}
    streamed = {("/api/export", "get"), ("/api/sync/state", "get")}
    for path, method in written | asked | streamed:
        assert '"ledger_gone"' in json.dumps(paths[path][method]["responses"]["404"]), (method, path)


async def test_answers_are_what_the_document_says(alice: Client, api: Server) -> None:
    document = (await alice.http.get("/docs/openapi.json")).json()

    def check(method: str, path: str, status: int, body: Any) -> None:
        response = document["paths"][path][method]["responses"][str(status)]
        [content] = response["content"].values()
        schema = content["schema"] | {"components": document["components"]}
        Draft202012Validator(schema).validate(body)

    ana = await alice.post("/api/contacts", {"name": "Ana"}, status=201)
    check("post", "/api/contacts", 201, ana)
    debt = await alice.post("/api/transactions", {"contact_id": ana["id"], "direction": "lent", "amount": 5}, status=201)
    check("post", "/api/transactions", 201, debt)
    note = await alice.post("/api/reminders", {"remind_at": "2030-01-01T00:00:00Z", "transaction_id": debt["id"]}, status=201)
    check("post", "/api/reminders", 201, note)
    for path in (
        "/api/contacts",
        "/api/transactions",
        "/api/reminders",
        "/api/balances",
        "/api/me",
        "/api/meta",
        "/api/sync/hash",
    ):
        check("get", path, 200, await alice.get(path))
    check("post", "/api/sync/pull", 200, await alice.post("/api/sync/pull", {}))
    check("post", "/api/sync/push", 200, await alice.push({"id": debt["id"]}))
    check("post", "/api/contacts", 400, await alice.post("/api/contacts", {}, status=400))


async def test_every_error_has_a_status_and_a_page(api: Server) -> None:
    codes = {kind.code for kind in problems._classes(errors.DomainError) if kind is not errors.Rejected} - {"conflict"}
    assert codes <= set(problems.KINDS)
    async with api.http() as http:
        for code in problems.KINDS:
            page = await http.get(f"/docs/problems/{code}")
            assert page.status_code == 200
            assert code in page.text
        assert (await http.get("/docs/problems/nonsense")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status", "code"),
    [
        ("GET", "/api/nowhere", b"", {}, 404, "not_found"),
        ("DELETE", "/api/contacts", b"", {}, 405, "method_not_allowed"),
        ("GET", "/api/contacts/not-an-id", b"", {}, 404, "not_found"),
        ("GET", "/api/contacts?limit=0", b"", {}, 400, "invalid"),
        ("GET", "/api/contacts?limit=201", b"", {}, 400, "invalid"),
        ("GET", "/api/contacts?nonsense=1", b"", {}, 400, "invalid"),
        ("GET", "/api/contacts?limit=1&limit=2", b"", {}, 400, "invalid"),
        ("GET", "/api/contacts?cursor=xyz", b"", {}, 400, "invalid"),
        ("GET", "/api/contacts?search=%00", b"", {}, 400, "invalid"),
        ("POST", "/api/contacts", b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        ("POST", "/api/contacts", b"{}", {"Content-Type": "application/json; charset=latin-1"}, 415, "unsupported_media_type"),
        ("POST", "/api/contacts", b"", {}, 415, "unsupported_media_type"),
        ("POST", "/api/contacts", b"{", {}, 400, "invalid"),
        ("POST", "/api/contacts", b"[]", {}, 400, "invalid"),
        ("POST", "/api/contacts", b"[" * 100_000, {}, 400, "invalid"),
        ("POST", "/api/contacts", b'{"name": NaN}', {}, 400, "invalid"),
        ("POST", "/api/contacts", b'{"name": "\\u0000"}', {}, 400, "invalid"),
        ("POST", "/api/contacts", b'{"name": "\\ud800"}', {}, 400, "invalid"),
        ("POST", "/api/contacts", b'{"name": "\xff"}', {}, 400, "invalid"),
        ("POST", "/api/contacts", b'{"name": "x"}', {"Idempotency-Key": "x"}, 400, "invalid"),
        ("POST", "/api/contacts", b'{"name": "x"}', {"If-Match": "x"}, 400, "invalid"),
        ("POST", "/api/contacts", b" " * (1024 * 1024 + 1), {}, 413, "too_large"),
    ],
)
async def test_bad_requests_get_a_problem(
    alice: Client, method: str, path: str, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    sent = {"X-Request-ID": "my-request.1"} | ({"Content-Type": "application/json"} if content else {}) | headers
    response = await alice.http.request(method, path, content=content, headers=sent)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"/docs/problems/{code}")
    assert problem["request_id"] == response.headers["X-Request-ID"] == "my-request.1"
    assert "Traceback" not in response.text


async def test_every_private_route_asks_who_is_there(api: Server) -> None:
    async with api.http() as http:
        for route in ROUTES:
            if not route.public:
                response = await http.request(route.method, route.path.replace("{id}", "01931a2b-0000-7000-8000-000000000001"))
                assert (response.status_code, response.json()["code"]) == (401, "unauthorized"), route.name


async def test_large_answers_are_compressed_but_never_tokens(alice: Client, api: Server) -> None:
    meta = await alice.http.get("/api/meta", headers={"Accept-Encoding": "gzip"})
    assert meta.headers["Content-Encoding"] == "gzip"
    assert meta.headers["Vary"] == "Accept-Encoding"
    async with alice.http.stream("GET", "/api/meta", headers={"Accept-Encoding": "gzip"}) as raw:
        packed = b"".join([part async for part in raw.aiter_raw()])
    assert json.loads(gzip.decompress(packed)) == meta.json()
    for accepted in ("identity", "gzip;q=0", "br"):
        assert "Content-Encoding" not in (await alice.http.get("/api/meta", headers={"Accept-Encoding": accepted})).headers
    body = {"email": alice.user["email"], "password": "x" * 20}
    program = {"name": "\U0001f600" * 100, "scope": "read"}
    token = await alice.http.post("/api/tokens", json=program, headers={"Accept-Encoding": "gzip"})
    assert (token.status_code, "Content-Encoding" in token.headers) == (201, False)
    login = await alice.http.post("/api/auth/login", json=body, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in login.headers


async def test_a_request_id_that_is_not_sane_is_replaced(api: Server) -> None:
    async with api.http() as http:
        given = await http.get("/health", headers={"X-Request-ID": "no spaces please"})
    assert re.fullmatch(r"[0-9a-f-]{36}", given.headers["X-Request-ID"])
