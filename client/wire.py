"""HTTP as a device uses it: JSON in and out, and each failure as what it means for the device."""

import functools
import ssl
from collections.abc import Mapping
from json import loads
from typing import Any

import httpx

from client import answers
from client.answers import Shape
from client.errors import Refused, Reset, SignedOut, Unavailable

TIMEOUT_SECONDS = 30.0
"""Of a request; past it nothing is known."""
LONGEST_WAIT_SECONDS = 3_600.0
"""However long an answer would have a device wait: whoever made it may be wrong, or be someone else."""
_SAYS_NOTHING = frozenset({408, 425, 429})
"""Beside 5xx: the same request may pass later."""
_NOT_ADMITTED = "invalid_credentials"
"""Also of somebody who is signed in, and stays so."""
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
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json: Any = None,
        query: Mapping[str, Any] | None = None,
        shape: Shape = lambda _: True,
    ) -> Any:
        """The JSON of a 2xx, a list of lines where it is NDJSON, None where it has no body.

        `shape` says whether an answer is one to this question, see answers.py. Raises Unavailable, SignedOut, Reset and Refused.
        """
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            answer = await self._http.request(method, path, json=json, params=query, headers=headers)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        return _understood(answer, shape)


def _understood(answer: httpx.Response, shape: Shape) -> Any:
    try:
        members: Any = _decoded(answer) if answer.content else None
    except ValueError as error:
        raise Unavailable(f"an answer that is no JSON, with status {answer.status_code}") from error
    if answer.is_success:
        if shape(members) and not (members is None and answer.status_code in _WITH_A_BODY):
            return members
        raise Unavailable(f"an answer to something else, with status {answer.status_code}")
    if not answers.is_problem(members):
        raise Unavailable(f"status {answer.status_code}, and no problem of our server's")
    if answer.status_code >= 500 or answer.status_code in _SAYS_NOTHING:
        raise Unavailable(f"status {answer.status_code}", _seconds(answer.headers.get("retry-after", "")))
    if answer.status_code == 401 and members["code"] != _NOT_ADMITTED:
        raise SignedOut(str(members.get("detail") or "sign in again"))
    raise (Reset if members["code"] == "reset" else Refused)(members)


def _decoded(answer: httpx.Response) -> Any:
    if answer.headers.get("content-type") == "application/x-ndjson":
        return [loads(line) for line in answer.text.split("\n") if line]
    return answer.json()


def _seconds(retry_after: str) -> float:
    return min(float(retry_after), LONGEST_WAIT_SECONDS) if retry_after.isdecimal() else 0.0
