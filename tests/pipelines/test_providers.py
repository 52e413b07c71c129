"""What becomes of messages when providers fail, are down or hang: none is burnt, and another provider takes over."""

import datetime
import os
import signal
import threading
import time
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Connection, Engine, select, update

from notifications import channels
from notifications.links import Links
from notifications.message import EmailTarget
from notifications.smtp import SmtpMail, parse_url
from pipelines.defs import resources
from pipelines.defs.dispatch import assets, delivery, jobs
from storage import circuits, due, roles, tables
from tests.fakes import smtp
from tests.fakes.http import Answer, Asked, FakeHttp
from tests.pipelines import test_pushes
from tests.pipelines.test_dispatch import MINUTE, dispatch, enqueue_reminders, now, outcomes, states
from tests.pipelines.test_dispatch import environment as environment  # the fixtures
from tests.pipelines.test_dispatch import lane as lane
from tests.pipelines.test_dispatch import mail_server as mail_server
from tests.storage import rows


@pytest.mark.parametrize(
    ("reply", "counts", "outcome"),
    [
        ("450 4.2.1 try again", {"failed": 1, "still_ready": 0}, "transient"),
        ("550 5.1.1 no such user", {"dead": 1}, "permanent"),
        (smtp.DROP, {"failed": 1}, "transient"),
    ],
)
def test_what_the_server_answers_decides(
    database: Engine,
    database_url: str,
    tmp_path: Path,
    environment: pytest.MonkeyPatch,
    mail_server: smtp.FakeSmtp,
    reply: str,
    counts: dict[str, int],
    outcome: str,
) -> None:
    environment.setenv("SMTP_URL", f"smtp://127.0.0.1:{mail_server.port}?timeout=2")
    enqueue_reminders(database, 1)
    mail_server.replies["RCPT"] = reply
    reported = dispatch(database_url, tmp_path)
    assert {name: reported.get(name, 0) for name in counts} == counts
    assert outcomes(database) == [outcome]
    mail_server.replies.clear()
    with database.begin() as connection:
        connection.execute(update(tables.outbox).where(tables.outbox.c.state == "pending").values(next_at=now()))
    assert dispatch(database_url, tmp_path).get("sent", 0) == len(mail_server.mails) == (outcome != "permanent")


