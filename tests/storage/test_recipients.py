"""What a message will say is read when it is sent, and whether it is still wanted is looked at again."""

import datetime
import hashlib
import uuid
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select, update

from storage import account_mails, outbox, recipients, roles, tables
from tests.storage import rows
from tests.storage.test_due import DAY, HOUR, MINUTE, NOW, TODAY, tick


def load(
    connection: Connection, now: datetime.datetime = NOW, *, local: bool = False
) -> recipients.Notice | recipients.Several | recipients.Suppressed | recipients.Later:
    """What dispatch would say of the one row that is ready, as the jobs role."""
    roles.enter(connection, roles.JOBS)
    claimed = [row for channel in ("email", "push") for row in outbox.claim(connection, channel, now=now)]
    (row,) = claimed
    notice = recipients.load(connection, row, local=local, keys=None, now=now)
    if isinstance(notice, recipients.Suppressed):
        outbox.suppress(connection, row, notice.reason, now=now)
    connection.exec_driver_sql("reset role")
    return notice


def test_what_is_said_is_read_when_it_is_sent(connection: Connection) -> None:
    ledger = rows.ledger(connection, name="Max", locale="de-DE", time_zone="Europe/Berlin")
    contact = ledger.contact("Ada")
    money = ledger.money(contact, 2_000, due_date=TODAY, description="Lunch")
    tick(connection)
    connection.execute(update(tables.contacts).values(name="Ada Lovelace"))
    ledger.money(contact, 500, direction="owed")
    notice = load(connection)
    assert notice == recipients.DueNotice(
        recipients.User(
            id=ledger.user_id, email=f"{ledger.user_id}@example.org", name="Max", locale="de-DE", time_zone="Europe/Berlin"
        ),
        recipients.Debt(
            transaction_id=money,
            contact_id=contact,
            contact="Ada Lovelace",
            direction="lent",
            amount=2_000,
            open_amount=1_500,
            currency="EUR",
            item=None,
            description="Lunch",
            transaction_date=datetime.date(2026, 1, 1),
            due_date=TODAY,
        ),
    )


def test_a_reminder_says_what_it_is_about(connection: Connection) -> None:
    ledger = rows.ledger(connection)
    contact = ledger.contact("Ada")
    drill = ledger.item(contact, "Drill")
    ledger.reminder(NOW, message="Ask", contact_id=contact, transaction_id=drill, time_zone="Europe/Berlin")
    tick(connection)
    notice = load(connection)
    assert isinstance(notice, recipients.ReminderNotice)
    assert notice.debt is not None
    assert (notice.at.isoformat(), notice.message, notice.contact) == ("2026-11-22T10:02:00+01:00", "Ask", "Ada")
    assert (notice.debt.item, notice.debt.open_amount) == ("Drill", 1)


