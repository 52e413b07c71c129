"""Digests: one message for all due dates of a day; what it tells is looked up when it goes out, and nothing is told twice."""

import datetime
import uuid

import pytest
from sqlalchemy import Connection, Engine, delete, insert, select, update

from domain import reminders as rules
from storage import digests, due, outbox, recipients, roles, tables
from tests.storage import rows
from tests.storage.test_due import DAY, HOUR, NOW, TODAY, tick
from tests.storage.test_recipients import load

LATER = NOW + due.DIGEST_DELAY
"""When a digest of NOW's run may go out."""
SETTINGS = {"channels": ["email"], "digest": True}


def states(connection: Connection) -> dict[str, str]:
    """Of all rows, by the first part of their keys and what they are about."""
    statement = select(tables.outbox.c.dedupe_key, tables.outbox.c.state, tables.outbox.c.reason)
    return {key: reason or state for key, state, reason in connection.execute(statement)}


def digest(ledger: rows.Ledger, day: datetime.date = TODAY, channel: str = "email") -> str:
    return f"digest:{ledger.user_id}:{day}:{channel}"


def told(connection: Connection, now: datetime.datetime = LATER) -> list[uuid.UUID]:
    """The transactions in the digest that is ready."""
    notice = load(connection, now)
    assert isinstance(notice, recipients.DigestNotice), notice
    return [debt.transaction_id for debt in notice.debts]


def sent(connection: Connection, now: datetime.datetime = LATER) -> None:
    """Whatever is ready goes out."""
    for channel in ("email", "push"):
        for row in outbox.claim(connection, channel, now=now):
            attempt = outbox.start(connection, row, "files", now=now)
            assert attempt is not None
            outbox.finish(connection, row, attempt, "sent", "250", now=now)


def test_all_that_is_due_on_a_day_is_told_at_once(connection: Connection) -> None:
    ledger, other = rows.ledger(connection, settings=SETTINGS), rows.ledger(connection)
    contact = ledger.contact()
    tomorrow = ledger.money(contact, due_date=TODAY + DAY)
    overdue = ledger.item(contact, due_date=TODAY - 7 * DAY)
    today = ledger.money(ledger.contact("Ben"), 700, due_date=TODAY)
    alone = other.money(other.contact(), due_date=TODAY)
    asked = ledger.reminder(NOW - HOUR)
    keys = tick(connection)
    assert {key.split(":")[1] for key in keys} == {str(each) for each in (tomorrow, overdue, today, alone, asked)}
    assert tick(connection) == []
    found = states(connection)
    assert {key for key, state in found.items() if state == "pending"} == {
        digest(ledger),
        f"due:{alone}:{TODAY}:0:email",
        f"reminder:{asked}:{NOW - HOUR:%FT%T}:email",  # it comes when the user wanted it
    }
    assert sorted(key for key, state in found.items() if state == digests.IN_DIGEST) == sorted(
        key for key in keys if key.startswith("due:") and str(alone) not in key
    )
    connection.execute(delete(tables.outbox).where(tables.outbox.c.state == "pending", tables.outbox.c.kind != "digest"))
    assert told(connection) == [overdue, today, tomorrow]


def test_it_waits_until_the_run_has_read_all_its_pages(connection: Connection) -> None:
    ledger = rows.ledger(connection, settings=SETTINGS)
    contact = ledger.contact()
    for day in range(-1, 2):
        ledger.money(contact, due_date=TODAY + day * DAY)
    connection.execute(update(tables.users).values(reminder_settings=SETTINGS | {"due_offsets_days": [-1, 0, 1]}))
    assert len(tick(connection, limit=1)) == 3
    assert outbox.claim(connection, "email", now=LATER - datetime.timedelta(seconds=1)) == []
    assert len(told(connection)) == 3


def test_what_is_settled_meanwhile_is_left_out_and_with_nothing_left_nothing_is_sent(connection: Connection) -> None:
    ledger = rows.ledger(connection, settings=SETTINGS)
    ada, ben = ledger.contact(), ledger.contact("Ben")
    paid, kept = ledger.money(ada, due_date=TODAY), ledger.money(ben, due_date=TODAY)
    tick(connection)
    ledger.money(ada, direction="owed", repays=paid)
    assert told(connection) == [kept]
    connection.execute(update(tables.outbox).where(tables.outbox.c.state == "leased").values(state="pending", lease_until=None))
    repayment = ledger.money(ben, direction="owed", repays=kept)
    assert load(connection, LATER) == recipients.Suppressed("settled")
    connection.execute(delete(tables.transactions).where(tables.transactions.c.id == repayment))
    assert tick(connection, LATER) == [f"due:{kept}:{TODAY}:0:email"]
    assert told(connection, LATER + due.DIGEST_DELAY) == [kept]


