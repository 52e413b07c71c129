"""`debitum mail test`, `push test` and `outbox`: a provider's literal answer, and what an operator can do about messages."""

import datetime
import uuid
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, insert, select, update

from debitum import cli, commands
from storage import circuits, outbox, roles, sealing, tables
from tests.fakes.fcm import Google, fcm, new_private_key, refusal
from tests.fakes.http import Answer, FakeHttp
from tests.fakes.smtp import FakeSmtp
from tests.storage import rows
from tests.storage.test_ledgers import KEYS, RING

NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("SMTP_URL", "SENDGRID_API_KEY", "FCM_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DEBITUM_KEYS", RING)
    return monkeypatch


def run(capsys: pytest.CaptureFixture[str], folder: Path, *command: str, code: int = commands.OK) -> str:
    name, action, *arguments = command
    assert cli.main([name, action, "--data-dir", str(folder), *arguments]) == code
    said = capsys.readouterr()
    return said.out + said.err


def test_a_mail_says_what_the_provider_answered(
    environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "files: sent: mail/" in run(capsys, tmp_path, "mail", "test", "hana@example.org")
    assert len(list((tmp_path / "mail").glob("*.eml"))) == 1
    with FakeHttp(lambda _: Answer(401, {"errors": [{"message": "authorization required"}]})) as sendgrid:
        environment.setenv("SENDGRID_API_KEY", "SG.wrong")
        environment.setenv("SENDGRID_HOST", sendgrid.url)
        said = run(capsys, tmp_path, "mail", "test", "hana@example.org", code=commands.WRONG)
        assert said.startswith("sendgrid: channel_down: 401")
        assert "authorization required" in said
        with FakeSmtp() as server:
            environment.setenv("SMTP_URL", f"smtp://127.0.0.1:{server.port}")
            said = run(capsys, tmp_path, "mail", "test", "hana@example.org", code=commands.WRONG)
            assert "sendgrid: channel_down: 401" in said
            assert "smtp: sent: 250" in said
    environment.setenv("SMTP_URL", "smtp:x")
    assert "SMTP_URL: names no host" in run(capsys, tmp_path, "mail", "test", "hana@example.org", code=commands.USAGE)


@pytest.fixture
def user(database: Engine) -> rows.Ledger:
    """A user with a phone and a tablet that take pushes."""
    with database.begin() as connection:
        ledger = rows.ledger(connection, email="hana@example.org")
        sealed = KEYS.new_data_key(str(ledger.id))
        connection.execute(update(tables.ledgers).values(data_key=sealed))
        for name in ("phone", "tablet"):
            device_id = uuid.uuid4()
            value = sealing.store_push_target(KEYS.cipher(str(ledger.id), sealed), device_id, f"token of {name}")
            target = {"push_kind": "token", "push_value": value, "push_fingerprint": name.encode()}
            device = {"user_id": ledger.user_id, "id": device_id, "name": name, "created_at": NOW, "last_seen_at": NOW}
            connection.execute(insert(tables.devices).values(device | target))
    return ledger


def test_a_push_goes_to_every_device(
    environment: pytest.MonkeyPatch, user: rows.Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nobody has an account" in run(capsys, tmp_path, "push", "test", "nobody@example.org", code=commands.WRONG)
    with Google(tmp_path, new_private_key()) as google:
        environment.setenv("FCM_CREDENTIALS", str(google.write_account()))
        environment.setenv("FCM_ENDPOINT", google.url)
        said = run(capsys, tmp_path, "push", "test", "HANA@example.org")
        assert said.count(": sent: 200 projects/") == 2
        assert sorted(asked.json["message"]["token"] for asked in google.pushes) == ["token of phone", "token of tablet"]
        google.reply = refusal(404, "NOT_FOUND", fcm("UNREGISTERED"))
        said = run(capsys, tmp_path, "push", "test", "hana@example.org", code=commands.WRONG)
        assert said.count(": target_gone: 404") == 2


def test_an_operator_sees_retries_and_drops(
    environment: pytest.MonkeyPatch,
    database: Engine,
    user: rows.Ledger,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(capsys, tmp_path, "outbox", "list") == "the outbox is empty\n"
    with database.begin() as connection:
        roles.enter(connection, roles.JOBS)
        mails = [
            outbox.Outgoing(ledger_id=user.id, dedupe_key=key, kind="due", channel="email", payload={}, next_at=NOW)
            for key in ("a", "b")
        ]
        outbox.enqueue(connection, mails, now=NOW)
        first, second = outbox.claim(connection, "email", now=NOW)
        attempt = outbox.start(connection, first, "smtp", now=NOW)
        assert attempt is not None
        outbox.finish(connection, first, attempt, "permanent", "550 no such user", now=NOW)
    listed = run(capsys, tmp_path, "outbox", "list")
    assert listed.splitlines()[0] == "1 dead (email), 1 leased (email)"
    assert f"{first.id}  email due: dead (permanent), due " in listed
    assert listed.splitlines()[1].endswith("1 calls, smtp: permanent 550 no such user")
    assert "hana@" not in listed
    assert run(capsys, tmp_path, "outbox", "drop", str(second.id)) == "1 messages are dropped\n"
    with database.begin() as connection:  # whoever held it finds that it is not theirs any more
        assert outbox.start(connection, second, "smtp", now=NOW) is None
    assert run(capsys, tmp_path, "outbox", "drop", str(second.id), code=commands.WRONG) == "0 messages are dropped\n"
    assert run(capsys, tmp_path, "outbox", "retry", str(first.id)) == "1 messages will be sent\n"
    assert run(capsys, tmp_path, "outbox", "retry", str(uuid.uuid4()), code=commands.WRONG) == "0 messages will be sent\n"
    with database.connect() as connection:
        states = dict(connection.execute(select(tables.outbox.c.dedupe_key, tables.outbox.c.state)).all())
    assert sorted(states.values()) == ["dead", "pending"]
    with database.begin() as connection:
        roles.enter(connection, roles.JOBS)
        circuits.trip(connection, "email", "sendgrid", "401 the key is revoked", now=NOW)
    assert "sendgrid" not in run(capsys, tmp_path, "outbox", "list").splitlines()[1], "it is not in use"
    environment.setenv("SENDGRID_API_KEY", "SG.revoked")
    assert f"email: sendgrid is down since {NOW:%F %H:%M} UTC: 401 the key is revoked" in run(capsys, tmp_path, "outbox", "list")
    with database.begin() as connection:
        given_up = {"state": "dead", "reason": "permanent", "finished_at": NOW}
        connection.execute(update(tables.outbox).where(tables.outbox.c.id == first.id).values(given_up))
    assert run(capsys, tmp_path, "outbox", "retry") == "1 messages will be sent, and those that wait\n", "none that was dropped"
    with database.connect() as connection:
        assert circuits.usable(connection, {"email": ["sendgrid"]}, now=datetime.datetime.now(datetime.UTC)) == {"email"}
        connection.execute(delete(tables.circuits))
        connection.commit()
    [counts, dropped] = run(capsys, tmp_path, "outbox", "list", "--state", "dead").splitlines()
    assert counts == "1 dead (email), 1 pending (email)"
    assert dropped.startswith(str(second.id))
