"""What files keep of one person goes, and nothing of anybody else."""

import json
import os
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest

from notifications import erasure
from notifications.channel import Sent
from notifications.files import FilesMail, FilesPush
from notifications.message import EmailTarget, PushTarget
from tests.notifications.contract import MAIL, NOW, PUSH

SENDER = EmailTarget("debitum@example.net", "Debitum")
ADA = UUID(int=7)


def mail(folder: Path, address: str, name: str = "", text: str = "-") -> str:
    """The name of the file of a mail."""
    message = msgspec.structs.replace(MAIL, id=uuid4(), to=EmailTarget(address, name), text=text)
    return sent(FilesMail(folder, sender=SENDER).send(message, now=NOW))


def push(folder: Path, user_id: UUID, text: str = "-") -> str:
    """The name of the file of a push."""
    message = msgspec.structs.replace(PUSH, id=uuid4(), to=PushTarget(user_id=user_id), text=text)
    return sent(FilesPush(folder).send(message, now=NOW))


def sent(outcome: object) -> str:
    assert isinstance(outcome, Sent), outcome
    return outcome.detail.partition("/")[2]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def erase(root: Path, address: str, user_id: UUID = ADA) -> int:
    return erasure.erase(root / "mail", root / "push", address=address, user_id=user_id, now=NOW)


@pytest.mark.parametrize(
    ("address", "others"),
    [
        ("ada@example.org", ["nada@example.org", "ada@example.org.uk", "ada@example.or"]),
        ("ada@bücher.example", ["ada@bucher.example"]),
        ("åda@example.org", ["ada@example.org"]),
        ("strasse@example.org", ["straße@example.org"]),
    ],
)
def test_mails_to_the_address_go_and_those_to_others_stay(tmp_path: Path, address: str, others: list[str]) -> None:
    folder = tmp_path / "mail"
    for name in ("", "Ada Lovelace", "Adá, <b@example.org>", "Ada " * 60):
        mail(folder, address, name)
    stay = {mail(folder, other, name=address, text=f"write to {address}") for other in others}
    assert erase(tmp_path, address) == 4
    assert names(folder) == stay
    assert erase(tmp_path, address) == 0


def test_pushes_to_the_user_go_and_those_to_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "push"
    push(folder, ADA)
    stays = push(folder, uuid4(), text=f"about {ADA}")
    assert (erase(tmp_path, "ada@example.org"), names(folder)) == (1, {stays})


def test_what_cannot_be_read_goes_where_it_names_the_user(tmp_path: Path) -> None:
    for folder in ("mail", "push"):
        (tmp_path / folder).mkdir()
    (tmp_path / "mail" / "theirs.eml").write_bytes(b"\xff\xfe no mail, of ada@example.org")
    (tmp_path / "mail" / "two.eml").write_text("To: ada@example.org, bo@example.org\n\nhello")
    (tmp_path / "mail" / "another.eml").write_bytes(b"\xff no mail")
    (tmp_path / "mail" / "notes.txt").write_text("ask ada@example.org")
    (tmp_path / "push" / "theirs.json").write_text(json.dumps({"of": str(ADA)}))
    (tmp_path / "push" / "another.json").write_text("{")
    assert erase(tmp_path, "ada@example.org") == 3
    assert names(tmp_path / "mail") == {"another.eml", "notes.txt"}
    assert names(tmp_path / "push") == {"another.json"}


@pytest.mark.parametrize("written", ["bücher", "xn--bcher-kva"])
def test_what_cannot_be_read_may_name_the_domain_as_dns_has_it(tmp_path: Path, written: str) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "theirs.eml").write_text(f"no mail, of ada@{written}.example")
    assert erase(tmp_path, "ada@bücher.example") == 1


def test_what_a_killed_writer_left_goes_after_an_hour(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    for name, age in ((".old.eml.x", timedelta(minutes=61)), (".new.eml.x", timedelta(minutes=59))):
        path = tmp_path / "mail" / name
        path.write_bytes(b"To: a")
        os.utime(path, times=((NOW - age).timestamp(),) * 2)
    assert (erase(tmp_path, "ada@example.org"), names(tmp_path / "mail")) == (1, {".new.eml.x"})


def test_without_folders_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert erase(tmp_path, "no mailbox, this") == 0
