"""Balances as Dagster runs them: the asset with its checks, and the sensor that starts it."""

import datetime
import uuid

import dagster as dg
import pytest
from sqlalchemy import Engine, select, update

from pipelines import definitions
from pipelines.defs import resources
from pipelines.defs.balances import assets, checks
from pipelines.defs.balances import jobs as balance_jobs
from storage import tables
from tests.pipelines import postings
from tests.pipelines.postings import Posting

ANNA = uuid.UUID(int=1)


def materialise(jobs: resources.Database, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [assets.balances, checks.sample_adds_up], instance=instance, resources={"database": jobs}, raise_on_error=False
    )


def ledger_with_debt(database: Engine) -> None:
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        postings.commit(connection, ledger, Posting(ANNA, 500))


def test_a_run_reports_what_it_did(database: Engine, jobs: resources.Database, instance: dg.DagsterInstance) -> None:
    ledger_with_debt(database)
    result = materialise(jobs, instance)
    (materialization,) = result.asset_materializations_for_node("balances")
    metadata = {name: value.value for name, value in materialization.metadata.items()}
    assert metadata.pop("seconds", -1) >= 0  # type: ignore[operator]  # a value of metadata may be anything
    assert metadata.pop("preview") == "| currency | balances changed |\n|---|---:|\n| EUR | 1 |"
    assert metadata == {"dagster/row_count": 1, "ledgers": 1, "events_covered": 1, "rows_changed": 1, "chunks": 1}
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("sample_adds_up", True)


def test_buckets_report_together_what_they_did(database: Engine, jobs: resources.Database, instance: dg.DagsterInstance) -> None:
    """The same asset, of one step for each bucket, and the same words about it."""
    for _ in range(30):
        ledger_with_debt(database)
    split = assets.in_buckets(3)
    [spec], [whole] = split.specs, assets.in_buckets(1).specs
    assert (spec.key, spec.group_name, spec.description) == (whole.key, whole.group_name, whole.description)
    assert (list(spec.owners), spec.kinds, {dep.asset_key for dep in spec.deps}) == (
        list(whole.owners),
        whole.kinds,
        {dep.asset_key for dep in whole.deps},
    )
    assert split.node_def.pools == {assets.POOL}
    result = dg.materialize([split], instance=instance, resources={"database": jobs})
    steps = {event.step_key for event in result.all_events if event.is_step_success}
    assert steps == {"balances.bucket_0", "balances.bucket_1", "balances.bucket_2", "balances.covered"}
    [materialization] = [event.materialization for event in result.get_asset_materialization_events()]
    metadata = {name: value.value for name, value in materialization.metadata.items()}
    assert metadata.pop("seconds", -1) >= 0  # type: ignore[operator]  # a value of metadata may be anything
    assert metadata.pop("preview") == "| currency | balances changed |\n|---|---:|\n| EUR | 30 |"
    counted = {"dagster/row_count": 30, "ledgers": 30, "events_covered": 30, "rows_changed": 30, "chunks": 3, "buckets": 3}
    assert metadata == counted


def test_checks_count_what_does_not_add_up(database: Engine, jobs: resources.Database, instance: dg.DagsterInstance) -> None:
    ledger_with_debt(database)
    materialise(jobs, instance)
    with database.begin() as connection:
        connection.execute(update(tables.balances).values(amount=501))
    sample = checks.sample_adds_up(jobs)
    everything = checks.everything_adds_up(jobs)
    for result in (sample, everything):
        assert isinstance(result, dg.AssetCheckResult)
        assert not result.passed
        assert "| EUR | 1 |" in str(result.metadata["preview"].value)


def test_the_frequent_job_checks_a_sample_and_the_daily_one_everything() -> None:
    repository = definitions.defs.get_repository_def()

    def names(job: str) -> set[str]:
        return {node.name for node in repository.get_job(job).nodes}

    assert names("materialise_balances") == {"balances", "balances_sample_adds_up"}
    assert names("check_balances") == {"postings_everything_adds_up"}


def test_the_sensor_asks_only_when_a_ledger_changed(
    database: Engine, jobs: resources.Database, instance: dg.DagsterInstance
) -> None:
    assert isinstance(tick(jobs, instance), dg.SkipReason)
    ledger_with_debt(database)
    asked = tick(jobs, instance)
    assert isinstance(asked, dg.RunRequest)
    assert asked.run_key is None  # a key is remembered for ever: after a run that failed nothing would start again
    materialise(jobs, instance)
    assert isinstance(tick(jobs, instance), dg.SkipReason)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_the_sensor_waits_for_a_run_that_is_under_way(
    database: Engine, jobs: resources.Database, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    ledger_with_debt(database)
    job = definitions.defs.resolve_job_def("materialise_balances")
    instance.create_run_for_job(job, status=status)
    assert isinstance(tick(jobs, instance), dg.SkipReason)


def test_the_sensor_does_not_wait_for_a_run_that_vanished(
    database: Engine, jobs: resources.Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger_with_debt(database)
    job = definitions.defs.resolve_job_def("materialise_balances")
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    monkeypatch.setattr(balance_jobs, "MAX_RUNTIME_SECONDS", -1)
    assert isinstance(tick(jobs, instance), dg.RunRequest)


def test_a_tick_and_a_run_fit_into_a_minute() -> None:
    queue_and_start = datetime.timedelta(seconds=20)
    assert datetime.timedelta(seconds=balance_jobs.INTERVAL_SECONDS) + queue_and_start < datetime.timedelta(minutes=1)


def tick(jobs: resources.Database, instance: dg.DagsterInstance) -> object:
    with dg.build_sensor_context(instance=instance, resources={"database": jobs}) as context:
        return balance_jobs.ledgers_changed(context)


def test_what_a_check_found_wrong_is_summed_anew(
    database: Engine, jobs: resources.Database, instance: dg.DagsterInstance
) -> None:
    ledger_with_debt(database)
    materialise(jobs, instance)
    with database.begin() as connection:
        connection.execute(update(tables.balances).values(amount=4))
    result = balance_jobs.resum_balances.execute_in_process(instance=instance, resources={"database": jobs})
    assert result.success
    with database.connect() as connection:
        assert connection.scalars(select(tables.balances.c.amount)).all() == [500]
