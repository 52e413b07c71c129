"""Writes down what a device asks of the sync API and is answered, between httpx and the network: no client can forget it."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx
import msgspec

from client.facts import canonical
from tests.faults.history import Fact, Final, Item, Logged, Operation, Outcome, Pull, Push, Result

PUSH, PULL = "/api/sync/push", "/api/sync/pull"
CONTENT = ("aggregate_type", "aggregate_id", "event_type", "event_data")


def fingerprint(event: Mapping[str, Any]) -> str:
    """What makes two events of one id the same, of a command as of a fact."""
    return hashlib.sha256(canonical({name: event[name] for name in CONTENT}).encode()).hexdigest()[:16]


def operation(
    user: str,
    device: str,
    path: str,
    sent: Mapping[str, Any],
    status: int | None,
    answer: Any,
    span: tuple[float, float],
    epoch: int = 0,
) -> Operation:
    """One request as the checker reads it; `status` None: there was no answer."""
    result: Result = "unknown" if status is None or status >= 500 else "ok" if status == 200 else "fail"
    known = answer if result == "ok" else {}
    if path == PUSH:
        return Push(
            user=user,
            device=device,
            start=span[0],
            end=span[1],
            items=tuple(Item(event["id"], fingerprint(event)) for event in sent["events"]),
            result=result,
            outcomes=msgspec.convert(known.get("results", []), tuple[Outcome, ...]),
            epoch=epoch,
        )
    return Pull(
        user=user,
        device=device,
        start=span[0],
        end=span[1],
        since=sent["since"],
        result=result,
        facts=tuple(Fact(fact["seq"], fact["id"]) for fact in known.get("events", [])),
        version=known.get("version", 0),
        has_more=known.get("has_more", False),
        epoch=epoch,
    )


def final(user: str, log: Iterable[Mapping[str, Any]]) -> Final:
    """A user's whole log."""
    return Final(user=user, log=tuple(Logged(fact["seq"], fact["id"], fingerprint(fact)) for fact in log))


class Recorder(httpx.AsyncBaseTransport):
    """Passes requests on and tells `write` of each push and pull. `epoch` says how many restores have begun."""

    def __init__(
        self,
        user: str,
        device: str,
        write: Callable[[Operation], object],
        *,
        network: httpx.AsyncBaseTransport | None = None,
        epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        self._user = user
        self._device = device
        self._write = write
        self._network = network or httpx.AsyncHTTPTransport()
        self._epoch = epoch

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The network's answer, or what it raises."""
        if request.url.path not in (PUSH, PULL):
            return await self._network.handle_async_request(request)
        epoch, start = self._epoch(), time.monotonic()
        status, answer = None, None
        try:
            response = await self._network.handle_async_request(request)
            await response.aread()
            if epoch == self._epoch():
                status, answer = response.status_code, json.loads(response.content) if response.status_code == 200 else None
            return response
        finally:
            sent, span = json.loads(request.content), (start, time.monotonic())
            self._write(operation(self._user, self._device, request.url.path, sent, status, answer, span, epoch))

    async def aclose(self) -> None:
        """Close the network's connections."""
        await self._network.aclose()
