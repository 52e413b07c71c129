"""A push that became one for each device: whatever ends these, in whichever order or at once, it can be revived or stays sent."""

import datetime
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, select, text, update

from domain import delivery
from storage import outbox, outbox_keys, outbox_rows, roles, tables

NOW = datetime.datetime(2026, 11, 22, 9, 0, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(seconds=outbox.LEASE_SECONDS)
LEDGER = uuid.UUID("0190b2d2-0000-7000-8000-000000000001")
PHONE, TABLET = uuid.UUID(int=1), uuid.UUID(int=2)
WHOLE = outbox.Outgoing(ledger_id=LEDGER, dedupe_key="k", kind="due", channel="push", payload={}, next_at=NOW)
SENT = ("sent", outbox_keys.FANNED_OUT)

Ends = Callable[[Connection, outbox.Claimed], object]


@pytest.fixture
def connection(unchanged: Engine) -> Iterator[Connection]:
    with unchanged.connect() as connection:
        roles.enter(connection, roles.JOBS)
        yield connection


@contextmanager
def as_jobs(database: Engine) -> Iterator[Connection]:
    with database.begin() as connection:
        roles.enter(connection, roles.JOBS)
        yield connection


def revive(connection: Connection) -> bool:
    """Whether the run that finds what is due has it sent again."""
    return outbox.enqueue(connection, [WHOLE], now=NOW) == {(LEDGER, "k")}


def fan_out(connection: Connection) -> tuple[outbox.Claimed, outbox.Claimed]:
    """Enqueues it; the rows of the phone and of the tablet, leased."""
    outbox.enqueue(connection, [WHOLE], now=NOW)
    return fan_out_again(connection)


def fan_out_again(connection: Connection) -> tuple[outbox.Claimed, outbox.Claimed]:
    [whole] = outbox.claim(connection, "push", now=NOW)
    assert outbox.fan_out(connection, whole, [PHONE, TABLET], now=NOW)
    phone, tablet = sorted(outbox.claim(connection, "push", now=NOW), key=lambda row: row.dedupe_key)
    assert (phone.device_id, tablet.device_id) == (PHONE, TABLET)
    return phone, tablet


def whole(connection: Connection) -> tuple[str, str | None]:
    its = tables.outbox.c
    row = connection.execute(select(its.state, its.reason).where(its.dedupe_key == "k")).one()
    return row.state, row.reason


def suppress(connection: Connection, claimed: outbox.Claimed) -> None:
    assert outbox.suppress(connection, claimed, "settled", now=NOW)


def finishing(outcome: delivery.Outcome, calls: int = 0) -> Ends:
    """The call that follows `calls` others comes to `outcome`."""

    def finish(connection: Connection, claimed: outbox.Claimed) -> outbox.State | None:
        attempt = outbox.start(connection, claimed, "fcm", now=NOW)
        assert attempt is not None
        tried = outbox.Claimed(**{name: getattr(claimed, name) for name in claimed.__struct_fields__} | {"attempts": calls})
        return outbox.finish(connection, tried, attempt, outcome, "said so", now=NOW)

    return finish


def dying(connection: Connection, claimed: outbox.Claimed) -> None:
    """The sender dies over the last call; only of this row the lease has run out."""
    calls = delivery.MAX_ATTEMPTS["push"] - 1
    connection.execute(update(tables.outbox).where(tables.outbox.c.id == claimed.id).values(attempts=calls))
    assert outbox.start(connection, claimed, "fcm", now=NOW, lease_seconds=0) is not None
    assert outbox.recover(connection, now=NOW) == outbox.Recovered(rows=1, unknown=1)


DIE = [
    pytest.param(finishing("target_gone"), id="target gone"),
    pytest.param(finishing("permanent"), id="refused"),
    pytest.param(finishing("transient", calls=2), id="tried too often"),
    pytest.param(dying, id="sender dead"),
]


def test_a_push_that_no_device_wanted_any_more_is_revived_for_all_of_them(connection: Connection) -> None:
    first, second = fan_out(connection)
    suppress(connection, first)
    assert not revive(connection), "the other may be told yet"
    suppress(connection, second)
    assert revive(connection)
    first, second = fan_out_again(connection)
    finishing("sent")(connection, first)
    suppress(connection, second)
    assert not revive(connection), "one device has told it"


@pytest.mark.parametrize("die", DIE)
@pytest.mark.parametrize("order", [1, -1])
def test_a_push_that_one_device_did_not_want_and_the_other_could_not_take_is_revived(
    connection: Connection, die: Ends, order: int
) -> None:
    phone, tablet = fan_out(connection)
    for end, claimed in [(suppress, phone), (die, tablet)][::order]:
        assert whole(connection) == SENT
        end(connection, claimed)
    assert whole(connection) == ("suppressed", "settled")
    assert revive(connection)
    [again] = outbox.claim(connection, "push", now=NOW)
    assert outbox.fan_out(connection, again, [PHONE, TABLET], now=NOW)
    assert [row.device_id for row in outbox.claim(connection, "push", now=NOW)] == [PHONE], "who refused it is not asked again"
    assert whole(connection) == SENT


@pytest.mark.parametrize("die", DIE)
@pytest.mark.parametrize("other", [finishing("sent"), finishing("permanent")], ids=["sent", "refused"])
def test_a_push_that_one_device_got_or_all_refused_is_over(connection: Connection, die: Ends, other: Ends) -> None:
    phone, tablet = fan_out(connection)
    other(connection, phone)
    die(connection, tablet)
    assert whole(connection) == SENT
    assert not revive(connection)


def test_a_push_that_reached_a_device_after_it_was_given_up_is_over(connection: Connection) -> None:
    phone, tablet = fan_out(connection)
    dying(connection, tablet)
    suppress(connection, phone)
    assert whole(connection) == ("suppressed", "settled")
    assert outbox.finish(connection, tablet, 1, "sent", "said so", now=NOW) == "sent"
    assert whole(connection) == SENT
    assert not revive(connection), "one device has told it"


def test_a_push_of_which_an_operator_drops_the_last_device_is_revived_for_those_that_did_not_want_it(
    connection: Connection,
) -> None:
    phone, tablet = fan_out(connection)
    suppress(connection, phone)
    assert outbox_rows.drop(connection, [tablet.id], now=NOW) == 1
    assert whole(connection) == ("suppressed", "settled")
    assert revive(connection)
    [again] = outbox.claim(connection, "push", now=NOW)
    assert outbox.fan_out(connection, again, [PHONE, TABLET], now=NOW)
    assert [row.device_id for row in outbox.claim(connection, "push", now=NOW)] == [PHONE]


@pytest.mark.parametrize("all_of_them", [True, False])
def test_a_push_that_an_operator_has_tried_again_on_one_device_is_on_its_way(connection: Connection, all_of_them: bool) -> None:
    phone, tablet = fan_out(connection)
    suppress(connection, phone)
    finishing("permanent")(connection, tablet)
    assert whole(connection) == ("suppressed", "settled")
    assert outbox_rows.retry(connection, None if all_of_them else [tablet.id], now=NOW) == 1
    assert whole(connection) == SENT
    assert not revive(connection), "one device may be told yet"


def test_a_push_that_will_be_tried_again_is_on_its_way(connection: Connection) -> None:
    phone, tablet = fan_out(connection)
    suppress(connection, phone)
    finishing("transient")(connection, tablet)
    assert whole(connection) == SENT


def dropping(connection: Connection, claimed: outbox.Claimed) -> None:
    assert outbox_rows.drop(connection, [claimed.id], now=NOW) == 1


@pytest.mark.parametrize("end", [suppress, dropping, *DIE])
def test_two_that_end_the_last_two_devices_at_once_do_not_overlook_each_other(database: Engine, end: Ends) -> None:
    with as_jobs(database) as connection:
        phone, tablet = fan_out(connection)
    with beside(database, lambda connection: end(connection, tablet)) as (connection, other):
        suppress(connection, phone)
        other()
    with as_jobs(database) as connection:
        assert whole(connection) == ("suppressed", "settled")


def test_who_takes_back_a_device_that_somebody_suppresses_waits_and_finds_it_over(database: Engine) -> None:
    with as_jobs(database) as connection:
        phone, tablet = fan_out(connection)
        finishing("permanent")(connection, tablet)
        connection.execute(update(tables.outbox).where(tables.outbox.c.id == phone.id).values(attempts=3))
    found: list[outbox.Recovered] = []
    with beside(database, lambda connection: found.append(outbox.recover(connection, now=LATER))) as (connection, other):
        suppress(connection, phone)
        other()
    assert found == [outbox.Recovered(0, 0)]
    with as_jobs(database) as connection:
        assert whole(connection) == ("suppressed", "settled")


def test_who_succeeds_late_is_not_overlooked_by_who_suppresses_the_other_device(database: Engine) -> None:
    with as_jobs(database) as connection:
        phone, tablet = fan_out(connection)
        dying(connection, tablet)

    def finish(connection: Connection) -> None:
        assert outbox.finish(connection, tablet, 1, "sent", "said so", now=NOW) == "sent"

    with beside(database, finish) as (connection, other):
        suppress(connection, phone)
        other()
    with as_jobs(database) as connection:
        assert whole(connection) == SENT


def test_who_finishes_and_who_takes_back_do_not_wait_for_each_other(database: Engine) -> None:
    with as_jobs(database) as connection:
        phone, _ = fan_out(connection)
        attempt = outbox.start(connection, phone, "fcm", now=NOW)
        assert attempt is not None
    found: list[outbox.State | None] = []

    def finish(connection: Connection) -> None:
        found.append(outbox.finish(connection, phone, attempt, "transient", "busy", now=LATER))

    with beside(database, finish) as (connection, other):
        connection.execute(select(tables.outbox).where(tables.outbox.c.id == phone.id).with_for_update())
        other()
        assert outbox.recover(connection, now=LATER).rows == 2
    assert found == ["pending"]


@contextmanager
def beside(database: Engine, work: Callable[[Connection], object]) -> Iterator[tuple[Connection, Callable[[], None]]]:
    """A transaction, and what begins `work` in another and returns when that has ended or waits for a lock.

    The first one ends with the block, then the other; whatever `work` raised is raised.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            with as_jobs(database) as connection:
                work(connection)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)

    def begin() -> None:
        thread.start()
        waits = text("select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()")
        with database.connect().execution_options(isolation_level="AUTOCOMMIT") as looking:  # a transaction sees one moment
            while thread.is_alive() and looking.execute(waits).first() is None:
                time.sleep(0.01)

    with as_jobs(database) as connection:
        yield connection, begin
    thread.join()
    assert raised == []
