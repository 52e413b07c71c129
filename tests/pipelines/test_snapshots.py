"""Snapshots as Dagster runs them: a range of days in one run, the running day, and what is asked for after a downtime."""

import datetime
import uuid
from collections.abc import Sequence
from datetime import UTC, timedelta
from pathlib import Path

import dagster as dg
import polars
import pytest
from sqlalchemy import Engine, text

from pipelines import definitions
from pipelines.defs import resources
from pipelines.defs.snapshots import assets, checks, schedules
from storage.snapshots import audit, files, questions
from storage.snapshots.tables import BALANCES, TABLES
from tests.pipelines import postings
from tests.pipelines.postings import Posting

ANNA = uuid.UUID(int=1)
MONDAY, TUESDAY = datetime.date(2026, 3, 2), datetime.date(2026, 3, 3)


@pytest.fixture
def template(template_with_dagster: str) -> str:
    return template_with_dagster


@pytest.fixture
def bound(jobs: resources.Database, data_folder: resources.DataFolder) -> dict[str, object]:
    """What the asset asks for; one ledger has had a debt since Monday."""
    return {"database": jobs, "data_folder": data_folder}


def with_debt(database: Engine) -> None:
    with database.begin() as connection:
        monday = datetime.datetime(2026, 3, 2, 12, tzinfo=UTC)
        ledger = postings.ledger(connection, created_at=monday)
        postings.commit(connection, ledger, Posting(ANNA, 500, at=monday))


def write(
    bound: dict[str, object],
    instance: dg.DagsterInstance,
    first: str,
    last: str,
    *,
    which: Sequence[dg.AssetsDefinition] = assets.ALL,
) -> dg.ExecuteInProcessResult:
    tags = {schedules.RANGE_START: first, schedules.RANGE_END: last}
    return dg.materialize([*which], instance=instance, resources=bound, tags=tags)


def test_a_range_is_one_run_with_each_day_s_numbers(
    database: Engine, bound: dict[str, object], data_folder: resources.DataFolder, instance: dg.DagsterInstance
) -> None:
    with_debt(database)
    result = write(bound, instance, "2026-03-01", "2026-03-03", which=[assets.balances_daily, assets.analytics])
    days = {each.partition: each.metadata for each in result.asset_materializations_for_node("balances_daily")}
    assert {day: metadata["dagster/partition_row_count"].value for day, metadata in days.items()} == {
        "2026-03-01": 0,
        "2026-03-02": 1,
        "2026-03-03": 1,
    }
    assert days["2026-03-03"]["made_of"].value == "the day before and the day's rows"
    assert instance.get_materialized_partitions(dg.AssetKey("balances_daily")) == set(days)
    assert questions.query(data_folder.files, "select day, amount from balances order by day")[1] == [
        (MONDAY, 500),
        (TUESDAY, 500),
    ]
    assert (data_folder.root / "analytics.duckdb").exists()


