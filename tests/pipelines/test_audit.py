"""The audit as Dagster runs it: its check passes, or fails with a name that operators can use and that an erasure empties."""

import datetime
from datetime import UTC, timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from debitum import cli
from pipelines.defs import resources
from pipelines.defs.audit import assets
from storage import balances, encryption
from tests.storage import logs
from tests.storage.test_ledgers import RING


@pytest.fixture
def past(database: Engine, jobs: resources.Database, monkeypatch: pytest.MonkeyPatch) -> logs.Past:
    """A ledger of yesterday, materialised."""
    monkeypatch.setenv("DEBITUM_KEYS", RING)
    with database.begin() as connection:
        found = logs.past(connection, 7, datetime.datetime.now(UTC) - timedelta(days=1), timedelta(minutes=1))
    balances.materialise(jobs.begin)
    return found


def audit(jobs: resources.Database, data_folder: resources.DataFolder, instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    bound = {"database": jobs, "data_folder": data_folder}
    result = dg.materialize([assets.ledger_audit], instance=instance, resources=bound)
    [evaluation] = result.get_asset_check_evaluations()
    return evaluation


def test_a_planted_corruption_fails_the_check_which_names_the_ledger_and_the_first_seq(
    database: Engine,
    jobs: resources.Database,
    data_folder: resources.DataFolder,
    instance: dg.DagsterInstance,
    past: logs.Past,
    capsys: pytest.CaptureFixture[str],
    database_url: str,
    tmp_path: Path,
) -> None:
    clean = audit(jobs, data_folder, instance)
    assert (clean.passed, clean.description) == (True, "Everything follows from the log.")
    with database.begin() as connection:
        seq = connection.scalar(text("select min(seq) from debitum.postings"))
        connection.execute(text("update debitum.postings set amount = amount + 7 where seq = :seq"), {"seq": seq})
    failed = audit(jobs, data_folder, instance)
    name = assets.digest(str(past.ledger_id))
    assert not failed.passed
    assert failed.description is not None
    assert f"{name}: postings, from seq {seq} on" in failed.description
    assert f"| {name} | postings | {seq} |" in str(failed.metadata["preview"].value)
    assert str(past.ledger_id) not in f"{failed.description} {failed.metadata}"
    assert cli.main(["verify", "--data-dir", str(tmp_path), "--ledger", name]) == 1
    assert f"ledger {past.ledger_id}, seq {seq}: postings" in capsys.readouterr().out
    assert cli.main(["verify", "--data-dir", str(tmp_path), "--ledger", "00000000"]) == 2


def test_without_keys_it_says_so(
    jobs: resources.Database,
    data_folder: resources.DataFolder,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DEBITUM_KEYS", raising=False)
    with pytest.raises(encryption.KeyRingError, match="DEBITUM_KEYS"):
        audit(jobs, data_folder, instance)
