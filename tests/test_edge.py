"""The proxy of the manual (docs/caddy/Caddyfile) before the API; tests/test_compose.py has it before Dagster's pages too."""

import asyncio
import json
import uuid
from pathlib import Path

import httpx
import pytest

from api import body, sockets
from tests.debitum.test_children import wait_until
from tests.fixtures import edge
from tests.fixtures.api import PASSWORD
from tests.fixtures.edge import Edge
from tests.fixtures.process import Process

ADDRESS = "zacharias@kanarien.example"
TOKEN = "kanarie-token-0815"
PROXIED = {
    "DEBITUM_ENV": "production",
    "DEBITUM_PUBLIC_URL": f"https://{edge.DEBITUM}",
    "DEBITUM_TRUSTED_PROXIES": "1",
    "DEBITUM_RATE_AUTH_PER_MINUTE": "10",
}


async def test_the_api_behind_the_proxy_of_the_manual(database_url: str, tmp_path: Path) -> None:
    """One test, for one Caddy and one API."""
    api = Process(tmp_path, database_url, 1, environment=PROXIED)
    try:
        await api.listens()
        await asyncio.to_thread(_try_all, api, tmp_path)
    finally:
        api.close()


def _try_all(api: Process, folder: Path) -> None:
    with edge.running(folder, debitum_at=api.url.removeprefix("http://"), dagster_at="127.0.0.1:1") as caddy:
        with httpx.Client() as stranger, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            stranger.get(f"https://127.0.0.1:{caddy.port}/health", extensions={"sni_hostname": edge.DEBITUM})
        check_that_http_leads_to_https(caddy)
        check_that_it_is_the_clients_address_that_counts(caddy)
        check_that_a_request_has_one_id_in_all_logs(caddy, api)
        asyncio.run(check_that_the_feed_goes_through(caddy))
        check_what_is_refused(caddy)
        check_that_its_log_has_nobodys_data(caddy)


def check_that_http_leads_to_https(caddy: Edge) -> None:
    plain = httpx.get(f"http://127.0.0.1:{caddy.http_port}/docs?a=1", headers={"Host": edge.DEBITUM})
    assert plain.status_code == 308
    assert plain.headers["Location"] == f"https://{edge.DEBITUM}/docs?a=1"
    safe = caddy.client(edge.DEBITUM).get("/health")
    assert (safe.status_code, safe.headers["Strict-Transport-Security"] != "") == (200, True)


def _remaining(client: httpx.Client, **headers: str) -> int:
    answer = client.post("/api/auth/refresh", json={"refresh_token": TOKEN}, headers=headers)
    assert answer.status_code == 401, answer.text
    return int(answer.headers["RateLimit-Remaining"])


def check_that_it_is_the_clients_address_that_counts(caddy: Edge) -> None:
    """Each has a limit of its own, and none gets another by saying whom it speaks for."""
    one, other = (caddy.client(edge.DEBITUM, sent_from=address) for address in ("127.0.0.2", "127.0.0.3"))
    assert [_remaining(one), _remaining(one), _remaining(other)] == [9, 8, 9]
    assert _remaining(one, **{"X-Forwarded-For": "198.51.100.7"}) == 7


def check_that_a_request_has_one_id_in_all_logs(caddy: Edge, api: Process) -> None:
    client = caddy.client(edge.DEBITUM)
    given = client.get("/api/me", headers={"X-Request-ID": "from-a-device.1"})
    without = client.get("/api/me")
    insane = client.get("/api/me", headers={"X-Request-ID": f"<{ADDRESS}>"})
    told = [answer.headers["X-Request-ID"] for answer in (given, without, insane)]
    assert (told[0], uuid.UUID(told[1]).version, uuid.UUID(told[2]).version) == ("from-a-device.1", 4, 4)
    # A line may come after the answer.
    wait_until(lambda: [line["request_id"] for line in api.said("request")][-3:] == told)
    wait_until(lambda: [line.get("request_id") for line in caddy.requests()][-3:] == told)


async def check_that_the_feed_goes_through(caddy: Edge) -> None:
    client = caddy.client(edge.DEBITUM)
    account = {"email": ADDRESS, "password": PASSWORD, "time_zone": "UTC"}
    token = client.post("/api/auth/register", json=account).raise_for_status().json()["access_token"]
    async with caddy.socket(edge.DEBITUM, sockets.PATH) as socket, asyncio.timeout(20):
        await socket.send(json.dumps({"type": "auth", "token": token}))
        assert json.loads(await socket.recv())["type"] == "ready"
        client.post("/api/contacts", json={"name": "Ana"}, headers={"Authorization": f"Bearer {token}"}).raise_for_status()
        assert json.loads(await socket.recv())["version"] == 1


def check_what_is_refused(caddy: Edge) -> None:
    """Also what only the API refuses arrives as the API's answer."""
    client = caddy.client(edge.DEBITUM)
    inside = client.get("/metrics")
    assert (inside.status_code, inside.content) == (404, b""), "by the proxy, not by the API, which would say why"
    assert client.get("/health", headers={"X-Long": "x" * 40_000}).status_code == 431
    large = client.post("/api/auth/login", content=b"x" * (body.MAX_BODY_BYTES + 1), headers={"Content-Type": "application/json"})
    assert (large.status_code, large.json()["code"]) == (413, "too_large")
    # On a connection of its own: what is left of a body that was refused early may be taken for the next request.
    assert caddy.client(edge.DEBITUM).get("/verify", params={"token": TOKEN}).status_code == 200


def check_that_its_log_has_nobodys_data(caddy: Edge) -> None:
    # A socket's line comes when it has ended, which may be behind the last request's.
    wait_until(lambda: {"/verify", sockets.PATH} <= {line["request"]["uri"] for line in caddy.requests()}, 60)
    assert {line["request"]["client_ip"] for line in caddy.requests()} == {"127.0.0.0"}
    for canary in (ADDRESS, TOKEN, PASSWORD, "127.0.0.2"):
        assert canary not in caddy.said()
