"""Pushes to the devices of a user, through FCM's API on loopback: one row a device, and what becomes of each."""

import datetime
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from sqlalchemy import Engine, insert, select, update

from notifications.fcm import FcmPush
from notifications.links import Links
from pipelines.defs.dispatch import delivery
from storage import due, outbox, roles, sealing, tables
from storage.encryption import KeyRing, new_ring
from tests.fakes.fcm import SENT, Google, fcm, new_private_key, refusal
from tests.fakes.http import Answer, Asked, Reply
from tests.storage import rows

RING = new_ring()
KEYS = KeyRing.parse(RING)
MINUTE = datetime.timedelta(minutes=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Phones(Google):
    """Knows which registrations are still good; `gone` are not, `replies` says what else becomes of one."""

    gone: frozenset[str] = frozenset()
    replies: Mapping[str, Reply] = MappingProxyType({})

    def push(self, asked: Asked) -> Reply:
        registration = self.registration(asked)
        if registration in self.gone:
            return refusal(404, "NOT_FOUND", fcm("UNREGISTERED"))
        return self.replies.get(registration, SENT)

    @staticmethod
    def registration(asked: Asked) -> str:
        message = asked.json["message"]
        return str(message.get("token") or message["fid"])

    def reached(self) -> Counter[str]:
        return Counter(self.registration(asked) for asked in self.pushes)


@pytest.fixture(scope="module")
def private_key() -> str:
    return new_private_key()


@pytest.fixture
def phones(tmp_path: Path, private_key: str) -> Iterator[Phones]:
    with Phones(tmp_path, private_key) as fake:
        yield fake


@pytest.fixture
def lane(database_url: str, phones: Phones) -> Iterator[delivery.Lane]:
    channel = FcmPush(phones.write_account(), endpoint=phones.url, timeout_seconds=5.0)
    with delivery.transactions(database_url) as begin:
        yield delivery.Lane(begin, (channel,), Links("https://debitum.example"), now, KEYS)
    channel.close()


def user(database: Engine, *registrations: str) -> rows.Ledger:
    """A user with a push that is due, and a device a registration; and one more that takes no pushes."""
    at = now() - 2 * MINUTE
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        ledger.reminder(at, message="Ask for the drill", channels=["push"])
        sealed = _data_keys[ledger.id] = KEYS.new_data_key(str(ledger.id))
        connection.execute(update(tables.ledgers).where(tables.ledgers.c.id == ledger.id).values(data_key=sealed))
        for registration in (*registrations, None):
            device = {"user_id": ledger.user_id, "id": uuid.uuid4(), "name": "a phone", "created_at": at, "last_seen_at": at}
            connection.execute(insert(tables.devices).values(device | _target(ledger, device["id"], registration)))
        roles.enter(connection, roles.JOBS)
        for source in due.SOURCES:
            due.enqueue_page(connection, source, now=now())
    return ledger


_data_keys: dict[uuid.UUID, bytes] = {}


def _target(ledger: rows.Ledger, device_id: object, registration: str | None) -> dict[str, object]:
    if registration is None:
        return {}
    cipher = KEYS.cipher(str(ledger.id), _data_keys[ledger.id])
    kind = "fid" if registration.startswith("fid") else "token"
    found = sealing.push_fingerprints(KEYS, kind, registration)[0]
    value = sealing.store_push_target(cipher, device_id, registration)
    return {"push_kind": kind, "push_value": value, "push_fingerprint": found}


def keys_of(database: Engine) -> Counter[str]:
    with database.connect() as connection:
        return Counter(connection.scalars(select(tables.outbox.c.state)))


def targets(database: Engine) -> int:
    with database.connect() as connection:
        return len(connection.execute(select(tables.devices).where(tables.devices.c.push_value.is_not(None))).all())


def test_each_device_gets_one_and_a_second_run_sends_nothing(database: Engine, lane: delivery.Lane, phones: Phones) -> None:
    user(database, "token-a", "fid-b")
    user(database, "token-c")
    assert lane.drain(MINUTE) == delivery.Tally(sent=3, fanned_out=2)
    assert phones.reached() == {"token-a": 1, "fid-b": 1, "token-c": 1}
    assert lane.drain(MINUTE) == delivery.Tally()
    with database.begin() as connection:
        roles.enter(connection, roles.JOBS)
        for source in due.SOURCES:
            due.enqueue_page(connection, source, now=now())
    assert lane.drain(MINUTE) == delivery.Tally()


def test_a_target_that_is_gone_is_forgotten_and_the_others_go_on(database: Engine, lane: delivery.Lane, phones: Phones) -> None:
    user(database, "token-a", "token-b", "token-c")
    phones.gone = frozenset({"token-b"})
    assert lane.drain(MINUTE) == delivery.Tally(sent=2, dead=1, fanned_out=1)
    assert targets(database) == 2
    with database.connect() as connection:
        [dead] = connection.execute(select(tables.outbox.c.reason).where(tables.outbox.c.state == "dead")).scalars()
    assert dead == "target_gone"


def test_a_target_that_was_renewed_meanwhile_stays(database: Engine, lane: delivery.Lane, phones: Phones) -> None:
    """The device signed in anew while Google still refused the old registration."""
    ledger = user(database, "token-old")

    def renew(asked: Asked) -> Reply:
        with database.begin() as connection:
            device_id = connection.execute(
                select(tables.devices.c.id).where(tables.devices.c.push_value.is_not(None))
            ).scalar_one()
            connection.execute(
                update(tables.devices).where(tables.devices.c.id == device_id).values(_target(ledger, device_id, "token-new"))
            )
        return refusal(404, "NOT_FOUND", fcm("UNREGISTERED"))

    phones.push = renew  # type: ignore[method-assign]  # of this one alone
    assert lane.drain(MINUTE) == delivery.Tally(dead=1, fanned_out=1)
    assert targets(database) == 1


def test_one_device_that_fails_is_tried_again_alone(database: Engine, lane: delivery.Lane, phones: Phones) -> None:
    user(database, "token-a", "token-b")
    phones.replies = {"token-b": Answer(503, {"error": {"status": "UNAVAILABLE", "message": "busy"}})}
    assert lane.drain(MINUTE) == delivery.Tally(sent=1, failed=1, fanned_out=1)
    phones.replies = {}
    later = replace(lane, clock=lambda: now() + datetime.timedelta(hours=2))
    assert later.drain(MINUTE) == delivery.Tally(sent=1)
    assert phones.reached() == {"token-a": 1, "token-b": 2}


def test_a_device_that_stopped_taking_pushes_is_left_alone(database: Engine, lane: delivery.Lane, phones: Phones) -> None:
    user(database, "token-a")
    phones.replies = {"token-a": Answer(503, {"error": {"status": "UNAVAILABLE", "message": "busy"}})}
    lane.drain(MINUTE)
    with database.begin() as connection:
        connection.execute(update(tables.devices).values(push_kind=None, push_value=None, push_fingerprint=None))
    later = replace(lane, clock=lambda: now() + datetime.timedelta(hours=2))
    assert later.drain(MINUTE) == delivery.Tally(suppressed=1)
    assert keys_of(database) == {"suppressed": 2}, "the push to all of them too, so that a new one may be told"


def test_a_row_that_somebody_else_holds_by_now_is_not_fanned_out(database: Engine, lane: delivery.Lane) -> None:
    user(database, "token-a")
    with database.begin() as connection:
        roles.enter(connection, roles.JOBS)
        [claimed] = outbox.claim(connection, "push", now=now())
        outbox.release(connection, [claimed])
        outbox.claim(connection, "push", now=now())
        assert not outbox.fan_out(connection, claimed, [uuid.uuid4()], now=now())
    assert keys_of(database) == {"leased": 1}