def test_snapshots_lie_where_the_setting_says(
    database: Engine,
    bound: dict[str, object],
    data_folder: resources.DataFolder,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_debt(database)
    place = f"{uuid.uuid4()}/debitum"
    monkeypatch.setenv("DEBITUM_SNAPSHOT_URL", f"memory://{place}")
    result = write(bound, instance, "2026-03-02", "2026-03-02")
    [written] = result.asset_materializations_for_node("balances_daily")
    assert written.metadata["path"].value == f"memory:///{place}/snapshots/balances/day=2026-03-02/part-0.parquet"
    assert questions.query(data_folder.files, "select day, amount from balances")[1] == [(MONDAY, 500)]
    assert [path for path in data_folder.root.rglob("*") if path.suffix == ".parquet"] == []
    assert (data_folder.root / "analytics.duckdb").exists()


def test_the_running_day_is_a_partition(bound: dict[str, object], instance: dg.DagsterInstance) -> None:
    today = datetime.datetime.now(UTC).date().isoformat()
    result = dg.materialize([assets.balances_daily], instance=instance, resources=bound, partition_key=today)
    (written,) = result.asset_materializations_for_node("balances_daily")
    assert (written.partition, written.metadata["provisional"].value) == (today, True)


def test_the_frequent_tick_asks_for_its_day(instance: dg.DagsterInstance) -> None:
    late = datetime.datetime(2026, 3, 4, 0, 30, tzinfo=datetime.timezone(timedelta(hours=2)))
    with dg.build_schedule_context(instance=instance, scheduled_execution_time=late) as context:
        asked = schedules.snapshot_today_schedule(context)
    assert isinstance(asked, dg.RunRequest)
    assert asked.partition_key == "2026-03-03"


def test_days_that_were_missed_are_asked_for_in_one_run(
    database: Engine, bound: dict[str, object], instance_on_postgres: dg.DagsterInstance
) -> None:
    """From the first question to the last, with the runs that the daemon would start."""
    assert tick(bound, instance_on_postgres) == dg.SkipReason("There is no ledger yet.")
    with_debt(database)
    write(bound, instance_on_postgres, "2026-03-03", "2026-03-03")
    asked = tick(bound, instance_on_postgres)
    assert isinstance(asked, dg.RunRequest)
    assert asked.tags == {**asked.tags, schedules.RANGE_START: "2026-03-02", schedules.RANGE_END: "2026-03-04"}
    job = definitions.defs.resolve_job_def("finish_snapshots")
    stuck = instance_on_postgres.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert tick(bound, instance_on_postgres) == dg.SkipReason("A run is under way.")
    instance_on_postgres.delete_run(stuck.run_id)
    result = job.execute_in_process(instance=instance_on_postgres, tags=dict(asked.tags), resources=bound)
    assert {len(result.asset_materializations_for_node(f"{table.name}_daily")) for table in TABLES} == {3}
    assert len(result.asset_materializations_for_node("analytics")) == 1
    assert tick(bound, instance_on_postgres) == dg.SkipReason("Every day that is over has its snapshot.")


def tick(bound: dict[str, object], instance: dg.DagsterInstance) -> object:
    """At five past midnight, after Wednesday the 4th."""
    at = datetime.datetime(2026, 3, 5, 0, 5, tzinfo=UTC)
    with dg.build_schedule_context(instance=instance, resources=bound, scheduled_execution_time=at) as context:
        return schedules.finish_snapshots_schedule(context)


@pytest.mark.parametrize("tags", [{}, {schedules.RANGE_START: "2026-03-03", schedules.RANGE_END: "2026-03-02"}])
def test_a_run_that_is_launched_without_a_day_says_so(
    bound: dict[str, object], instance_on_postgres: dg.DagsterInstance, tags: dict[str, str]
) -> None:
    """Also one whose last day is before its first: it would be green, and have written nothing."""
    job = definitions.defs.resolve_job_def("snapshot_today")
    result = job.execute_in_process(instance=instance_on_postgres, resources=bound, tags=tags, raise_on_error=False)
    failure = result.failure_data_for_node("activity_daily")
    assert failure is not None
    assert failure.error is not None
    assert "Of which days?" in failure.error.message


def test_days_that_are_written_stay_so_where_the_run_fails_at_a_later_one(
    database: Engine, bound: dict[str, object], instance_on_postgres: dg.DagsterInstance
) -> None:
    """Nobody asks for them again: their files are final."""
    with_debt(database)
    today = datetime.datetime.now(UTC).date()
    days = [(today + timedelta(days=number)).isoformat() for number in (-2, -1, 0, 1)]
    tags = {schedules.RANGE_START: days[0], schedules.RANGE_END: days[-1]}
    result = dg.materialize(
        [assets.postings_daily], instance=instance_on_postgres, resources=bound, tags=tags, raise_on_error=False
    )
    assert not result.success, "tomorrow is still to come"
    assert instance_on_postgres.get_materialized_partitions(assets.postings_daily.key) == set(days[:-1])


def test_a_run_stops_where_a_finished_day_does_not_add_up(
    database: Engine, bound: dict[str, object], data_folder: resources.DataFolder, instance_on_postgres: dg.DagsterInstance
) -> None:
    with_debt(database)
    write(bound, instance_on_postgres, "2026-03-02", "2026-03-02", which=[assets.balances_daily])
    with database.begin() as connection:
        connection.execute(text("update debitum.postings set amount = amount + 1"))
    job = definitions.defs.resolve_job_def("finish_snapshots")
    tags = {schedules.RANGE_START: "2026-03-03", schedules.RANGE_END: "2026-03-03"}
    result = job.execute_in_process(instance=instance_on_postgres, tags=tags, resources=bound, raise_on_error=False)
    failed = {each.check_name for each in result.get_asset_check_evaluations() if not each.passed}
    assert "newest_file_adds_up" in failed
    assert not result.success
    assert result.asset_materializations_for_node("analytics") == []


def test_the_newest_final_file_is_held_against_the_postings(
    database: Engine, bound: dict[str, object], instance: dg.DagsterInstance
) -> None:
    both = [checks.newest_file_adds_up, checks.history_agrees]

    def passed() -> list[bool]:
        only = dg.AssetSelection.checks(*both)
        asked = [assets.balances_daily, *both]
        result = dg.materialize(asked, selection=only, instance=instance, resources=bound, raise_on_error=False)
        return [evaluation.passed for evaluation in result.get_asset_check_evaluations()]

    assert passed() == [True, True], "there is no file yet"
    with_debt(database)
    write(bound, instance, "2026-03-01", "2026-03-03", which=[assets.balances_daily])
    assert passed() == [True, True]
    with database.begin() as connection:
        connection.execute(text("update debitum.postings set amount = amount + 1"))
    assert passed() == [False, False]
    with database.begin() as connection:
        connection.execute(text("update debitum.postings set amount = amount - 1, currency = 'JPY'"))
    assert passed() == [False, False]


def test_the_first_day_is_named_that_is_wrong(
    database: Engine, bound: dict[str, object], data_folder: resources.DataFolder, instance: dg.DagsterInstance
) -> None:
    with_debt(database)
    write(bound, instance, "2026-03-01", "2026-03-04", which=[assets.balances_daily])
    root = data_folder.files
    spoiled = Path(str(files.path_of(root, BALANCES, TUESDAY)))
    kept = {name: value for name, value in polars.read_parquet_metadata(spoiled).items() if name != "ARROW:schema"}
    polars.read_parquet(spoiled).with_columns(amount=polars.col("amount") + 100).write_parquet(spoiled, metadata=kept)
    write(bound, instance, "2026-03-04", "2026-03-05", which=[assets.balances_daily])
    with database.begin() as connection:
        assert audit.first_wrong(connection, root) == TUESDAY
        assert audit.differences(connection, root, datetime.date(2026, 3, 5)) != []
    write(bound, instance, "2026-03-03", "2026-03-05", which=[assets.balances_daily])
    with database.begin() as connection:
        assert audit.first_wrong(connection, root) is None
