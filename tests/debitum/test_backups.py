"""`debitum backup` and `debitum restore`, with codes that scripts can use and sentences that say what to do."""

import asyncio
import datetime
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, make_url

from debitum import cli, commands, instance
from storage import engine, urls
from storage.backup import shelf
from storage.encryption import KeyRing, new_key
from storage.ledgers import Push
from tests.factories import DEFAULTS, contact
from tests.fixtures import database as databases
from tests.storage.test_erasure import all_rows
from tests.storage.test_ledgers import RING, commit, new_ledger

PASSPHRASE = "a passphrase of the tests"


@dataclass
class Desk:
    """Somebody at a terminal: a data folder, a database, and what the last command said."""

    data: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def use(self, url: str, ring: str | None, passphrase: str | None = None) -> None:
        given = {"DATABASE_URL": url, "DEBITUM_KEYS": ring, "DEBITUM_BACKUP_PASSPHRASE": passphrase}
        for name, value in given.items():
            if value is None:
                self.monkeypatch.delenv(name, raising=False)
            else:
                self.monkeypatch.setenv(name, value)

    def run(self, *arguments: str) -> tuple[int, str]:
        code = cli.main([*arguments, "--data-dir", str(self.data)])
        said = "".join(self.capsys.readouterr())
        assert PASSPHRASE not in said
        return code, said

    @property
    def backup(self) -> Path:
        """The newest."""
        return shelf.backups(self.data / shelf.FOLDER)[0].path


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, monkeypatch, capsys)


@pytest.fixture
def other_url(server: str) -> Iterator[str]:
    with databases.cloned(server) as url:
        yield url


def a_ledger(url: str) -> str:
    """With one contact, whose phone is sealed by RING."""
    database = engine.sync_engine(url, "test")
    ledger_id = new_ledger(database)
    database.dispose()

    async def fill() -> None:
        connection = await urls.async_connection(url, "test")
        await commit(connection, Push(ledger_id, [contact(str(uuid.uuid4()), phone="+4915177889911")], DEFAULTS))
        await connection.close()

    asyncio.run(fill())
    return ledger_id


