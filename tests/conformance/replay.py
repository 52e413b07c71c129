"""Plays a case to fresh devices, without any server: what a harness in another language does too."""

import copy
import itertools
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from client import BrokenLog, Device, Unavailable
from tests.conformance import acting
from tests.conformance.acting import Act, Given, Line

Case = dict[str, Any]
Exchange = dict[str, Any]
NOT_FOUND = {"type": "/docs/problems/not_found", "title": "There is nothing here", "status": 404, "code": "not_found"}
PULL, PUSH, HASH = "/api/sync/pull", "/api/sync/push", "/api/sync/hash"


class Replayer(Line):
    """Answers what a case expects to be asked, and fails where something else comes."""

    def __init__(self) -> None:
        self.expected: deque[Exchange] = deque()

    async def exchange(self, request: httpx.Request) -> httpx.Response:
        """The answer of the case."""
        assert self.expected, f"the case is over, and the device asks {acting.described(request)}"
        exchange = self.expected.popleft()
        self.compare(acting.described(request), exchange["request"])
        if "lost" in exchange:
            raise httpx.ReadTimeout(f"{exchange['lost']} lost", request=request)
        return httpx.Response(exchange["response"]["status"], json=exchange["response"]["body"], request=request)

    def compare(self, asked: dict[str, Any], expected: dict[str, Any]) -> None:
        """Fails unless they are the same."""
        assert asked == expected


class Lenient(Replayer):
    """For clients that choose otherwise: leaves out what is free, and answers what they ask in its place."""

    async def exchange(self, request: httpx.Request) -> httpx.Response:
        """The answer of the case, or what the log says that comes next."""
        if request.url.path == HASH:
            return self._from_the_log(request)
        while self.expected and self.expected[0].get("free"):
            self.expected.popleft()
        return await super().exchange(request)

    def compare(self, asked: dict[str, Any], expected: dict[str, Any]) -> None:
        """Fails unless they are the same but for `limit`."""
        without = [one | {"body": one["body"] | {"limit": None}} for one in (asked, expected)]
        super().compare(*without)

    def _from_the_log(self, request: httpx.Request) -> httpx.Response:
        ahead = itertools.takewhile(lambda one: one["request"]["path"] != PUSH, self.expected)
        log = [fact for one in ahead if one["request"]["path"] == PULL for fact in one["response"]["body"]["events"]]
        seq = int(request.url.params.get("seq", len(log)))
        if seq > len(log):
            return httpx.Response(404, json=NOT_FOUND, request=request)
        return httpx.Response(200, json={"version": seq, "hash": log[seq - 1]["hash"] if seq else None}, request=request)


@dataclass
class Player:
    """One device of a replay, and what its user has done."""

    path: Path | str
    given: Given
    line: Replayer
    device: Device
    acts: list[Act] = field(default_factory=list)

    async def take(self, step: dict[str, Any]) -> None:
        """What the user does, or a sync in which the device asks all that the step says and nothing else."""
        if "act" in step:
            acting.perform(self.device, self.given, step["act"])
            self.acts.append(step["act"])
            return
        self.line.expected.extend(step["sync"])
        with _fate(step["sync"][-1]):
            await self.device.sync()
        assert not self.line.expected, "the device is content, and the case is not over"

    async def restart(self) -> None:
        """Stop, and come back with what is in the file."""
        await self.device.close()
        self.device = await acting.signed_in(self.line, self.given, self.path)


def _fate(last: Exchange) -> AbstractContextManager[Any]:
    """What becomes of a sync that ends with that exchange."""
    if "lost" in last:
        return pytest.raises(Unavailable)
    return pytest.raises(BrokenLog) if last.get("made_up") == "broken" else nullcontext()


async def replay(case: Case, *, line_of: type[Replayer] = Replayer, files: Path | None = None) -> dict[str, Any]:
    """Where the devices of a case stand in the end. If they have `files`, they stop and start again after each step."""
    players = {}
    for letter, device_id in case["devices"].items():
        line, given = line_of(), Given(device_id, acting.moment(device_id).isoformat())
        path = ":memory:" if files is None else files / letter
        players[letter] = Player(path, given, line, await acting.signed_in(line, given, path))
        assert players[letter].device.id == device_id
    for step in case["script"]:
        if "restore" in step:
            continue
        await players[step["device"]].take(step)
        if files is not None:
            await players[step["device"]].restart()
    ends = {letter: acting.ending(player.device, player.acts) for letter, player in players.items()}
    for player in players.values():
        await player.device.close()
    return ends


def exchanges(case: Case, letter: str | None = None) -> Iterator[Exchange]:
    """Everything that was asked and answered in a case, by all or by one device."""
    for step in case["script"]:
        if "sync" in step and letter in (None, step["device"]):
            yield from step["sync"]


def _is_believed(exchange: Exchange) -> bool:
    return exchange.get("response", {}).get("status") == 200 and exchange.get("made_up") != "broken"


def pulled(case: Case, letter: str) -> list[dict[str, Any]]:
    """The facts that a device holds in the end, copied: a pull from 0 starts them over."""
    facts: list[dict[str, Any]] = []
    for exchange in exchanges(case, letter):
        if exchange["request"]["path"] == PULL and _is_believed(exchange):
            if exchange["request"]["body"]["since"] == 0:
                facts = []
            facts += exchange["response"]["body"]["events"]
    return copy.deepcopy(facts)
