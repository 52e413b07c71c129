"""The cases of docs/conformance: the server makes them, the reference client keeps them, and each log proves itself.

After a change of behaviour that you meant: `DEBITUM_WRITE_GOLDEN=1 pytest tests/conformance`; then read the diff.
"""

import os
import runpy
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest

from client import Device, Refused
from client.device import PAGE
from domain import facts
from tests.conformance import files
from tests.conformance.replay import HASH, PULL, PUSH, Lenient, exchanges, pulled, replay
from tests.conformance.scene import record
from tests.conformance.scripts import CASES
from tests.simulation.backend import running

CHECK_LOG = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "check_log.py"))


def case(name: str) -> dict[str, Any]:
    return files.load(files.CASES / f"{name}.json")


def answers(case: dict[str, Any], path: str) -> Iterator[dict[str, Any]]:
    """The bodies of the good answers of `path`."""
    for exchange in exchanges(case):
        if exchange["request"]["path"] == path and exchange.get("response", {}).get("status") == 200:
            yield exchange["response"]["body"]


def limit(case: dict[str, Any]) -> int:
    """The least `limit` of its pulls: the size of a page where that matters."""
    limits = [exchange["request"]["body"]["limit"] for exchange in exchanges(case) if exchange["request"]["path"] == PULL]
    return min(limits, default=PAGE)


async def test_the_server_answers_as_the_files_say(database_url: str) -> None:
    """The same commands give the same facts, byte for byte; and the devices send what the files say."""
    async with running(database_url) as backend:
        made = {name: await record(name, backend) for name in CASES}
    readme = files.README.read_text()
    should = {files.CASES / f"{name}.json": files.pretty(case) + "\n" for name, case in made.items()}
    should[files.README] = files.listed(readme, (made[name] for name in sorted(made)))
    if os.environ.get("DEBITUM_WRITE_GOLDEN"):
        for path, text in should.items():
            path.write_text(text)
        for path in set(files.CASES.iterdir()) - should.keys():
            path.unlink()
    assert {*files.CASES.iterdir(), files.README} == should.keys()
    for path, text in should.items():
        assert path.read_text() == text, path.name


@pytest.mark.parametrize("name", CASES)
async def test_the_client_keeps_to_the_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any server."""
    told = case(name)
    monkeypatch.setattr("client.device.PAGE", limit(told))
    assert await replay(told) == told["end"]


@pytest.mark.parametrize("name", CASES)
async def test_a_device_may_stop_after_any_step(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = case(name)
    monkeypatch.setattr("client.device.PAGE", limit(told))
    assert await replay(told, files=tmp_path) == told["end"]


class Walker(Device):
    """Another client: looks for the common version from the end of its log, step by step."""

    async def _common_version(self) -> int:
        for seq in range(self.head.version, 0, -1):
            with suppress(Refused):
                there = await self._session.ask("GET", HASH, query={"seq": seq})
                if there["hash"] == self._store.hash_at(seq):
                    return seq
        return 0


@pytest.mark.parametrize("name", CASES)
async def test_another_client_may_go_another_way_where_it_is_free(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = case(name)
    monkeypatch.setattr("tests.conformance.acting.Device", Walker)
    monkeypatch.setattr("client.device.PAGE", 7)
    assert await replay(told, line_of=Lenient) == told["end"]


@pytest.mark.parametrize("name", CASES)
def test_the_logs_prove_themselves(name: str) -> None:
    """Without any client: the facts that a device has pulled give its hash, its state and its balances."""
    told = case(name)
    for letter, end in told["end"].items():
        version, digest, entities = CHECK_LOG["check"](pulled(told, letter))
        assert (version, digest) == (end["version"], end["hash"])
        state = {
            (kind, entity_id): {name: value for name, value in fields.items() if value is not None}
            for (kind, entity_id), fields in entities.items()
        }
        assert state == {(one["kind"], one["id"]): one["fields"] for one in end["entities"]}
        balances = {(one["contact_id"], one["currency"]): one["amount"] for one in end["balances"]}
        assert CHECK_LOG["balances"](entities) == balances


@pytest.mark.parametrize("name", CASES)
def test_what_is_sent_is_what_the_user_did(name: str) -> None:
    """Whoever injects acts finds each in the pushes, under its id, unchanged but for its base."""
    told = case(name)
    acts = {(step["device"], step["act"]["id"]): step["act"] for step in told["script"] if "act" in step}
    for step in told["script"]:
        for exchange in step.get("sync", ()):
            if exchange["request"]["path"] == PUSH:
                for item in exchange["request"]["body"]["events"]:
                    act = acts[step["device"], item["id"]]
                    assert item == act | {"base_seq": item["base_seq"]}


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("reset", "restored"))])
def test_after_a_restore_all_agree(name: str) -> None:
    told = case(name)
    for letter, end in told["end"].items():
        assert end["queue"] == []
        assert end == told["end"]["A"], letter


def test_everything_occurs() -> None:
    """Every type of event of every aggregate, every op, every kind of conflict, every optional member, every outcome."""
    log = [fact for name in CASES for page in answers(case(name), PULL) for fact in page["events"]]
    assert {(fact["aggregate_type"], fact["event_type"]) for fact in log} == facts.PAYLOADS.keys()
    ops = {(change["aggregate_type"], change["op"]) for fact in log for change in fact["changes"]}
    assert ops == {(kind, op) for kind in get_args(facts.AggregateType) for op in get_args(facts.Operation)}
    assert {fact["conflict"]["kind"] for fact in log if "conflict" in fact} == {*get_args(facts.ConflictKind)}
    assert {"overwrote", "conflict", "salt"} <= {member for fact in log for member in fact}
    outcomes = [result for name in CASES for answer in answers(case(name), PUSH) for result in answer["results"]]
    assert {(one["status"], one.get("first")) for one in outcomes} == {
        ("accepted", None),
        ("conflict", None),
        ("rejected", None),
        ("duplicate", "accepted"),
        ("duplicate", "conflict"),
    }
    assert {one["code"] for one in outcomes if one["status"] == "rejected"} >= {
        *("invalid", "dependency_failed", "id_reused", "unknown_contact", "unknown_aggregate", "unknown_event"),
        *("undo_of_undo", "already_undone", "undo_superseded", "has_dependants"),
    }


def test_a_case_can_be_read() -> None:
    for name in CASES:
        text = (files.CASES / f"{name}.json").read_text()
        assert text.isascii()
        assert len(text.splitlines()) < 400, name
