"""The nightly backup, the check of its age, and the rehearsal of a restore."""

import datetime
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from pipelines.defs import resources
from pipelines.defs.backup import assets, checks
from storage import engine
from storage.backup import erased, shelf
from storage.backup.container import Opened
from tests.fixtures import database as databases
from tests.pipelines import postings
from tests.storage import everything
from tests.storage.test_ledgers import RING

PASSPHRASE = "a passphrase of the tests"


@pytest.fixture
def data_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[resources.DataFolder]:
    """Not pytest's, which is closed to Postgres's user."""
    with tempfile.TemporaryDirectory(prefix="debitum-test-") as folder:
        monkeypatch.setenv("DEBITUM_DATA_DIR", folder)
        monkeypatch.setenv("DEBITUM_KEYS", RING)
        monkeypatch.delenv("DEBITUM_BACKUP_PASSPHRASE", raising=False)
        yield resources.DataFolder(path=folder)


def back_up(
    jobs: resources.Database, data_folder: resources.DataFolder, instance: dg.DagsterInstance
) -> dict[str, dg.MetadataValue]:
    bound = {"database": jobs, "data_folder": data_folder}
    result = dg.materialize([assets.backup], instance=instance, resources=bound)
    [written] = result.asset_materializations_for_node("backup")
    return dict(written.metadata)


def look(jobs: resources.Database, data_folder: resources.DataFolder) -> dg.AssetCheckResult:
    result = checks.backup_is_recent(database=jobs, data_folder=data_folder)
    assert isinstance(result, dg.AssetCheckResult)
    return result


def of_the_past(folder: Path, *ages: datetime.timedelta) -> None:
    """Copies of the newest that claim by their names to be older."""
    newest = shelf.backups(folder)[0]
    for age in ages:
        (folder / shelf.name(newest.at - age)).write_bytes(newest.path.read_bytes())


def test_a_night_leaves_a_backup_and_says_what_is_in_it_and_what_is_not(
    jobs: resources.Database, data_folder: resources.DataFolder, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = data_folder.root / shelf.FOLDER
    told = back_up(jobs, data_folder, instance)
    assert told["keys"].value == "not in it: it is sealed by the key k1, keep DEBITUM_KEYS elsewhere"
    of_the_past(folder, *(datetime.timedelta(days=day) for day in range(1, 40)))
    monkeypatch.setenv("DEBITUM_BACKUP_PASSPHRASE", PASSPHRASE)
    for path in (one.path for one in shelf.backups(folder)[:1]):
        path.rename(folder / shelf.name(shelf.backups(folder)[0].at - datetime.timedelta(minutes=1)))
    told = back_up(jobs, data_folder, instance)
    assert told["keys"].value == "in it, sealed by the passphrase"
    kept = shelf.backups(folder)
    assert told["kept"].value == len(kept) in (9, 10)
    assert told["thrown_away"].value == 41 - len(kept)
    opened = Opened.of(kept[0].path, assets.secrets())
    assert (opened.keys.ring, str(kept[0].path)) == (RING, told["path"].value)
    assert PASSPHRASE not in str(told)


def test_the_list_of_the_erased_is_brought_up_to_date(
    database: Engine, jobs: resources.Database, data_folder: resources.DataFolder, instance: dg.DagsterInstance
) -> None:
    with database.begin() as connection:
        connection.execute(
            text("insert into debitum.erasures values (gen_random_uuid(), sha256('-'), :at, :at, '{}')"), {"at": everything.NOW}
        )
    back_up(jobs, data_folder, instance)
    assert [one.due_at for one in erased.read(data_folder.root / shelf.FOLDER)] == [everything.NOW]


def test_no_pooler_is_in_between(
    server: str,
    jobs: resources.Database,
    data_folder: resources.DataFolder,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whose session would keep the role that pg_dump takes."""
    with databases.cloned(server) as direct:
        other = engine.sync_engine(direct, "debitum-test")
        with other.begin() as connection:
            postings.ledger(connection)
        other.dispose()
        monkeypatch.setenv("DATABASE_DIRECT_URL", direct)
        assert back_up(jobs, data_folder, instance)["ledgers"].value == 1


def test_a_failure_leaves_what_was_there(
    database: Engine, jobs: resources.Database, data_folder: resources.DataFolder, instance: dg.DagsterInstance
) -> None:
    back_up(jobs, data_folder, instance)
    folder = data_folder.root / shelf.FOLDER
    of_the_past(folder, datetime.timedelta(days=90), datetime.timedelta(days=91))
    before = sorted(os.listdir(folder))
    with database.begin() as connection:
        connection.execute(text("update debitum.alembic_version set version_num = '0001'"))
    with pytest.raises(dg.Failure, match="no backup was made: the schema is at revision 0001"):
        back_up(jobs, data_folder, instance)
    assert sorted(os.listdir(folder)) == before


def test_the_check_knows_the_age_of_what_can_be_used(
    database: Engine,
    jobs: resources.Database,
    data_folder: resources.DataFolder,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert look(jobs, data_folder).passed, "nothing is older than a backup may be"
    with database.begin() as connection:
        postings.ledger(connection)
    assert (look(jobs, data_folder).passed, look(jobs, data_folder).description) == (False, "There is none.")
    back_up(jobs, data_folder, instance)
    assert look(jobs, data_folder).passed
    newest = shelf.backups(data_folder.root / shelf.FOLDER)[0].path
    newest.write_bytes(newest.read_bytes()[:-1])
    result = look(jobs, data_folder)
    assert (result.passed, "its end is missing" in str(result.description)) == (False, True)
    newest.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(checks, "OLDEST", -datetime.timedelta(seconds=1))
        back_up(jobs, data_folder, instance)
        result = look(jobs, data_folder)
    assert (result.passed, str(result.description)) == (False, "The newest backup is 0.0 hours old.")


def test_backups_of_a_wrong_clock_pass_for_no_backup_and_take_the_place_of_none(
    database: Engine, jobs: resources.Database, data_folder: resources.DataFolder, instance: dg.DagsterInstance
) -> None:
    with database.begin() as connection:
        postings.ledger(connection)
    back_up(jobs, data_folder, instance)
    folder = data_folder.root / shelf.FOLDER
    of_the_past(folder, *(-datetime.timedelta(days=7 * week) for week in range(1, 10)))
    made = Path(str(back_up(jobs, data_folder, instance)["path"].value))
    assert made.exists()
    assert (look(jobs, data_folder).passed, look(jobs, data_folder).metadata["path"].value) == (True, str(made))
    for kept in shelf.backups(folder):
        if kept.at <= datetime.datetime.now(datetime.UTC):
            kept.path.unlink()
    result = look(jobs, data_folder)
    assert (result.passed, str(result.description).count("is dated in the future")) == (False, 9)


def test_a_rehearsal_says_that_the_last_backup_comes_back(
    jobs: resources.Database, data_folder: resources.DataFolder, instance: dg.DagsterInstance
) -> None:
    def rehearse() -> tuple[bool, str]:
        result = dg.materialize([assets.rehearsal_report], instance=instance, resources={"data_folder": data_folder})
        [evaluated] = result.get_asset_check_evaluations()
        return evaluated.passed, str(evaluated.description)

    assert rehearse() == (False, f"there is no backup in {data_folder.root / shelf.FOLDER}.")
    back_up(jobs, data_folder, instance)
    passed, said = rehearse()
    assert (passed, "came back whole" in said) == (True, True), said
    assert os.listdir(data_folder.root) == [shelf.FOLDER]