def test_what_a_digest_left_out_is_told_when_it_opens_again(connection: Connection) -> None:
    ledger = rows.ledger(connection, settings=SETTINGS)
    ada, ben = ledger.contact(), ledger.contact("Ben")
    paid, kept = ledger.money(ada, due_date=TODAY), ledger.money(ben, due_date=TODAY)
    tick(connection)
    repayment = ledger.money(ada, direction="owed", repays=paid)
    assert told(connection) == [kept]
    connection.execute(
        update(tables.outbox).where(tables.outbox.c.state == "leased").values(state="sent", lease_until=None, finished_at=LATER)
    )
    assert states(connection)[f"due:{paid}:{TODAY}:0:email"] == "settled"
    assert tick(connection, LATER) == []
    connection.execute(delete(tables.transactions).where(tables.transactions.c.id == repayment))
    assert tick(connection, LATER) == [f"due:{paid}:{TODAY}:0:email"]
    alone = load(connection, LATER)
    assert isinstance(alone, recipients.DueNotice)
    assert alone.debt.transaction_id == paid
    assert tick(connection, LATER + HOUR) == []


def test_a_digest_that_still_waits_takes_in_what_comes_later(connection: Connection) -> None:
    ledger = rows.ledger(connection, settings=SETTINGS)
    contact = ledger.contact()
    first = ledger.money(contact, due_date=TODAY)
    tick(connection)
    second = ledger.money(contact, due_date=TODAY)
    assert len(tick(connection)) == 1
    assert set(told(connection)) == {first, second}


@pytest.mark.parametrize("state", ["leased", "sent"])
def test_what_comes_after_the_digest_of_its_day_is_told_alone(connection: Connection, state: str) -> None:
    ledger = rows.ledger(connection, settings=SETTINGS)
    contact = ledger.contact()
    ledger.money(contact, due_date=TODAY)
    tick(connection)
    if state == "sent":
        sent(connection)
    else:
        outbox.claim(connection, "email", now=LATER)
    late = ledger.money(contact, due_date=TODAY)
    assert tick(connection, LATER) == [f"due:{late}:{TODAY}:0:email"]
    assert states(connection)[f"due:{late}:{TODAY}:0:email"] == "pending"
    assert tick(connection, LATER + HOUR) == []


def test_it_cannot_leave_while_something_is_put_into_it(database: Engine) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection, settings=SETTINGS)
        contact = ledger.contact()
        ledger.money(contact, due_date=TODAY)
        tick(connection)
        second = ledger.money(contact, due_date=TODAY)
    with database.connect() as finding, database.begin() as sending:
        with finding.begin():
            assert len(tick(finding)) == 1
            assert outbox.claim(sending, "email", now=LATER) == []
        assert second in told(sending)


@pytest.mark.parametrize("first", [True, False])
def test_who_changes_their_mind_gets_nothing_twice(connection: Connection, first: bool) -> None:
    ledger = rows.ledger(connection, settings=SETTINGS | {"digest": first})
    contact = ledger.contact()
    debts = [ledger.money(contact, due_date=TODAY) for _ in range(2)]
    tick(connection)
    connection.execute(update(tables.users).values(reminder_settings=SETTINGS | {"digest": not first}))
    assert tick(connection, LATER) == []
    if first:
        assert set(told(connection)) == set(debts)
    else:
        assert [row.kind for row in outbox.claim(connection, "email", now=LATER)] == ["due", "due"]


def test_a_digest_for_an_unproven_address_waits_for_its_proof(connection: Connection) -> None:
    ledger = rows.ledger(connection, settings=SETTINGS, email_verified_at=None)
    debt = ledger.money(ledger.contact(), due_date=TODAY)
    tick(connection)
    assert load(connection, LATER) == recipients.Suppressed("address_unverified")
    assert tick(connection, LATER) == []
    connection.execute(update(tables.users).values(email_verified_at=NOW))
    assert tick(connection, LATER) == [f"due:{debt}:{TODAY}:0:email"]
    assert told(connection, LATER + due.DIGEST_DELAY) == [debt]


