"""Which channels the settings choose."""

from pathlib import Path

import pytest

from notifications import channels
from notifications.channel import SettingError
from notifications.files import FilesMail, FilesPush
from notifications.smtp import Server, SmtpMail, parse_url
from tests.fakes.fcm import Google, new_private_key
from tests.notifications.contract import MAIL, NOW, parse


def test_without_settings_everything_goes_to_files(tmp_path: Path) -> None:
    with channels.from_environment({"SMTP_URL": "", "MAIL_FROM": ""}, tmp_path) as chosen:
        assert [type(way) for way in chosen["email"]] == [FilesMail]
        assert [type(way) for way in chosen["push"]] == [FilesPush]
        chosen.email[0].send(MAIL, now=NOW)
    [file] = (tmp_path / "mail").iterdir()
    assert parse(file.read_bytes())["From"] == "Debitum <debitum@localhost>"


def test_smtp_url_chooses_smtp(tmp_path: Path) -> None:
    chosen = channels.from_environment({"SMTP_URL": "smtp://localhost", "MAIL_FROM": "Ledger <l@example.org>"}, tmp_path)
    assert [type(way) for way in chosen.email] == [SmtpMail]
    assert [type(way) for way in chosen.push] == [FilesPush]


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail", Server("mail", 25, "none")),
        ("smtp+starttls://u:p%40ss%2F@mail.example", Server("mail.example", 587, "starttls", "u", "p@ss/")),
        ("smtps://[::1]:1465/?timeout=2.5&ca=/etc/ca.pem", Server("::1", 1465, "tls", None, None, 2.5, Path("/etc/ca.pem"))),
    ],
)
def test_smtp_url(url: str, server: Server) -> None:
    assert parse_url(url) == server


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"SMTP_URL": "mail.example:25"}, "SMTP_URL: must begin with one of smtp://, smtp+starttls://, smtps://"),
        ({"SMTP_URL": "smtp://"}, "SMTP_URL: names no host"),
        ({"SMTP_URL": "smtp://mail:port"}, "SMTP_URL: the host or port is not well formed"),
        ({"SMTP_URL": "smtp://mail:70000"}, "SMTP_URL: the host or port is not well formed"),
        ({"SMTP_URL": "smtp://user@mail"}, "SMTP_URL: user and password belong together"),
        ({"SMTP_URL": "smtp://mail/inbox"}, "SMTP_URL: nothing but"),
        ({"SMTP_URL": "smtp://mail?time=3"}, "SMTP_URL: unknown option time"),
        ({"SMTP_URL": "smtp://mail?timeout=3600"}, "SMTP_URL: timeout is a number of seconds up to 50"),
        ({"SMTP_URL": "smtp://mail?timeout=nan"}, "SMTP_URL: timeout"),
        ({"SMTP_URL": "smtps://mail?ca=/nowhere.pem"}, "SMTP_URL: ca=/nowhere.pem is not a readable PEM file"),
        ({"SENDGRID_API_KEY": "SG.x", "SENDGRID_HOST": "api.sendgrid.com"}, "SENDGRID_HOST: is not an address like https://"),
        ({"SENDGRID_API_KEY": "SG.x", "SENDGRID_HOST": "https://["}, "SENDGRID_HOST: "),
        ({"SENDGRID_API_KEY": "SG.x", "SENDGRID_HOST": f"https://{'x' * 64}.example"}, "SENDGRID_HOST: "),
        ({"SENDGRID_API_KEY": "SG.x", "SENDGRID_HOST": "https://x/?y"}, "SENDGRID_HOST: "),
        ({"SENDGRID_API_KEY": "SG.\u2026"}, "SENDGRID_API_KEY: holds something else than"),
        ({"MAIL_FROM": "Debitum"}, 'MAIL_FROM: "Debitum" is not a mailbox'),
    ],
)
def test_a_bad_setting_is_named(environment: dict[str, str], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        channels.from_environment(environment, tmp_path)
    assert str(caught.value).startswith(complaint)


def test_who_sends_goes_on_by_what_can_be_used(tmp_path: Path) -> None:
    """What cannot is a provider that is down; the reason names the setting."""
    (tmp_path / "account.json").write_text("{")
    environment = {
        "SENDGRID_API_KEY": "SG.x",
        "SENDGRID_HOST": "api.sendgrid.com",
        "SMTP_URL": "smtp://mail",
        "FCM_CREDENTIALS": str(tmp_path / "account.json"),
    }
    with channels.up_or_down(environment, tmp_path) as chosen:
        assert [type(way) for way in chosen.email] == [channels.Down, SmtpMail]
        answers = [way.send(MAIL, now=NOW) for way in (chosen.email[0], *chosen.push)]
    assert [answer.code for answer in answers] == ["channel_down"] * 2
    assert [answer.detail.partition(":")[0] for answer in answers] == ["SENDGRID_HOST", "FCM_CREDENTIALS"]
    found = {kind: tuple(way.name for way in chosen[kind]) for kind in ("email", "push")}
    assert found == channels.names(environment)


@pytest.mark.parametrize(
    "url", ["smtp://u:secret/x@mail", "smtp://u:secret@mail:x", "http://u:secret@mail", "smtp://u:secret@mail?x=1"]
)
def test_a_password_is_never_repeated(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        channels.from_environment({"SMTP_URL": url}, tmp_path)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(parse_url("smtp://u:secret@mail"))


@pytest.mark.parametrize("given", [(), ("sendgrid",), ("smtp",), ("sendgrid", "smtp"), ("sendgrid", "smtp", "fcm")])
def test_every_provider_that_is_set_is_on_and_sendgrid_is_asked_first(given: tuple[str, ...], tmp_path: Path) -> None:
    with Google(tmp_path, new_private_key()) as google:
        settings = {
            "sendgrid": {"SENDGRID_API_KEY": "SG.x"},
            "smtp": {"SMTP_URL": "smtp://mail"},
            "fcm": {"FCM_CREDENTIALS": str(google.write_account()), "FCM_ENDPOINT": google.url},
        }
        environment = {name: value for one in given for name, value in settings[one].items()}
        mail = tuple(name for name in given if name != "fcm") or ("files",)
        expected = {"email": mail, "push": ("fcm",) if "fcm" in given else ("files",)}
        assert channels.names(environment) == expected
        with channels.from_environment(environment, tmp_path) as chosen:
            assert {kind: tuple(way.name for way in chosen[kind]) for kind in ("email", "push")} == expected