def test_a_channel_that_is_down_burns_no_messages(
    database: Engine, database_url: str, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mail").write_text("a file in the folder's place")
    enqueue_reminders(database, 3)
    down = {"still_ready": 3, "providers_down": 1}
    reported = dispatch(database_url, tmp_path)
    assert {name: reported[name] for name in down} == down
    assert 1 <= reported["channel_down"] == len(outcomes(database)) <= jobs.SENDERS
    again = dispatch(database_url, tmp_path)
    assert again.keys() - {"oldest_pending_seconds"} == down.keys()
    with database.connect() as connection:
        assert set(connection.scalars(select(tables.outbox.c.attempts))) == {0}


def test_a_provider_whose_setting_cannot_be_used_holds_up_no_other(
    database: Engine, database_url: str, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    """It is down, as one that refuses everybody: told by the check, tried again, and its messages wait."""
    (tmp_path / "account.json").write_text("{")
    environment.setenv("FCM_CREDENTIALS", str(tmp_path / "account.json"))
    environment.setenv("DEBITUM_KEYS", test_pushes.RING)
    enqueue_reminders(database, 2)
    with database.begin() as connection:
        for ledger_id in connection.scalars(select(tables.ledgers.c.id)).all():
            sealed = test_pushes.KEYS.new_data_key(str(ledger_id))
            connection.execute(update(tables.ledgers).where(tables.ledgers.c.id == ledger_id).values(data_key=sealed))
    test_pushes.user(database, "token-a")
    reported = dispatch(database_url, tmp_path)
    assert (reported["email_sent"], reported["push_channel_down"], reported["providers_down"]) == (2, 1, 1)
    with database.connect() as connection:
        [down] = circuits.opened(connection, {"push": ["fcm"]})
    assert down.detail.startswith("FCM_CREDENTIALS: ")
    assert states(database)["pending"] == 1


def test_where_one_provider_is_down_the_next_one_sends(
    database: Engine, database_url: str, tmp_path: Path, environment: pytest.MonkeyPatch, mail_server: smtp.FakeSmtp
) -> None:
    with FakeHttp(lambda _: Answer(401, {"errors": [{"message": "the key is revoked"}]})) as sendgrid:
        environment.setenv("SENDGRID_API_KEY", "SG.revoked")
        environment.setenv("SENDGRID_HOST", sendgrid.url)
        environment.setenv("SMTP_URL", f"smtp://127.0.0.1:{mail_server.port}?timeout=2")
        enqueue_reminders(database, 30)
        reported = dispatch(database_url, tmp_path)
        assert (reported["sent"], reported["providers_down"], len(mail_server.mails)) == (30, 1, 30)
        assert 1 <= reported["channel_down"] == len(sendgrid.asked) <= jobs.SENDERS
        enqueue_reminders(database, 1)
        assert dispatch(database_url, tmp_path) == {"sent": 1, "email_sent": 1, "providers_down": 1}
        assert len(sendgrid.asked) == reported["channel_down"]


def test_where_one_provider_fails_the_next_attempt_is_the_others(
    database: Engine, database_url: str, tmp_path: Path, environment: pytest.MonkeyPatch, mail_server: smtp.FakeSmtp
) -> None:
    with FakeHttp(lambda _: Answer(500, {})) as sendgrid:
        environment.setenv("SENDGRID_API_KEY", "SG.x")
        environment.setenv("SENDGRID_HOST", sendgrid.url)
        environment.setenv("SMTP_URL", f"smtp://127.0.0.1:{mail_server.port}?timeout=2")
        enqueue_reminders(database, 1)
        assert dispatch(database_url, tmp_path)["failed"] == 1
        with database.begin() as connection:
            connection.execute(update(tables.outbox).values(next_at=now()))
        assert dispatch(database_url, tmp_path) == {"sent": 1, "email_sent": 1}
        assert (len(sendgrid.asked), len(mail_server.mails)) == (1, 1)


def test_a_provider_that_was_down_is_tried_with_one_message(database: Engine, lane: delivery.Lane, tmp_path: Path) -> None:
    """Several find that it is time; one of them tries, and what it learns is good for all."""
    enqueue_reminders(database, 25)
    blocker = tmp_path / "mail"
    blocker.write_text("a file in the folder's place")
    assert lane.drain(MINUTE) == delivery.Tally(channel_down=1)
    assert lane.drain(MINUTE) == delivery.Tally()
    later = replace(lane, clock=lambda: now() + circuits.PAUSE)
    tallies: list[delivery.Tally] = []
    threads = [threading.Thread(target=lambda: tallies.append(later.drain(MINUTE))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tally.channel_down for tally in tallies) == 1
    blocker.unlink()
    much_later = replace(lane, clock=lambda: now() + 2 * circuits.PAUSE)
    assert much_later.drain(MINUTE) == delivery.Tally(sent=25)
    with database.connect() as connection:
        assert circuits.opened(connection, {"email": ["files", "smtp"]}) == []
        assert set(connection.scalars(select(tables.outbox.c.attempts))) == {1}


def test_a_provider_that_is_back_in_somebodys_quiet_hours_is_tried_with_what_others_wait_for(
    database: Engine, lane: delivery.Lane
) -> None:
    at, hour = now() - 120 * MINUTE, 60 * MINUTE
    quiet = {"from": f"{at + hour:%H:%M}", "to": f"{at + 3 * hour:%H:%M}"}
    with database.begin() as connection:
        settings = {"channels": ["email"], "local_time": f"{at:%H:%M}", "quiet_hours": quiet}
        ledger = rows.ledger(connection, settings=settings)
        ledger.money(ledger.contact(), due_date=at.date())
        roles.enter(connection, roles.JOBS)
        due.enqueue_page(connection, "due_date", now=at + 30 * MINUTE)
        circuits.trip(connection, "email", "files", "EACCES: mail/ cannot be written", now=at)
    enqueue_reminders(database, 2)
    assert lane.drain(MINUTE) == delivery.Tally(postponed=1, sent=2)
    with database.connect() as connection:
        waits = select(tables.outbox.c.next_at, tables.outbox.c.attempts).where(tables.outbox.c.state == "pending")
        [(next_at, attempts)] = connection.execute(waits).all()
    assert (f"{next_at.astimezone(datetime.UTC):%H:%M}", attempts) == (quiet["to"], 0)


def test_a_message_that_is_refused_as_such_closes_the_circuit(
    database: Engine, database_url: str, mail_server: smtp.FakeSmtp
) -> None:
    way = SmtpMail(parse_url(f"smtp://127.0.0.1:{mail_server.port}?timeout=2"), sender=EmailTarget("debitum@example.org"))
    enqueue_reminders(database, 1)
    mail_server.replies["RCPT"] = "550 5.1.1 no such user"
    with closing(way), delivery.transactions(database_url) as begin:
        with begin() as connection:
            circuits.trip(connection, "email", "smtp", "530 authentication required", now=now() - circuits.PAUSE)
        assert delivery.Lane(begin, (way,), Links("https://debitum.example"), now).drain(MINUTE) == delivery.Tally(dead=1)
        with begin() as connection:
            assert circuits.opened(connection, {"email": ["files", "smtp"]}) == []


def test_a_lane_that_fails_keeps_no_other_at_work(database: Engine, lane: delivery.Lane) -> None:
    enqueue_reminders(database, 1)

    def refuse() -> AbstractContextManager[Connection]:
        raise OSError("no connection")

    start = delivery.prepare(lane.begin, now=now())
    began = time.monotonic()
    with pytest.raises(OSError, match="no connection"):
        delivery.drain_all([replace(lane, begin=refuse), lane], MINUTE, start)
    assert time.monotonic() - began < MINUTE.total_seconds() / 2
    assert lane.drain(MINUTE) == delivery.Tally()


def test_a_run_that_an_operator_stops_sends_no_more(
    database: Engine, lane: delivery.Lane, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    """Perhaps for what it sends: only the calls that are under way end."""
    enqueue_reminders(database, 30)
    stops = iter([signal.SIGINT])  # one: calls come at the same time

    def answer(_: Asked) -> Answer:
        if len(provider.asked) >= 3:
            for stop in stops:
                os.kill(os.getpid(), stop)
        time.sleep(0.2)  # so that the signal comes while calls are under way
        return Answer(202)

    with FakeHttp(answer) as provider:
        environment.setenv("SENDGRID_API_KEY", "SG.x")
        environment.setenv("SENDGRID_HOST", provider.url)
        lanes = [replace(lane, ways=channels.from_environment(os.environ, tmp_path).email) for _ in range(2)]
        with pytest.raises(KeyboardInterrupt):
            delivery.drain_all(lanes, MINUTE, delivery.prepare(lane.begin, now=now()))
    sent = len(provider.asked)
    assert 3 <= sent <= 6
    assert states(database) == {"sent": sent, "pending": 30 - sent}, "what was claimed is given back"


def test_an_operator_sees_who_is_down(database: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = resources.Database(url=database_url)
    monkeypatch.setenv("SENDGRID_API_KEY", "SG.revoked")
    assert _checked(bound).passed
    with database.begin() as connection:
        circuits.trip(connection, "email", "sendgrid", "401 the key | is revoked", now=now())
    result = _checked(bound)
    assert not result.passed
    table = str(result.metadata["providers"].value)
    assert "email | sendgrid | " in table
    assert " | 401 the key \\| is revoked | " in table
    monkeypatch.delenv("SENDGRID_API_KEY")
    assert _checked(bound).passed, "nobody will ever find out that it is up again"


def _checked(database: resources.Database) -> dg.AssetCheckResult:
    result = assets.providers_are_up(database)
    assert isinstance(result, dg.AssetCheckResult)
    return result


@pytest.mark.parametrize(("reply", "refused"), [("451 4.3.0 later", 5), ("550 5.7.1 not from you", 1)])
def test_it_is_told_when_a_provider_answers_and_takes_nothing(
    database: Engine,
    database_url: str,
    tmp_path: Path,
    environment: pytest.MonkeyPatch,
    mail_server: smtp.FakeSmtp,
    reply: str,
    refused: int,
) -> None:
    bound = resources.Database(url=database_url)
    environment.setenv("SMTP_URL", f"smtp://127.0.0.1:{mail_server.port}?timeout=2")
    enqueue_reminders(database, 9)
    dispatch(database_url, tmp_path)
    assert _arrive(bound) == (True, 9, 0)
    enqueue_reminders(database, 1)
    mail_server.replies["RCPT"] = reply
    for _ in range(refused):
        with database.begin() as connection:
            connection.execute(update(tables.outbox).where(tables.outbox.c.state == "pending").values(next_at=now()))
        dispatch(database_url, tmp_path)
    assert _arrive(bound) == (True, 9, 1), "one in ten"
    with database.begin() as connection:
        first = select(tables.outbox.c.id).where(tables.outbox.c.state == "sent").limit(1).scalar_subquery()
        connection.execute(update(tables.outbox).where(tables.outbox.c.id == first).values(finished_at=now() - 61 * MINUTE))
    assert _arrive(bound) == (False, 8, 1)
    with database.begin() as connection:
        connection.execute(update(tables.outbox).values(finished_at=now() - 61 * MINUTE))
    assert _arrive(bound) == (True, 0, 0)


def _arrive(database: resources.Database) -> tuple[bool, object, object]:
    result = assets.messages_arrive(database)
    assert isinstance(result, dg.AssetCheckResult)
    return bool(result.passed), result.metadata["sent"].value, result.metadata["given_up"].value


def test_a_server_that_hangs_does_not_hold_up_the_other_channel(
    database: Engine, database_url: str, tmp_path: Path, environment: pytest.MonkeyPatch, mail_server: smtp.FakeSmtp
) -> None:
    environment.setenv("SMTP_URL", f"smtp://127.0.0.1:{mail_server.port}?timeout=3")
    mail_server.replies["MAIL"] = smtp.HANG
    enqueue_reminders(database, 1)
    enqueue_reminders(database, 5, "push")
    thread = threading.Thread(target=dispatch, args=(database_url, tmp_path))
    thread.start()
    deadline = time.monotonic() + 20
    while not mail_server.connections and time.monotonic() < deadline:
        time.sleep(0.01)
    hung_since = time.monotonic()
    while len(list((tmp_path / "push").glob("*.json"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    took = time.monotonic() - hung_since
    thread.join()
    assert took < 2.5  # the mail server is given up after 3
    assert states(database) == {"sent": 5, "pending": 1}
