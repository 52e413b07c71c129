"""Dispatch on a real database, real files and an SMTP server on loopback: what goes out, once, and what is written down."""

import base64
import datetime
import email
import email.policy
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine, select, update

from domain.delivery import MAX_ATTEMPTS
from notifications import channels
from notifications.links import Links
from pipelines.defs import resources
from pipelines.defs.dispatch import delivery, jobs, sensors
from storage import account_mails, circuits, due, outbox, roles, tables, unsubscribing
from storage.encryption import KeyRing, new_ring
from tests.fakes import smtp
from tests.storage import rows

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
MINUTE = datetime.timedelta(minutes=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("SMTP_URL", "MAIL_FROM", "SENDGRID_API_KEY", "SENDGRID_HOST", "FCM_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEBITUM_PUBLIC_URL", "https://debitum.example/")
    return monkeypatch


def enqueue_due(database: Engine) -> None:
    with database.begin() as connection:
        roles.enter(connection, roles.JOBS)
        for source in due.SOURCES:
            due.enqueue_page(connection, source, now=now())


def dispatch(database_url: str, folder: Path) -> dict[str, int]:
    """Runs the job; gives the counts it reports that are not 0."""
    bound = {"database": resources.Database(url=database_url), "data_folder": resources.DataFolder(path=str(folder))}
    with dg.DagsterInstance.ephemeral() as instance:
        result = jobs.dispatch.execute_in_process(resources=bound, instance=instance)
    (observation,) = result.asset_observations_for_node("send")
    assert observation.asset_key == dg.AssetKey("deliveries")
    counts = {name: int(str(value.value)) for name, value in observation.metadata.items()}
    return {name: count for name, count in counts.items() if count}


def plain(mail: EmailMessage) -> str:
    """The text of a mail for people without HTML."""
    body = mail.get_body(("plain",))
    assert isinstance(body, EmailMessage)
    return str(body.get_content())


def mails(folder: Path) -> list[EmailMessage]:
    files = sorted((folder / "mail").glob("*.eml"))
    return [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]


def outcomes(database: Engine) -> list[str | None]:
    with database.connect() as connection:
        return list(connection.scalars(select(tables.delivery_attempts.c.outcome)))


def states(database: Engine) -> Counter[str]:
    with database.connect() as connection:
        return Counter(connection.scalars(select(tables.outbox.c.state)))


@pytest.fixture
def lane(database_url: str, tmp_path: Path) -> Iterator[delivery.Lane]:
    ways = channels.from_environment({}, tmp_path)
    with delivery.transactions(database_url) as begin:
        yield delivery.Lane(begin, ways.email, Links("https://debitum.example"), now)


@pytest.fixture
def mail_server() -> Iterator[smtp.FakeSmtp]:
    with smtp.FakeSmtp() as running:
        yield running


def test_an_operator_sees_addresses_that_get_nothing(
    database: Engine, database_url: str, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    with database.begin() as connection:
        for problem in ("bounced", "bounced", "complained"):
            rows.ledger(connection, mail_problem=problem, mail_problem_at=now())
    assert dispatch(database_url, tmp_path) == {"addresses_bounced": 2, "addresses_complained": 1}


def test_mails_and_pushes_go_out_once(
    database: Engine, database_url: str, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    at = now() - 2 * MINUTE
    with database.begin() as connection:
        settings = {"local_time": f"{at:%H:%M}", "channels": ["email", "push"]}
        ledger = rows.ledger(connection, settings=settings, name="Max", email="max@example.org", email_verified_at=None)
        contact = ledger.contact("Ada Lovelace")
        ledger.money(contact, 2_000, due_date=at.date())
        ledger.money(contact, 500, direction="owed")
        ledger.reminder(at, message="Ask for the drill", contact_id=contact, transaction_id=ledger.item(contact, "Drill"))
        outbox.enqueue(connection, [account_mails.verification(ledger.id, now=now())], now=now())
    enqueue_due(database)
    assert dispatch(database_url, tmp_path) == {"sent": 4, "email_sent": 3, "push_sent": 1}
    written = mails(tmp_path)
    assert {str(mail["To"]) for mail in written} == {"max@example.org"}, "who says that they are Max has not proven the address"
    texts = [str(mail["Subject"]) + plain(mail) for mail in written]
    assert sum("Ada Lovelace" in text and "15.00" in text for text in texts) == 1
    assert sum("Drill" in text and "Ask for the drill" in text for text in texts) == 1
    (push,) = [json.loads(file.read_text()) for file in (tmp_path / "push").glob("*.json")]
    assert push["user_id"] == str(ledger.user_id)
    assert "15.00" in push["title"] + push["body"]
    assert outcomes(database) == ["sent"] * 4
    assert dispatch(database_url, tmp_path) == {}
    enqueue_due(database)
    assert dispatch(database_url, tmp_path) == {}
    assert (len(mails(tmp_path)), len(outcomes(database))) == (3, 4)


def test_the_link_of_a_verification_holds_a_token_that_is_known_by_its_hash(
    database: Engine, database_url: str, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection, email_verified_at=None)
        outbox.enqueue(connection, [account_mails.verification(ledger.id, now=now())], now=now())
    assert dispatch(database_url, tmp_path) == {"sent": 1, "email_sent": 1}
    (mail,) = mails(tmp_path)
    assert re.search(r"https://debitum\.example/verify\?token=[\w-]{43}\b", plain(mail))
    with database.connect() as connection:
        assert len(connection.execute(select(tables.one_time_tokens)).all()) == 1


def test_a_forgotten_password_is_set_anew_by_a_link_in_a_mail(
    database: Engine, database_url: str, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection, email_verified_at=None)
        outbox.enqueue(connection, [account_mails.reset(ledger.id, now=now())], now=now())
    assert dispatch(database_url, tmp_path) == {"sent": 1, "email_sent": 1}
    (mail,) = mails(tmp_path)
    assert re.search(r"https://debitum\.example/reset\?token=[\w-]{43}\b", plain(mail))


KEYS = KeyRing.parse(new_ring())


def test_a_mail_opens_the_debt_and_can_be_ended_by_one_click(
    database: Engine, database_url: str, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("DEBITUM_KEYS", next(f"{name}:{base64.b64encode(key).decode()}" for name, key in KEYS.keys.items()))
    environment.setenv("DEBITUM_APP_LINK", "https://app.example/#/{contact_id}/{transaction_id}")
    with database.begin() as connection:
        settings = {"local_time": f"{now() - MINUTE:%H:%M}", "channels": ["email", "push"]}
        ledger = rows.ledger(connection, settings=settings)
        sealed = KEYS.new_data_key(str(ledger.id))
        connection.execute(update(tables.ledgers).values(data_key=sealed))
        contact = ledger.contact()
        debt = ledger.money(contact, due_date=now().date())
        ledger.reminder(now(), transaction_id=debt)
        outbox.enqueue(connection, [account_mails.reset(ledger.id, now=now())], now=now())
    enqueue_due(database)
    assert dispatch(database_url, tmp_path) == {"sent": 4, "email_sent": 3, "push_sent": 1}
    link, tokens = f"https://app.example/#/{contact}/{debt}", {}
    for mail in mails(tmp_path):
        kind = str(mail["X-Debitum-Key"]).partition(":")[0]
        if kind == "reset":
            assert "List-Unsubscribe" not in mail
            continue
        text, markup = plain(mail), mail.get_body(("html",))
        assert isinstance(markup, EmailMessage)
        assert link in text
        assert f'href="{link}"' in markup.get_content()
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        [unsubscribe] = re.findall(r"^<(https://debitum\.example/unsubscribe\?token=([\w-]+))>$", mail["List-Unsubscribe"])
        assert unsubscribe[0] in text
        assert f'href="{unsubscribe[0]}"' in markup.get_content()
        tokens[kind] = unsubscribe[1]
    cipher = KEYS.cipher(str(ledger.id), sealed)
    assert tokens == {kind: unsubscribing.token(cipher, kind) for kind in ("due", "reminder")}
    (pushed,) = [json.loads(file.read_text()) for file in (tmp_path / "push").glob("*.json")]
    assert pushed["link"] == link


def test_a_digest_is_one_mail_and_one_push(
    database: Engine, database_url: str, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    with database.begin() as connection:
        settings = {"local_time": f"{now() - MINUTE:%H:%M}", "channels": ["email", "push"], "digest": True}
        ledger = rows.ledger(connection, settings=settings, locale="de-DE")
        for number, name in enumerate(("Ada", "Ben", "Cem")):
            ledger.money(ledger.contact(name), 1_000 + number, due_date=now().date() + datetime.timedelta(days=(number == 2)))
    enqueue_due(database)
    with database.begin() as connection:
        connection.execute(update(tables.outbox).where(tables.outbox.c.kind == "digest").values(next_at=now()))
    assert dispatch(database_url, tmp_path) == {"sent": 2, "email_sent": 1, "push_sent": 1}
    (mail,) = mails(tmp_path)
    assert re.fullmatch(r"(Ada|Ben) schuldet dir 10,0[01]\xa0€, und 2 weitere", str(mail["Subject"]))
    assert [name for name in ("Ada", "Ben", "Cem") if f"{name} schuldet dir 10,0" in plain(mail)] == ["Ada", "Ben", "Cem"]
    assert states(database) == {"sent": 2, "suppressed": 6}
    enqueue_due(database)
    assert dispatch(database_url, tmp_path) == {}


def test_what_is_settled_meanwhile_is_suppressed(
    database: Engine, database_url: str, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        contact = ledger.contact()
        ledger.reminder(now(), transaction_id=ledger.money(contact))
    enqueue_due(database)
    with database.begin() as connection:
        ledger = replace(ledger, connection=connection)
        ledger.money(contact, direction="owed")
    assert dispatch(database_url, tmp_path) == {"suppressed": 1, "email_suppressed": 1}
    assert mails(tmp_path) == []
    assert outcomes(database) == []


def enqueue_reminders(database: Engine, count: int, channel: str = "email") -> None:
    with database.begin() as connection:
        ledger = rows.ledger(connection)
        for number in range(count):
            ledger.reminder(now() - datetime.timedelta(seconds=number + 1), channels=[channel])
    enqueue_due(database)


def test_a_sender_that_died_is_followed_by_another(database: Engine, lane: delivery.Lane, tmp_path: Path) -> None:
    enqueue_reminders(database, 2)
    with database.begin() as connection:
        first, _ = outbox.claim(connection, "email", now=now())
        outbox.start(connection, first, "files", now=now())
    assert lane.drain(MINUTE) == delivery.Tally()
    later = replace(lane, clock=lambda: now() + datetime.timedelta(seconds=outbox.LEASE_SECONDS))
    start = delivery.prepare(later.begin, now=later.clock())
    assert start.unknown == 1
    assert later.drain(MINUTE, since=start.since["email"]) == delivery.Tally(sent=2)
    assert sorted(outcomes(database), key=str) == [None, "sent", "sent"]


def test_two_senders_share_the_work(database: Engine, lane: delivery.Lane, tmp_path: Path) -> None:
    enqueue_reminders(database, 60)
    tallies: list[delivery.Tally] = []
    threads = [threading.Thread(target=lambda: tallies.append(lane.drain(MINUTE))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tally.sent for tally in tallies) == len(outcomes(database)) == len(mails(tmp_path)) == 60
    assert all(tally.sent for tally in tallies)


def test_what_there_is_no_time_for_is_given_back(database: Engine, lane: delivery.Lane) -> None:
    enqueue_reminders(database, 3)
    ticks = iter(range(1_000))
    slow = replace(lane, clock=lambda: now() + next(ticks) * datetime.timedelta(seconds=1))
    tally = slow.drain(datetime.timedelta(seconds=5))
    assert 0 < tally.sent < 3
    assert states(database) == {"sent": tally.sent, "pending": 3 - tally.sent}
    assert lane.drain(MINUTE).sent == 3 - tally.sent


def test_a_message_that_cannot_be_written_holds_up_nobody(database: Engine, lane: delivery.Lane) -> None:
    enqueue_reminders(database, 2)
    with database.begin() as connection:
        ledger_id = connection.execute(select(tables.outbox.c.ledger_id).limit(1)).scalar_one()
        message = outbox.Outgoing(
            ledger_id=ledger_id, dedupe_key="k", kind="reminder", channel="email", payload={}, next_at=now() - 9 * MINUTE
        )
        outbox.enqueue(connection, [message], now=now())
    patient = replace(lane, jitter=lambda: 1.0)  # else it might be ready again at once
    assert patient.drain(MINUTE) == delivery.Tally(sent=2, failed=1)
    for hour in range(1, 5):
        replace(patient, clock=partial(_hours_later, hour)).drain(MINUTE)
    assert states(database) == {"sent": 2, "dead": 1}
    assert outcomes(database).count("transient") == MAX_ATTEMPTS["email"]


def _hours_later(hours: int) -> datetime.datetime:
    return now() + hours * 60 * MINUTE


def _tick(database_url: str, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_sensor_context(instance=instance)
    result = sensors.messages_are_ready(context, database=resources.Database(url=database_url))
    assert isinstance(result, dg.RunRequest | dg.SkipReason)
    return result


def test_the_sensor_asks_for_one_run_when_something_is_ready(database: Engine, database_url: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert _tick(database_url, instance) == dg.SkipReason("Nothing is ready to be sent.")
        enqueue_reminders(database, 1)
        assert isinstance(_tick(database_url, instance), dg.RunRequest)
        run = instance.create_run_for_job(jobs.dispatch, status=dg.DagsterRunStatus.STARTED)
        assert _tick(database_url, instance) == dg.SkipReason("A run is under way.")
        instance.delete_run(run.run_id)
        instance.create_run_for_job(jobs.dispatch, status=dg.DagsterRunStatus.FAILURE)
        assert isinstance(_tick(database_url, instance), dg.RunRequest)
        with database.begin() as connection:
            circuits.trip(connection, "email", "files", "no such folder", now=now())
        assert _tick(database_url, instance) == dg.SkipReason("Nothing is ready to be sent. Down: email.")


def test_a_run_that_only_dagster_believes_in_holds_up_nothing(
    database: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue_reminders(database, 1)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.create_run_for_job(jobs.dispatch, status=dg.DagsterRunStatus.STARTED)
        monkeypatch.setattr(jobs, "MAX_RUNTIME_SECONDS", 0)
        assert isinstance(_tick(database_url, instance), dg.RunRequest)
