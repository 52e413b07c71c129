"""The outbox: one row a key, one holder a row, and nothing that is lost, sent early or overwritten."""

import datetime
import threading
import uuid
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select, update

from domain import delivery
from storage import account_mails, outbox, ready, roles, tables

NOW = datetime.datetime(2026, 11, 22, 9, 0, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
LATER = NOW + datetime.timedelta(seconds=outbox.LEASE_SECONDS)
LEDGER = uuid.UUID("0190b2d2-0000-7000-8000-000000000001")


def outgoing(key: str = "k", **members: Any) -> outbox.Outgoing:
    defaults: dict[str, Any] = {"ledger_id": LEDGER, "kind": "due", "channel": "email", "payload": {}, "next_at": NOW}
    return outbox.Outgoing(**(defaults | members), dedupe_key=key)


def enqueue(connection: Connection, *messages: outbox.Outgoing) -> set[str]:
    return {key for _, key in outbox.enqueue(connection, messages, now=NOW)}


def claim_one(connection: Connection, now: datetime.datetime = NOW, channel: delivery.Channel = "email") -> outbox.Claimed:
    (claimed,) = outbox.claim(connection, channel, now=now)
    return claimed


def state(connection: Connection, key: str = "k") -> tuple[str, str | None]:
    table = tables.outbox
    row = connection.execute(select(table.c.state, table.c.reason).where(table.c.dedupe_key == key)).one()
    return row.state, row.reason


def attempts(connection: Connection) -> list[tuple[int, str | None, bool]]:
    table = tables.delivery_attempts
    columns = (table.c.attempt, table.c.outcome, table.c.finished_at.is_not(None))
    return [(row[0], row[1], row[2]) for row in connection.execute(select(*columns).order_by(table.c.attempt))]


def send(connection: Connection, claimed: outbox.Claimed, outcome: delivery.Outcome, **options: Any) -> outbox.State | None:
    now = options.pop("now", NOW)
    attempt = outbox.start(connection, claimed, "files", now=now)
    assert attempt is not None
    return outbox.finish(connection, claimed, attempt, outcome, "250 ok", now=now, **options)


@pytest.fixture
def connection(unchanged: Engine) -> Any:
    with unchanged.connect() as connection:
        roles.enter(connection, roles.JOBS)
        yield connection


def test_a_key_is_enqueued_once(connection: Connection) -> None:
    assert enqueue(connection, outgoing("a"), outgoing("a"), outgoing("b")) == {"a", "b"}
    assert enqueue(connection, outgoing("a"), outgoing("c")) == {"c"}
    assert enqueue(connection, outgoing("a", ledger_id=uuid.uuid4())) == {"a"}
    assert enqueue(connection) == set()


@pytest.mark.parametrize("outcome", ["sent", "permanent"])
def test_a_key_that_is_over_is_not_sent_again(connection: Connection, outcome: delivery.Outcome) -> None:
    enqueue(connection, outgoing())
    send(connection, claim_one(connection), outcome)
    assert enqueue(connection, outgoing()) == set()
    assert outbox.claim(connection, "email", now=LATER) == []


def test_a_suppressed_key_is_revived(connection: Connection) -> None:
    enqueue(connection, outgoing())
    claimed = claim_one(connection)
    assert outbox.suppress(connection, claimed, "settled", now=NOW)
    assert state(connection) == ("suppressed", "settled")
    assert outbox.known(connection, {(LEDGER, "k"), (LEDGER, "x")}) == {(LEDGER, "k"): outbox.Known("suppressed", "settled")}
    assert enqueue(connection, outgoing(next_at=NOW + SECOND)) == {"k"}
    assert state(connection) == ("pending", None)
    assert outbox.claim(connection, "email", now=NOW) == []
    assert claim_one(connection, NOW + SECOND).fence > claimed.fence


def test_the_api_may_enqueue_for_the_ledgers_it_works_for(database: Engine) -> None:
    with database.begin() as connection:
        roles.enter(connection, roles.API, [LEDGER])
        mail = account_mails.verification(LEDGER, now=NOW)
        assert outbox.enqueue(connection, [mail], now=NOW) == {(LEDGER, mail.dedupe_key)}
        assert mail.payload == {}


def test_a_mailbox_gets_one_reset_mail_in_five_minutes() -> None:
    at = datetime.datetime(2026, 11, 24, 10, 44, 59, 5, tzinfo=datetime.UTC)
    asked = [account_mails.reset(LEDGER, now=at + datetime.timedelta(seconds=seconds)).dedupe_key for seconds in (-299, 0, 2)]
    assert asked == ["reset:2026-11-24T10:40Z", "reset:2026-11-24T10:40Z", "reset:2026-11-24T10:45Z"]


def test_mails_about_accounts_come_first_then_the_longest_ready(connection: Connection) -> None:
    enqueue(
        connection,
        outgoing("second", next_at=NOW - SECOND),
        outgoing("first", next_at=NOW - 2 * SECOND),
        outgoing("not yet", next_at=NOW + SECOND),
        outgoing("other way", channel="push"),
        outgoing("account", kind="verify"),
    )
    assert [row.dedupe_key for row in outbox.claim(connection, "email", now=NOW, limit=2)] == ["account", "first"]
    assert [row.dedupe_key for row in outbox.claim(connection, "email", now=NOW)] == ["second"]
    assert [row.dedupe_key for row in outbox.claim(connection, "push", now=NOW)] == ["other way"]


def test_two_claimers_never_hold_the_same_row(database: Engine) -> None:
    with database.begin() as connection:
        enqueue(connection, *(outgoing(f"{number:03}") for number in range(200)))
    claimed: list[uuid.UUID] = []
    together = threading.Barrier(2)

    def work() -> None:
        together.wait()
        while True:
            with database.begin() as connection:
                roles.enter(connection, roles.JOBS)
                mine = outbox.claim(connection, "email", now=NOW, limit=7)
            if not mine:
                return
            claimed.extend(row.id for row in mine)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 200


def test_a_claim_waits_for_nobody(database: Engine) -> None:
    with database.begin() as connection:
        enqueue(connection, outgoing("a"), outgoing("b"))
    with database.begin() as one, database.begin() as other:
        (first,) = outbox.claim(one, "email", now=NOW, limit=1)
        other.exec_driver_sql("set local lock_timeout = '100ms'")
        (second,) = outbox.claim(other, "email", now=NOW)
        assert {first.dedupe_key, second.dedupe_key} == {"a", "b"}


def test_a_call_is_written_down_before_it_is_made(connection: Connection) -> None:
    enqueue(connection, outgoing())
    claimed = claim_one(connection)
    assert outbox.start(connection, claimed, "files", now=NOW) == 1
    assert attempts(connection) == [(1, None, False)]
    assert outbox.finish(connection, claimed, 1, "sent", "250 ok", now=NOW) == "sent"
    assert attempts(connection) == [(1, "sent", True)]
    assert state(connection) == ("sent", None)


def test_an_expired_lease_is_taken_back_and_its_call_counts_as_unknown(connection: Connection) -> None:
    enqueue(connection, outgoing("called"), outgoing("not called"))
    called, _ = sorted(outbox.claim(connection, "email", now=NOW), key=lambda row: row.dedupe_key)
    assert outbox.start(connection, called, "files", now=NOW) == 1
    assert outbox.recover(connection, now=LATER - SECOND) == outbox.Recovered(0, 0)
    assert not ready.anything(connection, now=LATER - SECOND, channels=["email"])
    assert ready.anything(connection, now=LATER, channels=["email"])
    assert ready.backlog(connection, now=LATER) == ready.Backlog(2, NOW)
    assert outbox.recover(connection, now=LATER) == outbox.Recovered(rows=2, unknown=1)
    assert attempts(connection) == [(1, None, True)]
    again = {row.dedupe_key: row for row in outbox.claim(connection, "email", now=LATER)}
    assert {key: row.attempts for key, row in again.items()} == {"called": 1, "not called": 0}
    assert again["called"].fence == called.fence + 1
    assert outbox.start(connection, again["called"], "files", now=LATER) == 2
    assert outbox.recover(connection, now=LATER + (LATER - NOW)) == outbox.Recovered(rows=2, unknown=1)


def test_whoever_lost_the_lease_overwrites_nothing(connection: Connection) -> None:
    enqueue(connection, outgoing())
    slow = claim_one(connection)
    assert outbox.start(connection, slow, "files", now=NOW) == 1
    outbox.recover(connection, now=LATER)
    fast = claim_one(connection, LATER)
    assert outbox.start(connection, slow, "files", now=LATER) is None
    assert not outbox.suppress(connection, slow, "settled", now=LATER)
    assert outbox.release(connection, [slow]) == 0
    assert outbox.finish(connection, slow, 1, "permanent", "550 no", now=LATER) is None
    assert state(connection) == ("leased", None)
    assert send(connection, fast, "sent", now=LATER) == "sent"
    assert attempts(connection) == [(1, "permanent", True), (2, "sent", True)]


def test_an_answer_that_comes_late_counts_while_nobody_else_has_claimed(connection: Connection) -> None:
    enqueue(connection, outgoing())
    slow = claim_one(connection)
    outbox.start(connection, slow, "files", now=NOW)
    outbox.recover(connection, now=LATER)
    assert outbox.finish(connection, slow, 1, "sent", "250 ok", now=LATER) == "sent"
    assert outbox.claim(connection, "email", now=LATER) == []


def test_starting_a_call_renews_the_lease(connection: Connection) -> None:
    enqueue(connection, outgoing())
    claimed = claim_one(connection)
    outbox.start(connection, claimed, "files", now=LATER - SECOND)
    assert outbox.recover(connection, now=LATER).rows == 0


@pytest.mark.parametrize(("channel", "calls"), [("email", 5), ("push", 3)])
@pytest.mark.parametrize("outcome", ["transient", "unknown"])
def test_transient_failures_come_back_until_no_call_is_left(
    connection: Connection, channel: delivery.Channel, calls: int, outcome: delivery.Outcome
) -> None:
    enqueue(connection, outgoing(channel=channel))
    now, states = NOW, []
    for _ in range(calls):
        (claimed,) = outbox.claim(connection, channel, now=now)
        states.append(send(connection, claimed, outcome, now=now, jitter=lambda: 1.0))
        assert outbox.claim(connection, channel, now=now) == []
        now += datetime.timedelta(hours=1)
    assert states == ["pending"] * (calls - 1) + ["dead"]
    assert state(connection) == ("dead", "attempts_exhausted")


def test_a_sender_that_dies_over_the_last_call_leaves_a_dead_row(connection: Connection) -> None:
    enqueue(connection, outgoing())
    connection.execute(update(tables.outbox).values(attempts=4))
    outbox.start(connection, claim_one(connection), "files", now=NOW)
    assert outbox.recover(connection, now=LATER) == outbox.Recovered(rows=1, unknown=1)
    assert state(connection) == ("dead", "attempts_exhausted")


def test_no_call_is_made_before_the_provider_allows_it(connection: Connection) -> None:
    enqueue(connection, outgoing())
    allowed = NOW + datetime.timedelta(hours=3)
    assert send(connection, claim_one(connection), "transient", retry_at=allowed, jitter=lambda: 1.0) == "pending"
    assert outbox.claim(connection, "email", now=allowed - SECOND) == []
    assert claim_one(connection, allowed).attempts == 1


def test_back_off_doubles_up_to_an_hour_with_full_jitter() -> None:
    assert [delivery.backoff_seconds(calls, 1.0) for calls in range(1, 8)] == [120, 240, 480, 960, 1920, 3600, 3600]
    assert delivery.backoff_seconds(3, 0.0) == 0
    assert delivery.backoff_seconds(3, 0.5) == 240


@pytest.mark.parametrize("outcome", ["permanent", "target_gone"])
def test_what_will_never_be_accepted_is_dead_at_once(connection: Connection, outcome: delivery.Outcome) -> None:
    enqueue(connection, outgoing())
    assert send(connection, claim_one(connection), outcome) == "dead"
    assert state(connection) == ("dead", outcome)


def test_a_channel_that_is_down_costs_no_message_an_attempt(connection: Connection) -> None:
    enqueue(connection, outgoing("a"), outgoing("b"), outgoing("c", channel="push"))
    first, second = outbox.claim(connection, "email", now=NOW)
    assert send(connection, first, "channel_down", now=NOW + SECOND) == "pending"
    assert outbox.release(connection, [second]) == 1
    assert not ready.anything(connection, now=NOW, channels=[])
    assert ready.anything(connection, now=NOW, channels=["push"])
    assert len(outbox.claim(connection, "push", now=NOW)) == 1
    assert not ready.anything(connection, now=NOW, channels=["push"])
    behind = outbox.claim(connection, "email", now=NOW + SECOND)
    assert [(row.id, row.attempts) for row in behind] == [(second.id, 0), (first.id, 0)]
    assert attempts(connection) == [(1, "channel_down", True)]


def test_what_waits_is_counted(connection: Connection) -> None:
    assert ready.backlog(connection, now=NOW) == ready.Backlog(0, None)
    enqueue(connection, outgoing("a", next_at=NOW - SECOND), outgoing("b"), outgoing("c", next_at=LATER))
    assert ready.backlog(connection, now=NOW) == ready.Backlog(2, NOW - SECOND)
    assert ready.anything(connection, now=NOW, channels=["email", "push"])
