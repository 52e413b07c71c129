"""Which requests Dagster's pages refuse: what a browser sends for another site's page, whatever kind of browser it is."""

import asyncio
from typing import Any

import pytest

from pipelines import own_pages

HERE = {"host": "127.0.0.1:3000"}
JSON = {"content-type": "application/json"}
PAGE = {"accept": "text/html,*/*"}


def ask(method: str, path: str, **headers: str) -> int:
    """The status that somebody is answered; 200 is that of the application behind."""
    given = HERE | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {"type": "http", "method": method, "path": path, "headers": [(n.encode(), v.encode()) for n, v in given.items()]}
    status: int = said(scope)[0]["status"]
    return status


def said(scope: dict[str, Any]) -> list[Any]:
    sent: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        sent.append({"status": 200})

    async def receive() -> Any:
        raise AssertionError("nobody reads the body of what is refused")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(own_pages.OwnPagesAlone(application)(scope, receive, send))
    return sent


def test_a_page_of_dagsters_and_a_program_ask_what_they_like() -> None:
    own = {"sec_fetch_site": "same-origin", "origin": "http://127.0.0.1:3000"}
    assert ask("POST", "/graphql", content_type="application/json", **own) == 200
    assert ask("POST", "/graphql", content_type="application/json; charset=utf-8") == 200
    assert ask("POST", "/report_asset_check/balances") == 200
    assert ask("GET", "/graphql", accept=PAGE["accept"], sec_fetch_site="none") == 200
    assert ask("GET", "/server_info") == 200


def test_a_browser_that_says_only_its_origin_is_believed() -> None:
    json = JSON["content-type"]
    assert ask("POST", "/graphql", content_type=json, origin="http://127.0.0.1:3000") == 200
    assert ask("POST", "/graphql", content_type=json, origin="https://d.example", x_forwarded_host="d.example") == 200
    assert ask("POST", "/graphql", content_type=json, origin="http://127.0.0.1:8000") == 403
    assert ask("POST", "/graphql", content_type=json, origin="null") == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/prefix/graphql", "/report_asset_materialization/balances"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
def test_another_sites_page_does_nothing(method: str, path: str, site: str) -> None:
    if method == "GET" and "graphql" not in path:
        return
    headers = {"content_type": "application/json", "accept": "text/html", "sec_fetch_site": site}
    assert ask(method, path, **headers) == 403
    assert ask(method, path, **headers, origin="http://127.0.0.1:3000") == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
def test_what_a_page_sends_without_having_asked_is_no_question(kind: str) -> None:
    assert ask("POST", "/graphql", content_type=kind) == 415
    assert ask("GET", "/graphql", accept="image/*") == 405
    assert ask("GET", "/graphql") == 405


def test_other_sites_may_lead_to_a_page() -> None:
    assert ask("GET", "/runs/1", sec_fetch_site="cross-site") == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "localhost.", "", "a.b", "local.evil.example"]
)
def test_a_name_that_somebody_leads_here_is_none_of_ours(host: str) -> None:
    assert ask("GET", "/runs", host=host) == (421 if host else 200)


@pytest.mark.parametrize(
    "host", ["localhost:3000", "dagster:3000", "[::1]:3000", "192.168.1.7:3000", "::1", "nas.local:3000", "NAS.lan"]
)
def test_addresses_and_names_of_a_network_are(host: str) -> None:
    assert ask("GET", "/runs", host=host) == 200


def test_a_socket_of_another_sites_page_is_closed_before_it_is_open() -> None:
    def socket(**headers: str) -> Any:
        given = [(name.encode(), value.encode()) for name, value in (HERE | headers).items()]
        return said({"type": "websocket", "path": "/graphql", "headers": given})

    assert [message["type"] for message in socket(origin="https://evil.example")] == ["websocket.close"]
    assert socket(origin="http://127.0.0.1:3000") == [{"status": 200}]
