"""`debitum user …`: what an operator does to accounts, on a real database."""

import asyncio
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.settings import Settings
from debitum import cli, commands
from storage.encryption import KeyRing, new_ring
from tests.fakes.smtp import FakeSmtp
from tests.fixtures.api import PASSWORD, serve

BASE = "https://debitum.example"
EMAIL = "ada@example.org"
KEYS = new_ring()
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def user(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `debitum user …`; its exit code and what it says, complaints too."""
    for name, value in {"DATABASE_URL": database_url, "DEBITUM_PUBLIC_URL": BASE, "DEBITUM_KEYS": KEYS}.items():
        monkeypatch.setenv(name, value)
    for name in ("SMTP_URL", "SENDGRID_API_KEY", "DEBITUM_SIGNUP", "MAIL_FROM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(action: str, *arguments: str) -> tuple[int, str]:
        code = cli.main(["user", action, "--data-dir", str(tmp_path), *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def rows(database_url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(query).fetchall()


def pressing(database_url: str, form: str, **fields: str) -> int:
    """Fill in a page of the server and press its button; then sign in as EMAIL: the status of that."""

    async def press() -> int:
        settings = Settings(
            database_url=database_url, keys=KeyRing.parse(KEYS), signup="verified" if form == "/reset" else "invite"
        )
        async with serve(settings) as server, server.http() as http:
            page = await http.post(form, data=fields)
            assert page.status_code == 200, page.text
            return (await http.post("/api/auth/login", json={"email": EMAIL, "password": PASSWORD})).status_code

    return asyncio.run(press())


def link(said: str, path: str) -> str:
    """The token of the link that was said."""
    [token] = re.findall(re.escape(f"{BASE}{path}=") + r"([\w-]{43})\b", said)
    found: str = token
    return found


def test_without_mail_links_are_printed_and_work(user: Run, database_url: str) -> None:
    profile = ("--name", "Ada", "--time-zone", "Europe/Berlin", "--locale", "de-AT", "--currency", "USD")
    code, said = user("create", "Ada@Example.org", *profile)
    assert (code, "hand over this link, which works for 72 h" in said) == (commands.OK, True)
    [(*made, password_hash)] = rows(
        database_url, "select email, name, time_zone, locale, default_currency, password_hash from debitum.users"
    )
    assert made == [EMAIL, "Ada", "Europe/Berlin", "de-AT", "USD"]
    assert password_hash.startswith("$argon2id$"), "guessing it is as much work as guessing any other"
    assert rows(database_url, "select count(*) from debitum.ledgers") == [(1,)]
    assert pressing(database_url, "/reset", token=link(said, "/reset?token"), new_password=PASSWORD) == 200
    code, said = user("reset-password", EMAIL.upper())
    assert (code, "works for 1 h" in said) == (commands.OK, True)
    assert rows(database_url, "select purpose, used_at is null from debitum.one_time_tokens order by 2") == [
        ("reset", False),
        ("reset", True),
    ]
    assert link(said, "/reset?token")
    assert rows(database_url, "select * from debitum.outbox") == []


def test_an_invitation_lets_somebody_in(user: Run, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = user("invite")
    assert (code, "whoever has this link, good for 14 days" in said) == (commands.OK, True)
    assert user("invite", "Bob@example.org")[0] == commands.OK
    assert rows(database_url, "select email from debitum.invites order by email") == [("bob@example.org",), (None,)]
    assert pressing(database_url, "/join", invite=link(said, "/join?invite"), email=EMAIL, password=PASSWORD) == 200
    assert user("invite", EMAIL) == (commands.WRONG, f"debitum: {EMAIL} has an account already\n")
    monkeypatch.setenv("DEBITUM_SIGNUP", "closed")
    code, said = user("invite")
    assert (code, "DEBITUM_SIGNUP is closed" in said) == (commands.WRONG, True)


def test_what_cannot_be_is_said(user: Run, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert user("create", EMAIL)[0] == commands.OK
    assert user("create", EMAIL.upper()) == (commands.WRONG, f"debitum: {EMAIL} has an account already\n")
    for arguments, word in (
        (("nonsense",), "email: 'nonsense' is not an address like ada@example.org, of up to 254 characters\n"),
        (("b@example.org", "--time-zone", "Mars/Olympus"), "time_zone: not an IANA time zone"),
        (("b@example.org", "--currency", "XXX"), "default_currency"),
        (("b@example.org", "--locale", "!!"), "locale: '!!' is not a language tag like de-AT\n"),
        (("b@example.org", "--name", ""), "name: '' is not a name of up to 200 characters\n"),
    ):
        code, said = user("create", *arguments)
        assert (code, word in said) == (commands.WRONG, True), said
    for action in ("reset-password", "delete"):
        unasked = ["--yes"] if action == "delete" else []
        assert user(action, "nobody@example.org", *unasked) == (
            commands.WRONG,
            "debitum: nobody has an account as nobody@example.org\n",
        )
    assert rows(database_url, "select count(*) from debitum.users") == [(1,)]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update debitum.alembic_version set version_num = '0001'")
    code, said = user("invite")
    assert (code, "run `debitum migrate` first" in said) == (commands.WRONG, True)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert user("invite")[0] == commands.WRONG
    monkeypatch.setenv("DEBITUM_SIGNUP", "sometimes")
    code, said = user("invite")
    assert (code, "DEBITUM_SIGNUP" in said) == (commands.USAGE, True)


def test_a_user_is_erased_after_a_question(user: Run, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def due() -> Any:
        """In how many days the user is erased."""
        return rows(database_url, "select round(extract(epoch from deleting_at - now()) / 86400) from debitum.users")[0][0]

    user("create", EMAIL)
    for answer in ("", "n\n", "nonsense\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        code, said = user("delete", EMAIL)
        assert (code, f"Erase {EMAIL}" in said, "nothing has changed" in said) == (commands.WRONG, True, True)
    assert due() is None
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert user("delete", EMAIL)[0] == commands.OK
    assert due() == 7
    code, said = user("delete", EMAIL, "--now", "--yes")
    assert (code, "at the next run of the erasure" in said, due()) == (commands.OK, True, 0)
    assert user("delete", EMAIL, "--yes")[0] == commands.OK
    assert due() == 0, "the earliest moment stands"


def test_where_mail_is_configured_it_is_mailed(user: Run, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeSmtp() as server:
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{server.port}?timeout=5")
        assert user("create", EMAIL) == (commands.OK, f"{EMAIL} has an account: a mail with a link is on its way\n")
        assert user("reset-password", EMAIL)[0] == commands.OK
        assert rows(database_url, "select kind, state from debitum.outbox order by kind") == [
            ("reset", "pending"),
            ("welcome", "pending"),
        ]
        code, said = user("invite", "Bob@example.org")
        assert (code, "http" in said) == (commands.OK, False)
        [mail] = server.mails
        assert mail.rcpt_tos == ["bob@example.org"]
        content = mail.content.decode() if isinstance(mail.content, bytes) else str(mail.content)
        assert "You are invited to Debitum" in content
        assert f"{BASE}/join?invite=" in content.replace("=3D", "=").replace("=\r\n", "")
        server.replies["RCPT"] = "550 no such mailbox"
        code, said = user("invite", "eve@example.org")
        assert (code, "hand it over yourself" in said) == (commands.WRONG, True)
        assert link(said, "/join?invite")
    monkeypatch.setenv("SMTP_URL", "nonsense")
    code, said = user("create", "eve@example.org")
    assert (code, "SMTP_URL" in said) == (commands.USAGE, True)
    assert rows(database_url, "select count(*) from debitum.users") == [(1,)]
