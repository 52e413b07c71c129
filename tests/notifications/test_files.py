"""The channels that write files: the contract, and what holds of files alone."""

import json
import os
import stat
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from notifications.channel import ChannelDown, Sent
from notifications.files import FilesMail, FilesPush
from notifications.message import EmailTarget, PushTarget, Registration
from tests.notifications.contract import MAIL, NOW, PUSH, ChannelContract, Delivery, MailContract, delivery, parse

SENDER = EmailTarget("debitum@example.net", "Debitum")


class TestFilesMail(MailContract):
    @pytest.fixture
    def channel(self, tmp_path: Path) -> FilesMail:
        return FilesMail(tmp_path / "mail", sender=SENDER)

    @pytest.fixture
    def mails(self, tmp_path: Path) -> Callable[[], list[EmailMessage]]:
        return lambda: [parse(file.read_bytes()) for file in sorted((tmp_path / "mail").glob("*"))]

    @pytest.fixture
    def delivered(self, mails: Callable[[], list[EmailMessage]]) -> Callable[[], list[Delivery]]:
        return lambda: [delivery(mail) for mail in mails()]


class TestFilesPush(ChannelContract):
    kind = "push"
    message = PUSH

    @pytest.fixture
    def channel(self, tmp_path: Path) -> FilesPush:
        return FilesPush(tmp_path / "push")

    @pytest.fixture
    def delivered(self, tmp_path: Path) -> Callable[[], list[Delivery]]:
        def read() -> list[Delivery]:
            files = sorted((tmp_path / "push").glob("*"))
            return [Delivery(file.name, push["title"], push["body"]) for file in files for push in [json.loads(file.read_text())]]

        return read

    def test_the_file_holds_the_push_but_not_the_registration(self, channel: FilesPush, tmp_path: Path) -> None:
        to = PushTarget(UUID(int=1), UUID(int=2), Registration("token", "top-secret"))
        channel.send(msgspec.structs.replace(PUSH, to=to, collapse_key="due:1", link="https://app.example/1"), now=NOW)
        [file] = (tmp_path / "push").iterdir()
        assert json.loads(file.read_text()) == {
            "key": PUSH.key,
            "kind": "due",
            "user_id": str(UUID(int=1)),
            "title": PUSH.subject,
            "body": PUSH.text,
            "language": "en",
            "written_at": "2026-11-22T20:00:04Z",
            "device_id": str(UUID(int=2)),
            "collapse_key": "due:1",
            "link": "https://app.example/1",
        }


def test_only_the_owner_may_read_mails_and_pushes(tmp_path: Path) -> None:
    FilesMail(tmp_path / "mail", sender=SENDER).send(MAIL, now=NOW)
    FilesPush(tmp_path / "push").send(PUSH, now=NOW)
    for folder in (tmp_path / "mail", tmp_path / "push"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]


def test_the_name_is_made_of_the_outbox_row(tmp_path: Path) -> None:
    outcome = FilesMail(tmp_path / "mail", sender=SENDER).send(MAIL, now=NOW)
    assert outcome == Sent("mail/20261122T195704Z-308bc98aa26b.eml")
    assert [file.name for file in (tmp_path / "mail").iterdir()] == ["20261122T195704Z-308bc98aa26b.eml"]


def test_a_folder_that_cannot_be_made_takes_the_channel_down(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("in the way")
    outcome = FilesMail(tmp_path / "mail", sender=SENDER).send(MAIL, now=NOW)
    assert outcome == ChannelDown("EEXIST: mail/ cannot be written")


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    taken = tmp_path / "mail" / "20261122T195704Z-308bc98aa26b.eml"
    taken.mkdir(parents=True)
    outcome = FilesMail(tmp_path / "mail", sender=SENDER).send(MAIL, now=NOW)
    assert isinstance(outcome, ChannelDown)
    assert os.listdir(tmp_path / "mail") == [taken.name]
