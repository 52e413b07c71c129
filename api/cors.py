"""Pages of other origins that the operator trusts may use the API. Never any origin, and never with cookies: there are none."""

from typing import Any, Final

from sanic import HTTPResponse, Request, Sanic

from api import headers

ALLOWED_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, If-Match, X-Request-ID"
EXPOSED_HEADERS: Final = (
    "ETag, X-Ledger-Version, X-Request-ID, Location, Retry-After, Idempotency-Replayed, "
    "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
)
"""Beside those that browsers always show."""
MAX_AGE_SECONDS: Final = 7_200
"""The most that Chromium keeps. An origin that the operator no longer allows is refused at once all the same, by the answers."""
_PREFIX: Final = "/api/"


def install(app: "Sanic[Any, Any]", origins: tuple[str, ...]) -> None:
    """Let pages of `origins` in, each exactly as browsers write it; no other page learns anything."""
    if not origins:
        return
    allowed = frozenset(origins)

    @app.on_request
    async def preflight(request: Request) -> HTTPResponse | None:
        """Answers preflights alone: no route has OPTIONS, and any other is 405."""
        asked = request.method == "OPTIONS" and "access-control-request-method" in request.headers
        if not asked or not _concerns(request) or request.headers.get("origin") not in allowed:
            return None
        granted = {
            "Access-Control-Allow-Methods": ALLOWED_METHODS,
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
        }
        return HTTPResponse(status=204, headers=granted)

    @app.on_response  # type: ignore[untyped-decorator]  # Sanic types this one as Any
    def tell(request: Request, response: HTTPResponse) -> None:
        if not _concerns(request):
            return
        headers.vary(response, "Origin")  # also without one, or a cache would give that answer to a page
        origin = request.headers.get("origin")
        if origin in allowed:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS


def _concerns(request: Request) -> bool:
    return request.path.startswith(_PREFIX)
