"""HTTP as a device uses it: JSON in and out, and each failure as what it means for the device."""

import functools
import ssl
from collections.abc import Mapping
from json import loads
from typing import Any

import httpx

from client.errors import Refused, Reset, SignedOut, Unavailable

TIMEOUT_SECONDS = 30.0
"""Of a request; past it nothing is known."""
_SAYS_NOTHING = frozenset({408, 425, 429})
"""Beside 5xx, and what is no problem of our server's: a network that wants somebody to sign in answers in its place."""
_WITH_A_BODY = frozenset({200, 201})
"""What our server answers with these has one."""


@functools.cache
def _trusted() -> ssl.SSLContext:
    """The authorities that certificates are checked by: read once, for there are more than a hundred of them."""
    return httpx.create_ssl_context()


class Wire:
    """One server. `transport` replaces the network, for simulations."""

    def __init__(self, base_url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._http = httpx.AsyncClient(base_url=base_url, transport=transport, timeout=TIMEOUT_SECONDS, verify=_trusted())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(
        self, method: str, path: str, *, token: str | None = None, json: Any = None, query: Mapping[str, Any] | None = None
    ) -> Any:
        """The JSON of a 2xx, a list of lines where it is NDJSON, None where it has no body.

        Raises Unavailable, SignedOut, Reset and Refused.
        """
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            answer = await self._http.request(method, path, json=json, params=query, headers=headers)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        return _understood(answer)


def _understood(answer: httpx.Response) -> Any:
    try:
        members = _decoded(answer) if answer.content else None
    except ValueError as error:
        raise Unavailable(f"an answer that is no JSON, with status {answer.status_code}") from error
    if answer.is_success and not (members is None and answer.status_code in _WITH_A_BODY):
        return members
    problem = members if isinstance(members, dict) else {}
    if answer.status_code >= 500 or answer.status_code in _SAYS_NOTHING or "code" not in problem:
        raise Unavailable(f"status {answer.status_code}", _seconds(answer.headers.get("retry-after", "")))
    if answer.status_code == 401:
        raise SignedOut(str(problem.get("detail") or "sign in again"))
    raise (Reset if problem.get("code") == "reset" else Refused)(problem)


def _decoded(answer: httpx.Response) -> Any:
    if answer.headers.get("content-type") == "application/x-ndjson":
        return [loads(line) for line in answer.text.split("\n") if line]
    return answer.json()


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdecimal() else 0.0