def ledgers(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {str(ledger) for (ledger,) in connection.execute("select id from debitum.ledgers")}


def test_a_backup_goes_into_another_database_with_its_keys(desk: Desk, database_url: str, other_url: str) -> None:
    ledger_id = a_ledger(database_url)
    desk.use(database_url, RING, PASSPHRASE)
    code, said = desk.run("backup")
    assert (code, "1 ledgers, 1 facts" in said, "the keys are in it" in said) == (commands.OK, True, True)
    assert (stat.S_IMODE(desk.backup.stat().st_mode), stat.S_IMODE(desk.backup.parent.stat().st_mode)) == (0o600, 0o700)
    desk.use(other_url, None, PASSPHRASE)
    code, said = desk.run("restore", "latest")
    assert (code, "1 ledgers and 1 facts are back" in said) == (commands.OK, True), said
    assert KeyRing.parse((desk.data / "secrets").read_text().strip()) == KeyRing.parse(RING)
    assert stat.S_IMODE((desk.data / "secrets").stat().st_mode) == 0o600
    code, said = desk.run("verify", "--ledger", ledger_id)
    assert (code, "0 findings" in said) == (commands.OK, True), said


def test_without_a_passphrase_the_keys_stay_outside_and_are_needed(desk: Desk, database_url: str, other_url: str) -> None:
    a_ledger(database_url)
    desk.use(database_url, RING)
    code, said = desk.run("backup", str(desk.data / "by hand"))
    assert (code, "which is not in it: keep the keys elsewhere too" in said) == (commands.OK, True)
    file = desk.data / "by hand"
    assert desk.run("backup", str(file)) == (commands.WRONG, f"debitum: {file} is there already: name another file\n")
    desk.use(other_url, new_key("other"))
    code, said = desk.run("restore", str(file))
    assert (code, "sealed by the key k1 of the ring, which is not in it" in said) == (commands.WRONG, True)
    desk.use(other_url, f"{new_key('k2')},{RING}")
    assert desk.run("restore", str(file))[0] == commands.OK
    assert not (desk.data / "secrets").exists()


def test_what_is_there_is_only_replaced_when_that_is_said_and_is_backed_up_before(
    desk: Desk, database_url: str, other_url: str
) -> None:
    before, after = a_ledger(database_url), a_ledger(other_url)
    desk.use(database_url, RING)
    assert desk.run("backup", str(desk.data / "a"))[0] == commands.OK
    desk.use(other_url, RING)
    code, said = desk.run("restore", str(desk.data / "a"))
    assert (code, "holds 1 users and 1 ledgers: restore into an empty one, or with --replace" in said) == (commands.WRONG, True)
    assert ledgers(other_url) == {after}
    code, said = desk.run("restore", str(desk.data / "a"), "--replace")
    assert code == commands.OK, said
    assert ledgers(other_url) == {before}
    folder = desk.data / shelf.FOLDER
    assert desk.run("backup")[0] == commands.OK
    shelf.rotate(folder, now=datetime.datetime.now(datetime.UTC))
    [aside] = folder.glob("before-restore-*.backup")
    assert str(aside) in said, "and no nightly one takes it"
    code, said = desk.run("restore", str(aside), "--replace")
    assert code == commands.OK, said
    assert ledgers(other_url) == {after}


def test_no_pooler_is_in_between(desk: Desk, database_url: str, other_url: str) -> None:
    """Whose session would keep what pg_dump and psql set: a role, and that row-level security is off."""
    a_ledger(other_url)
    pooled = make_url(database_url).update_query_dict({"pooler": "transaction"}).render_as_string(hide_password=False)
    desk.use(pooled, RING)
    desk.monkeypatch.setenv("DATABASE_DIRECT_URL", other_url)
    code, said = desk.run("backup")
    assert (code, "1 ledgers, 1 facts" in said) == (commands.OK, True), said
    code, said = desk.run("restore", "latest", "--replace")
    assert (code, "1 ledgers and 1 facts are back" in said) == (commands.OK, True), said
    assert (len(ledgers(database_url)), len(ledgers(other_url))) == (0, 1)
    code, said = desk.run("rebuild")
    assert (code, "rebuilt 1 ledgers from 1 facts" in said) == (commands.OK, True), said


def test_nothing_may_run_meanwhile(desk: Desk, database_url: str) -> None:
    desk.use(database_url, RING)
    assert desk.run("backup")[0] == commands.OK
    with instance.claim(desk.data):
        code, said = desk.run("restore", "latest")
        assert (code, "runs on this data folder" in said) == (commands.RUNNING_ALREADY, True)
        assert desk.run("backup", str(desk.data / "meanwhile"))[0] == commands.OK, "a backup is made beside whatever runs"
    with psycopg.connect(database_url, application_name="debitum-api"):
        code, said = desk.run("restore", "latest")
        assert (code, "in use by debitum-api: stop them first" in said) == (commands.WRONG, True)


def test_another_key_of_the_same_name_is_never_lost(desk: Desk, database_url: str, other_url: str) -> None:
    desk.use(database_url, RING, PASSPHRASE)
    assert desk.run("backup")[0] == commands.OK
    desk.use(other_url, None, PASSPHRASE)
    mine = new_key("k1")
    (desk.data / "secrets").write_text(f"{mine}\n")
    code, said = desk.run("restore", "latest")
    assert (code, "another key named k1 than the backup" in said) == (commands.WRONG, True)
    assert (desk.data / "secrets").read_text() == f"{mine}\n"
    assert mine.partition(":")[2] not in said
    renamed = mine.replace("k1:", "mine:")
    (desk.data / "secrets").write_text(f"{renamed}\n")
    assert desk.run("restore", "latest")[0] == commands.OK
    assert (desk.data / "secrets").read_text() == f"{RING},{renamed}\n"
    desk.use(other_url, renamed, PASSPHRASE)
    code, said = desk.run("restore", "latest")
    assert (code, "DEBITUM_KEYS lacks keys that are in the backup: unset it" in said) == (commands.WRONG, True)


def test_a_check_says_what_it_is_and_changes_nothing(desk: Desk, database_url: str, database: Engine) -> None:
    a_ledger(database_url)
    desk.use(database_url, RING, PASSPHRASE)
    assert desk.run("backup")[0] == commands.OK
    before = all_rows(database)
    code, said = desk.run("restore", "latest", "--check")
    assert (code, "1 ledgers, 1 facts" in said, "it is whole" in said) == (commands.OK, True, True)
    whole = desk.backup.read_bytes()
    desk.backup.write_bytes(whole[:-20_000] + bytes([whole[-20_000] ^ 1]) + whole[-19_999:])
    code, said = desk.run("restore", "latest", "--check")
    assert (code, "is damaged: what stands at byte" in said) == (commands.WRONG, True)
    assert desk.run("restore", "latest", "--replace")[0] == commands.WRONG
    desk.use(database_url, RING)
    code, said = desk.run("restore", "latest", "--check")
    assert (code, "set DEBITUM_BACKUP_PASSPHRASE_FILE" in said) == (commands.WRONG, True)
    assert all_rows(database) == before


def test_an_empty_folder_and_a_terminal_that_is_none_are_told_of(desk: Desk, database_url: str) -> None:
    desk.use(database_url, RING)
    code, said = desk.run("restore", "latest")
    assert (code, "there is no backup in" in said) == (commands.WRONG, True)
    code, said = desk.run("backup", "--ask-passphrase")
    assert (code, "no terminal to ask at: set DEBITUM_BACKUP_PASSPHRASE_FILE" in said) == (commands.WRONG, True)
    desk.use(database_url, RING, "short")
    code, said = desk.run("backup")
    assert (code, "12 characters or more" in said) == (commands.USAGE, True)


def test_a_backup_of_a_database_that_cannot_be_reached_is_none(desk: Desk, database_url: str) -> None:
    desk.use(make_url(database_url).set(database="absent").render_as_string(hide_password=False), RING)
    code, said = desk.run("backup")
    assert (code, 'database "absent" does not exist' in said) == (commands.WRONG, True)
    assert list((desk.data / shelf.FOLDER).iterdir()) == []


def test_progress_is_told_now_and_then(database_url: str, tmp_path: Path) -> None:
    from storage.backup import dumping
    from tests.storage.test_backup import SECRETS

    said: list[str] = []
    seconds = iter(range(0, 10_000, 10))
    dumping.dump(
        database_url, tmp_path / "a", SECRETS, version="0", ring=None, say=said.append, clock=lambda: float(next(seconds))
    )
    assert said
    assert all(" MB written" in line and "the tables take " in line for line in said)
