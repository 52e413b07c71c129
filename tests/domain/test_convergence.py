"""Three devices, a network that loses, delays and repeats, wrong clocks and a restored backup: in the end all agree."""

import contextlib
import datetime
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from domain import errors
from domain.fold import Ledger, fold
from tests.domain.device import Device, Server
from tests.factories import Chaos

DEVICES = st.integers(0, 2)
REPEATED = st.integers(0, 9).map(lambda dice: dice < 3)
ROUNDS = 12
"""Syncs of every device after which nothing may be left to say: each brings at least one waiting command home."""


def present(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what is null: a device that folds knows of no other fields."""
    return {name: value for name, value in fields.items() if value is not None}


class Sync(RuleBasedStateMachine):
    """The rules; `teardown` is the proof."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.chaos, self.server = Chaos(seed), Server()
        self.devices = [Device(device_id) for device_id in self.chaos.devices]
        self.delayed: list[tuple[list[Any], bytes | None]] = []
        self.backups = [self.server.backup()]
        self.acknowledged: set[str] = set()
        self.restored = False

    @rule(device=DEVICES, hours=st.integers(-24, 24), count=st.integers(1, 4))
    def act(self, device: int, hours: int, count: int) -> None:
        """The user does something, online or not; what the clock says is shown and orders nothing."""
        for _ in range(count):
            said = datetime.datetime(2026, 11, 22, 20, tzinfo=datetime.UTC) + datetime.timedelta(hours=hours)
            command = self.chaos.next(self.devices[device].version)
            self.devices[device].act(msgspec.structs.replace(command, id=self.chaos.fresh_id(), timestamp=said.isoformat()))

    @rule(device=DEVICES, repeated=REPEATED, lost=st.integers(0, 9).map(lambda dice: dice < 2), limit=st.integers(1, 20))
    def push(self, device: int, repeated: bool, lost: bool, limit: int) -> None:
        """A push arrives; its reply may be lost, and the network may keep a copy for later."""
        sender = self.devices[device]
        items, base_hash = sender.request(limit)
        if repeated:
            self.delayed.append((items, base_hash))
        try:
            outcomes = self.server.push(items, base_hash)
        except errors.Reset:
            if not lost:
                sender.start_over(self.server)
            return
        if not lost:
            sender.settle(outcomes)
            self.acknowledged |= {outcome.id for outcome in outcomes if outcome.status != "rejected"}
        self.chaos.hear_of(items, outcomes)

    @rule(data=st.data())
    def deliver_what_was_delayed(self, data: st.DataObject) -> None:
        if self.delayed:
            items, base_hash = self.delayed[data.draw(st.integers(0, len(self.delayed) - 1))]
            with contextlib.suppress(errors.Reset):
                self.server.push(items, base_hash)

    @rule(device=DEVICES, limit=st.integers(1, 30))
    def pull_a_page(self, device: int, limit: int) -> None:
        puller = self.devices[device]
        try:
            puller.fold(self.server.pull(puller.version, puller.hashes[-1] if puller.hashes else None, limit))
        except errors.Reset:
            puller.start_over(self.server)

    @rule()
    def take_a_backup(self) -> None:
        self.backups.append(self.server.backup())

    @rule(data=st.data())
    def restore_a_backup(self, data: st.DataObject) -> None:
        if len(self.backups) > 1 and data.draw(st.integers(0, 3)) == 0:
            chosen = data.draw(st.integers(0, len(self.backups) - 1))
            self.server.book = self.backups[chosen]
            self.backups = [self.server.backup() for _ in range(1)]
            self.restored = True

    @invariant()
    def the_log_folds_to_the_state(self) -> None:
        if not hasattr(self, "server"):
            return
        again = Ledger("l")
        for known in self.server.log():
            again.take(fold(again, known.fact()))
        assert again.entities == self.server.book.ledger.entities
        assert again.conflicts == self.server.book.ledger.conflicts

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        for _ in range(ROUNDS):
            for device in self.devices:
                device.sync(self.server)
        head = (self.server.book.ledger.version, self.server.book.ledger.hash)
        entities = self.server.book.ledger.entities.items()
        state = {key: present(entity.fields | {"deleted_at": entity.deleted_at}) for key, entity in entities}
        for device in self.devices:
            device.sync(self.server)
            assert (device.version, device.hashes[-1] if device.hashes else None) == head
            folded = {key: present(fields) for key, fields in device.state.items()}
            assert folded == state
            for item in device.own:
                assert item.id in device.seen or item.id in device.refused, "something that a device did was lost"
        if not self.restored:
            assert self.acknowledged <= set(self.server.book.known)


def test_three_devices_agree_in_the_end() -> None:
    chosen = settings.default
    assert chosen is not None
    examples = max(100, chosen.max_examples)
    run_state_machine_as_test(Sync, settings=settings(chosen, max_examples=examples, stateful_step_count=40))