def test_a_pushed_digest_goes_to_every_device(connection: Connection) -> None:
    ledger = rows.ledger(connection, settings=SETTINGS | {"channels": ["push"]})
    for name in ("phone", "tablet"):
        device = {"user_id": ledger.user_id, "id": uuid.uuid4(), "name": name, "created_at": NOW, "last_seen_at": NOW}
        target = {"push_kind": "token", "push_value": b"sealed", "push_fingerprint": name.encode()}
        connection.execute(insert(tables.devices).values(device | target))
    ledger.money(ledger.contact(), due_date=TODAY)
    tick(connection)
    several = load(connection, LATER)
    assert isinstance(several, recipients.Several)
    [row] = connection.execute(select(tables.outbox).where(tables.outbox.c.kind == "digest")).mappings()
    whole = outbox.Claimed(**{name: row[name] for name in outbox.Claimed.__struct_fields__})
    outbox.fan_out(connection, whole, several.device_ids, now=LATER)
    assert tick(connection, LATER) == []
    claimed = outbox.claim(connection, "push", now=LATER)
    assert len(claimed) == 2
    assert {one.cause for one in claimed} == {digest(ledger, channel="push")}
    roles.enter(connection, roles.JOBS)
    for one in claimed:
        assert isinstance(recipients.load(connection, one, local=True, keys=None, now=LATER), recipients.DigestNotice)


def test_each_day_and_channel_has_its_own(connection: Connection) -> None:
    ledger = rows.ledger(connection, settings=SETTINGS | {"channels": ["push", "email"]}, time_zone="Pacific/Kiritimati")
    contact = ledger.contact()
    now = datetime.datetime(2026, 11, 21, 19, 0, tzinfo=datetime.UTC)  # 09:00 of the 22nd there
    ledger.money(contact, due_date=TODAY)
    ledger.money(contact, due_date=TODAY + DAY)
    assert len(tick(connection, now)) == 4
    connection.execute(update(tables.users).values(reminder_settings=SETTINGS | {"due_offsets_days": [0]}))
    assert len(tick(connection, now + DAY)) == 1
    kept = {key for key, state in states(connection).items() if state == "pending"}
    assert kept == {digest(ledger), digest(ledger, channel="push"), digest(ledger, TODAY + DAY)}


def test_who_mutes_a_contact_hears_of_the_others_only(connection: Connection) -> None:
    ledger = rows.ledger(connection)
    muted, other = ledger.contact("Ada"), ledger.contact("Ben")
    ledger.money(muted, due_date=TODAY)
    heard = ledger.money(other, due_date=TODAY)
    asked = ledger.reminder(NOW - HOUR, contact_id=muted)
    quiet = rules.Settings(channels=("email",), muted_contacts=(muted,))
    stored = {"channels": ["email"], "muted_contacts": [str(muted)]}
    assert rules.read_settings(stored) == quiet
    connection.execute(update(tables.users).values(reminder_settings=stored))
    assert tick(connection) == [f"due:{heard}:{TODAY}:0:email", f"reminder:{asked}:{NOW - HOUR:%FT%T}:email"]


def test_who_mutes_a_contact_in_between_is_not_mailed(connection: Connection) -> None:
    ledger = rows.ledger(connection)
    contact = ledger.contact()
    ledger.money(contact, due_date=TODAY)
    tick(connection)
    stored = {"channels": ["email"], "muted_contacts": [str(contact)]}
    connection.execute(update(tables.users).values(reminder_settings=stored))
    assert load(connection) == recipients.Suppressed("rescheduled")


def test_reminders_that_one_sets_take_no_way_that_is_closed_to_them(connection: Connection) -> None:
    ledger = rows.ledger(connection, settings={"channels": ["email"], "explicit_channels": ["push"]})
    asked = ledger.reminder(NOW - HOUR, channels=["email", "push"])
    ledger.reminder(NOW - HOUR, channels=["email"])
    assert tick(connection) == [f"reminder:{asked}:{NOW - HOUR:%FT%T}:push"]
    connection.execute(update(tables.users).values(reminder_settings={"explicit_channels": []}))
    assert load(connection, local=True) == recipients.Suppressed("rescheduled")


def test_a_digest_tells_of_however_many(connection: Connection) -> None:
    ledger, other = rows.ledger(connection, settings={"digest": True}), rows.ledger(connection)
    ledger.money(ledger.contact(), due_date=TODAY)
    copies = "select (jsonb_populate_record(one, jsonb_build_object('id', gen_random_uuid()))).* from debitum.transactions one"
    connection.exec_driver_sql(f"insert into debitum.transactions {copies}, generate_series(2, 3000)")
    alone = other.reminder(NOW - HOUR)
    keys = tick(connection)  # with a parameter for each value this would be more than Postgres takes
    assert len([key for key in keys if key.startswith("due:")]) == 2 * 3_000
    assert any(str(alone) in key for key in keys)
    assert len(digests.covered(connection, ledger.id, digest(ledger))) == 3_000