CHANGES: dict[str, tuple[str, dict[str, Any], recipients.Reason]] = {
    "the debt is deleted": ("transactions", {"deleted_seq": 9, "deleted_at": NOW, "changed_seq": 9}, "gone"),
    "the date has moved": ("transactions", {"due_date": TODAY + DAY}, "rescheduled"),
    "the date is taken away": ("transactions", {"due_date": None, "due_changed_at": None}, "rescheduled"),
    "the user wants no mail": ("users", {"reminder_settings": {"channels": ["push"]}}, "rescheduled"),
    "the address is not proven": ("users", {"email_verified_at": None}, "address_unverified"),
    "the user is leaving": ("users", {"deleting_at": NOW}, "gone"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_due_date_is_looked_at_again(connection: Connection, change: tuple[str, dict[str, Any], recipients.Reason]) -> None:
    table, columns, reason = change
    ledger = rows.ledger(connection)
    ledger.money(ledger.contact(), due_date=TODAY)
    tick(connection)
    connection.execute(update(tables.metadata.tables[f"debitum.{table}"]).values(columns))
    assert load(connection) == recipients.Suppressed(reason)


REMINDER_CHANGES: dict[str, tuple[dict[str, Any], recipients.Reason]] = {
    "it is done": ({"done_at": NOW}, "done"),
    "it is deleted": ({"deleted_seq": 9, "deleted_at": NOW, "changed_seq": 9}, "gone"),
    "it has moved": ({"remind_at": NOW + MINUTE}, "rescheduled"),
}
RULE_CHANGES: dict[str, tuple[dict[str, Any], recipients.Reason | None]] = {
    "nothing": ({}, None),
    "it is done": ({"done_at": NOW}, "done"),
    "it has another rule": ({"repeat": "FREQ=DAILY;INTERVAL=7"}, "rescheduled"),
    "it repeats no more": ({"repeat": None, "repeat_days": None}, "rescheduled"),
    "its zone has moved it": ({"time_zone": "Asia/Tokyo"}, "rescheduled"),
    "it came to its end": ({"repeat": "FREQ=DAILY;UNTIL=20261121"}, "rescheduled"),
}


@pytest.mark.parametrize("change", RULE_CHANGES.values(), ids=RULE_CHANGES)
def test_an_occurrence_of_a_rule_is_looked_at_again(
    connection: Connection, change: tuple[dict[str, Any], recipients.Reason | None]
) -> None:
    columns, reason = change
    rows.ledger(connection).reminder(NOW - 5 * DAY, repeat="FREQ=DAILY")
    assert len(tick(connection)) == 1
    if columns:
        connection.execute(update(tables.reminders).values(columns))
    notice = load(connection)
    if reason is None:
        assert isinstance(notice, recipients.ReminderNotice)
        assert notice.at == NOW
    else:
        assert notice == recipients.Suppressed(reason)


@pytest.mark.parametrize("change", REMINDER_CHANGES.values(), ids=REMINDER_CHANGES)
def test_a_reminder_is_looked_at_again(connection: Connection, change: tuple[dict[str, Any], recipients.Reason]) -> None:
    columns, reason = change
    rows.ledger(connection).reminder(NOW)
    tick(connection)
    connection.execute(update(tables.reminders).values(columns))
    assert load(connection) == recipients.Suppressed(reason)


@pytest.mark.parametrize("kind", ["due", "reminder"])
def test_a_debt_that_is_settled_in_between_sends_nothing_until_it_is_open_again(connection: Connection, kind: str) -> None:
    ledger = rows.ledger(connection)
    contact = ledger.contact()
    money = ledger.money(contact, due_date=TODAY if kind == "due" else None)
    if kind == "reminder":
        ledger.reminder(NOW, transaction_id=money)
    keys = tick(connection)
    repayment = ledger.money(contact, direction="owed")
    assert load(connection) == recipients.Suppressed("settled")
    assert tick(connection) == []
    connection.execute(delete(tables.transactions).where(tables.transactions.c.id == repayment))
    assert tick(connection) == keys
    assert isinstance(load(connection), recipients.DueNotice | recipients.ReminderNotice)


def test_an_unproven_address_waits_for_its_proof(connection: Connection) -> None:
    ledger = rows.ledger(connection, email_verified_at=None)
    ledger.reminder(NOW)
    keys = tick(connection)
    assert load(connection) == recipients.Suppressed("address_unverified")
    assert tick(connection) == []
    connection.execute(update(tables.users).values(email_verified_at=NOW))
    assert tick(connection) == keys


def test_an_address_that_refuses_mails_is_left_alone_until_it_takes_them(connection: Connection) -> None:
    ledger = rows.ledger(connection, mail_problem="bounced", mail_problem_at=NOW)
    ledger.reminder(NOW)
    keys = tick(connection)
    assert load(connection) == recipients.Suppressed("address_refuses")
    assert tick(connection) == []
    connection.execute(update(tables.users).values(mail_problem=None, mail_problem_at=None))
    assert tick(connection) == keys


def test_quiet_hours_hold_for_what_has_waited_into_them_and_not_for_what_was_asked_for(connection: Connection) -> None:
    quiet = {"from": "22:00", "to": "07:00"}
    ledger = rows.ledger(connection, settings={"channels": ["email"], "quiet_hours": quiet}, time_zone="Asia/Tokyo")
    ledger.money(ledger.contact(), due_date=TODAY)
    midnight, seven = (datetime.datetime(2026, 11, 22, hour, tzinfo=datetime.UTC) for hour in (15, 22))
    tick(connection, midnight - 3 * HOUR)
    for now in (midnight - 2 * HOUR, midnight, seven - MINUTE):
        assert load(connection, now) == recipients.Later(seven)
        connection.execute(update(tables.outbox).values(state="pending", lease_until=None))
    assert isinstance(load(connection, seven), recipients.DueNotice)
    ledger.reminder(midnight)
    tick(connection, midnight)
    assert isinstance(load(connection, midnight), recipients.ReminderNotice)


def test_messages_that_stay_on_this_machine_need_no_proof_and_no_device(connection: Connection) -> None:
    ledger = rows.ledger(connection, email_verified_at=None)
    for channel in ("email", "push"):
        ledger.reminder(NOW, channels=[channel])
        tick(connection)
        assert isinstance(load(connection, local=True), recipients.ReminderNotice)


def test_a_push_without_a_device_waits_for_one(connection: Connection) -> None:
    ledger = rows.ledger(connection)
    ledger.reminder(NOW, channels=["push"])
    keys = tick(connection)
    assert load(connection) == recipients.Suppressed("no_target")
    assert tick(connection) == []
    device_id = uuid.uuid4()
    device = {"user_id": ledger.user_id, "id": device_id, "name": "phone", "created_at": NOW, "last_seen_at": NOW}
    connection.execute(tables.devices.insert().values(push_kind="fid", push_value=b"x", push_fingerprint=b"y", **device))
    assert tick(connection) == keys
    assert load(connection) == recipients.Several((device_id,))


def test_the_token_of_a_verification_is_minted_when_it_is_sent(connection: Connection) -> None:
    ledger = rows.ledger(connection, email_verified_at=None)
    mail = account_mails.verification(ledger.id, now=NOW)
    outbox.enqueue(connection, [mail], now=NOW)
    assert connection.execute(select(tables.one_time_tokens)).all() == []
    notice = load(connection)
    assert isinstance(notice, recipients.AccountNotice)
    assert notice.purpose == "verify"
    token = connection.execute(select(tables.one_time_tokens)).mappings().one()
    assert token["hash"] == hashlib.sha256(notice.token.encode()).digest()
    assert (token["user_id"], token["purpose"], token["used_at"]) == (ledger.user_id, "verify", None)
    assert token["expires_at"] - token["created_at"] == datetime.timedelta(hours=notice.valid_hours)
    assert notice.token not in str(connection.execute(select(tables.outbox)).all())


def test_the_token_of_a_reset_is_minted_when_it_is_sent_for_whatever_address(connection: Connection) -> None:
    ledger = rows.ledger(connection, email_verified_at=None)
    mail = account_mails.reset(ledger.id, now=NOW)
    outbox.enqueue(connection, [mail], now=NOW)
    assert connection.execute(select(tables.one_time_tokens)).all() == []
    notice = load(connection)
    assert isinstance(notice, recipients.AccountNotice)
    assert notice.purpose == "reset"
    token = connection.execute(select(tables.one_time_tokens)).mappings().one()
    assert token["hash"] == hashlib.sha256(notice.token.encode()).digest()
    assert (token["user_id"], token["purpose"], token["used_at"]) == (ledger.user_id, "reset", None)
    assert token["expires_at"] - token["created_at"] == datetime.timedelta(hours=1)


def test_a_proven_address_needs_no_verification(connection: Connection) -> None:
    ledger = rows.ledger(connection)
    outbox.enqueue(connection, [account_mails.verification(ledger.id, now=NOW)], now=NOW)
    assert load(connection) == recipients.Suppressed("done")
    assert connection.execute(select(tables.one_time_tokens)).all() == []


def test_a_user_who_is_erased_is_gone(connection: Connection) -> None:
    outbox.enqueue(connection, [account_mails.verification(uuid.uuid4(), now=NOW)], now=NOW)
    assert load(connection) == recipients.Suppressed("gone")
