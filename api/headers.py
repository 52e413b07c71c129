"""What every answer says to browsers and caches, whatever it is an answer to: an error, a page, a stream."""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from sanic import HTTPResponse, Request

CACHEABLE: Final = frozenset({"/api/meta", "/docs/openapi.json"})
"""The same for everybody. Anything else stays out of caches: what is added one day is private until it is listed here."""
HSTS_SECONDS: Final = 365 * 24 * 3600
"""A year, what browsers ask of a site that means it. Subdomains are not ours to speak for."""


def setter(public_url: str) -> Callable[[Request, HTTPResponse], None]:
    """Sets these headers of an answer; `public_url` is how people reach us, empty where nobody has said so."""
    lasting = {"X-Content-Type-Options": "nosniff"}
    if urlsplit(public_url).scheme == "https":
        lasting["Strict-Transport-Security"] = f"max-age={HSTS_SECONDS}"

    def set_headers(request: Request, response: HTTPResponse) -> None:
        response.headers.update(lasting)
        if request.path not in CACHEABLE:
            response.headers.setdefault("Cache-Control", "no-store")

    return set_headers


def vary(response: HTTPResponse, name: str) -> None:
    """Say that the answer depends on the request's header `name` too."""
    before = response.headers.get("Vary")
    if before is None:
        response.headers["Vary"] = name
    elif name.lower() not in before.lower().split(", "):
        response.headers["Vary"] = f"{before}, {name}"
