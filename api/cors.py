"""Pages of other origins that the operator trusts may use the API. Never any origin, and never with cookies: there are none."""

from typing import Any, Final

from sanic import HTTPResponse, Request, Sanic

from api import headers

METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE"
READ: Final = "Authorization, Content-Type, Idempotency-Key, If-Match, X-Request-ID"
"""Request headers that pages may set."""
SHOWN: Final = (
    "ETag, X-Ledger-Version, X-Request-ID, Location, Retry-After, Idempotency-Replayed, "
    "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
)
"""Response headers that pages may see, beside those that browsers always show."""
REMEMBERED_SECONDS: Final = 7_200
"""Chromium's most. An origin that the operator takes back is then refused on the answers themselves, all the same."""
_PREFIX: Final = "/api/"


def install(app: "Sanic[Any, Any]", origins: tuple[str, ...]) -> None:
    """Let pages of `origins` in, each exactly as browsers write it; no other page learns anything."""
    if not origins:
        return
    allowed = frozenset(origins)

    @app.on_request
    async def preflight(request: Request) -> HTTPResponse | None:
        """Routes have no OPTIONS: to whoever else asks it is a method like any that does not fit."""
        asked = request.method == "OPTIONS" and "access-control-request-method" in request.headers
        if not asked or not _concerns(request) or request.headers.get("origin") not in allowed:
            return None
        granted = {"Methods": METHODS, "Headers": READ}
        answer = {f"Access-Control-Allow-{name}": value for name, value in granted.items()}
        return HTTPResponse(status=204, headers={**answer, "Access-Control-Max-Age": str(REMEMBERED_SECONDS)})

    @app.on_response  # type: ignore[untyped-decorator]  # Sanic types this one as Any
    def tell(request: Request, response: HTTPResponse) -> None:
        if not _concerns(request):
            return
        headers.vary(response, "Origin")  # also without one, or a cache would give that answer to a page
        origin = request.headers.get("origin")
        if origin in allowed:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = SHOWN


def _concerns(request: Request) -> bool:
    return request.path.startswith(_PREFIX)
