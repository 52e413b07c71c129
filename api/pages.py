"""What the small pages for the links in mails are made of; a link alone changes nothing: programs follow links too."""

import base64
import functools
import hashlib
import html
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sanic import HTTPResponse, Request, Sanic

from api import deadline, limits, problems, services

_STYLE = (
    "body{font:17px/1.5 system-ui,sans-serif;max-width:44rem;margin:4rem auto;padding:0 1.2rem;color-scheme:light dark}"
    "td{padding:.2rem .8rem .2rem 0}button{font:inherit;padding:.5rem 1.4rem;border-radius:.5rem;border:1px solid;cursor:pointer}"
    "input{font:inherit;padding:.4rem .6rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
"""By which a browser knows the one style that is ours; what somebody manages to put into a page has another."""
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
MEDIA_TYPE = "text/html; charset=utf-8"
MAX_TOKEN_LENGTH = 200
ROUTES: Final = frozenset({"verify_page", "verify_confirmed", "reset_page", "reset_confirmed", "join_page", "join_confirmed"})
"""Where somebody can guess the tokens of mails: limited by address, like /api/auth."""


def install(app: "Sanic[Any, Any]") -> None:
    """Count who asks for the pages."""

    @app.on_request
    async def count(request: Request) -> HTTPResponse | None:
        if request.route is None or request.route.name.rpartition(".")[2] not in ROUTES:
            return None
        try:
            limits.of(request).count_address(request)
        except problems.RateLimited as error:
            answer = page("Not so often", "<p>Try again in a minute.</p>", status=429)
            answer.headers["Retry-After"] = str(error.retry_after_seconds)
            return answer
        return None


def in_time(handler: Callable[[Request], Awaitable[HTTPResponse]]) -> Callable[[Request], Awaitable[HTTPResponse]]:
    """A page that writes is answered as soon as any other request (api.deadline)."""

    @functools.wraps(handler)
    async def answer(request: Request) -> HTTPResponse:
        async with deadline.within(services.of(request).settings.request_seconds):
            return await handler(request)

    return answer


def hidden(name: str, value: str) -> str:
    """A field that a form carries along, in HTML."""
    return f'<input type="hidden" name="{name}" value="{html.escape(value[:MAX_TOKEN_LENGTH], quote=True)}">'


def new_password(label: str, name: str) -> str:
    """A field for a password that is set, in HTML."""
    bounds = 'minlength="8" maxlength="128" autocomplete="new-password" required'
    return f'<label>{label} <input type="password" name="{name}" {bounds}></label>'


def page(title: str, content: str, *, status: int = 200) -> HTTPResponse:
    """A page of ours; `content` is HTML."""
    return HTTPResponse(document(title, content), status=status, headers=HEADERS, content_type=MEDIA_TYPE)


def document(title: str, content: str) -> bytes:
    """The HTML of a page; to be sent with HEADERS."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    whole = f"<head>{head}<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>{content}</body>"
    return f'<!doctype html><html lang="en">{whole}</html>'.encode()
