"""Dagster's pages do what their own pages ask for, and no other site's.

They have no login and no tokens against forgery, and act on a plain GET: any page that an operator opens could have their browser
stop a schedule or begin a run, also where nobody else reaches the port.
"""

import ipaddress
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Headers = Mapping[str, str]
"""By names in lower case."""

_OWN: Final = ("same-origin", "none")
"""What a browser says (Sec-Fetch-Site) of what its own page has asked for, or the person themselves."""
_OF_NETWORKS: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
"""Ends of names that nobody can have in the Internet."""
_POLICY_VIOLATION: Final = 1008
"""The close code of RFC 6455."""


class Objection(NamedTuple):
    """Why a request is refused."""

    status: HTTPStatus
    detail: str


class OwnPagesAlone:
    """ASGI middleware that refuses what has an objection."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass it on."""
        found = objection(scope) if scope["type"] in ("http", "websocket") else None
        if found is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": found.detail})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": found.status.value, "headers": headers})
            await send({"type": "http.response.body", "body": f"{found.detail}\n".encode()})


def guarded(create: Callable[..., Any]) -> Callable[..., Any]:
    """Dagster's function that makes its application, with the middleware around what it makes."""

    def create_guarded(*arguments: Any, **options: Any) -> Any:
        app = create(*arguments, **options)
        app.add_middleware(OwnPagesAlone)
        return app

    return create_guarded


def objection(scope: Scope) -> Objection | None:
    """What speaks against an HTTP request or a WebSocket."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    if not _is_of_this_network(headers.get("host", "")):
        return Objection(
            HTTPStatus.MISDIRECTED_REQUEST,
            "Ask by an address, or by a name of this network: a proxy before Dagster's pages sets Host to where it sends to.",
        )
    asks = scope["path"].rstrip("/").endswith("/graphql")
    if not asks and scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
        return None  # pages and files, which other sites may lead to and cannot read
    if not _is_own(headers):
        return Objection(HTTPStatus.FORBIDDEN, "This is another site's page.")
    if asks and scope["type"] == "http":
        return _objection_to_question(scope["method"], headers)
    return None


def _objection_to_question(method: str, headers: Headers) -> Objection | None:
    """A browser that says nothing of where a page is from sends no JSON without having asked first."""
    if method == "POST" and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return Objection(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send questions as application/json.")
    if method == "GET" and "text/html" not in headers.get("accept", ""):
        return Objection(HTTPStatus.METHOD_NOT_ALLOWED, "Send questions by POST.")
    return None


def _is_own(headers: Headers) -> bool:
    if (site := headers.get("sec-fetch-site")) is not None:
        return site in _OWN
    if (origin := headers.get("origin")) is None:
        return True  # a program
    return urllib.parse.urlsplit(origin).netloc in (headers.get("host"), headers.get("x-forwarded-host"))


def _is_of_this_network(host: str) -> bool:
    """Not a name of the Internet's, which whoever has it can lead to 127.0.0.1 (DNS rebinding)."""
    name = ""
    try:
        name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in host or name.endswith(_OF_NETWORKS)
    return True
