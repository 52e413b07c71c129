"""Dagster's own tables as an older Dagster left them: they are brought to this one's revision, and what is in them stays."""

import os
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dagster import AssetKey, asset, materialize

from debitum import cli, commands, dagster_schema, folders
from storage import dagster_tables, migrations, urls
from tests.debitum.test_children import heard, wait_until
from tests.fixtures import old_dagster, pooler
from tests.fixtures.instances import instance_at


@asset
def ledger_balances() -> None:
    """Of both Dagsters."""


def migrate(data_dir: Path) -> int:
    return cli.main(["migrate", "--data-dir", str(data_dir)])


@pytest.fixture
def old(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a database with tables of Dagster's from an older one."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DATABASE_DIRECT_URL", pooler.direct(database_url))
    old_dagster.put(pooler.direct(database_url))
    return pooler.direct(database_url)


def test_old_tables_are_brought_to_this_revision_and_keep_what_is_in_them(
    old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as hurried, psycopg.connect(urls.libpq_url(old)) as reader:
        hurried.setattr(migrations, "LOCK_SECONDS", 0.2)
        reader.execute("select from dagster.runs")
        assert migrate(tmp_path) == commands.WRONG
        assert "in use for more than 0.2 s" in capfd.readouterr().err
    assert old_dagster.revision(old) not in (old_dagster.REVISION, dagster_schema.newest()), "it was cut short on its way"
    with psycopg.connect(urls.libpq_url(old)) as connection:  # as it is where the building of an index was killed
        connection.execute("update pg_index set indisvalid = false where indexrelid = 'dagster.idx_run_tags_run_idx'::regclass")
        connection.execute("update dagster.alembic_version set version_num = %s", (old_dagster.REVISION,))

    assert migrate(tmp_path) == commands.OK
    assert f"are brought to {dagster_schema.newest()}" in capfd.readouterr().out
    found = _look(tmp_path, old)
    assert found["revisions"] == (dagster_schema.newest(),) * 2
    assert found["built"] == [True, True]
    runs = {job: (status, events) for job, status, events in found["runs"]}
    assert runs.keys() == {*old_dagster.RUNS, "__ephemeral_asset_job__"}
    assert all(status == "SUCCESS" and events > 10 for status, events in runs.values())
    assert (found["latest"], found["partitions"], found["of_balances"]) == (("2024-01-02", 7), {"2024-01-02"}, 2)
    with dagster_tables.alone(old, "debitum-test") as connection:
        valid = "select indisvalid from pg_index where indexrelid = 'dagster.idx_run_tags_run_idx'::regclass"
        assert (connection.execute(valid).fetchone(), dagster_tables.is_unfinished(connection)) == ((True,), False)

    assert migrate(tmp_path) == commands.OK
    assert "dagster" not in capfd.readouterr().out, "there is nothing left to do"


def _look(data_dir: Path, url: str) -> dict[str, Any]:
    """What this Dagster reads there, and that it can work there."""
    folders.make(data_dir)
    with instance_at(url, folders.dagster_home(data_dir)) as instance:
        assert materialize([ledger_balances], instance=instance).success
        latest = instance.get_latest_materialization_event(AssetKey("debts"))
        assert latest is not None
        assert latest.asset_materialization is not None
        storage: Any = instance.run_storage
        return {
            "revisions": storage.alembic_version(),
            "built": [storage.has_built_index(name) for name in ("run_backfill_id", "backfill_job_name_and_tags")],
            "runs": [(run.job_name, run.status.value, len(instance.all_logs(run.run_id))) for run in instance.get_runs()],
            "latest": (latest.asset_materialization.partition, latest.asset_materialization.metadata["rows"].value),
            "of_balances": len(instance.fetch_materializations(AssetKey("ledger_balances"), limit=9).records),
            "partitions": instance.get_materialized_partitions(AssetKey("debts")),
        }


def test_one_upgrades_and_the_other_waits(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    began, upgraded = threading.Event(), []

    def run(url: str, _: object) -> None:
        began.set()
        upgraded.append(url)

    monkeypatch.setattr(dagster_schema, "_run", run)
    thread = threading.Thread(target=dagster_schema.upgrade, args=(old, os.environ, heard([])))
    with dagster_tables.alone(old, "debitum-other") as other, psycopg.connect(urls.libpq_url(old), autocommit=True) as looking:
        thread.start()
        waits = "select 1 from pg_stat_activity where application_name = 'debitum-migrate' and state = 'idle'"
        wait_until(lambda: looking.execute(waits + " and datname = current_database()").fetchone())
        assert not began.is_set()
        other.execute("update dagster.alembic_version set version_num = %s", (dagster_schema.newest(),))
    thread.join(60)
    assert upgraded == [], "the other has done it"

    with dagster_tables.alone(old, "debitum-other") as other:  # it was killed after the revision, before the data
        dagster_tables.begin(other)
    assert dagster_schema.upgrade(old, os.environ, heard([])) == dagster_schema.newest()
    assert upgraded == [old]


def test_tables_of_a_newer_dagster_are_refused_with_what_to_do(
    old: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(urls.libpq_url(old)) as connection:
        connection.execute("update dagster.alembic_version set version_num = 'ffffffffffff'")
    assert migrate(tmp_path) == commands.WRONG
    told = capsys.readouterr().err
    assert "revision ffffffffffff, which this Dagster does not know" in told
    assert "drop schema dagster cascade" in told
    with psycopg.connect(urls.libpq_url(old), autocommit=True) as connection:
        connection.execute("drop schema dagster cascade")
    assert migrate(tmp_path) == commands.OK
