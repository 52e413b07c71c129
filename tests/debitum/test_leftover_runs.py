"""Dagster runs whose process went with an earlier code server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from debitum import folders, leftover_runs, processes
from storage import server, urls
from storage.encryption import new_ring
from tests.debitum.test_children import wait_until
from tests.fixtures.instances import instance_at

START_SECONDS = 120
"""The machine may be busy with other tests."""


@pytest.fixture
def template(template_with_dagster: str) -> str:
    return template_with_dagster


@pytest.fixture
def instance(tmp_path: Path, database_url: str) -> Iterator[DagsterInstance]:
    """Dagster's, in the data folder `tmp_path`."""
    folders.make(tmp_path)
    with instance_at(database_url, folders.dagster_home(tmp_path)) as kept:
        yield kept


def test_only_runs_that_were_noted_and_claim_a_process_are_failed(database_url: str, instance: DagsterInstance) -> None:
    assert server.unfinished_runs(database_url, "test") == []
    for status in (DagsterRunStatus.STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.NOT_STARTED, DagsterRunStatus.SUCCESS):
        create_run_for_test(instance, status=status)
    noted = server.unfinished_runs(database_url, "test")
    assert len(noted) == 2
    create_run_for_test(instance, status=DagsterRunStatus.STARTED)
    leftover_runs.main(noted)
    left = sorted(run.status.value for run in instance.get_runs())
    assert left == ["FAILURE", "FAILURE", "NOT_STARTED", "STARTED", "SUCCESS"]


def test_a_code_server_whose_daemon_runs_elsewhere_takes_the_runs_for_its_own(
    tmp_path: Path, database_url: str, instance: DagsterInstance
) -> None:
    """The lock of the daemon is another's, as it is where each part has a container of its own."""
    create_run_for_test(instance, status=DagsterRunStatus.STARTED)
    assert len(server.unfinished_runs(database_url, "test")) == 1
    given = {"DATABASE_URL": database_url, "DEBITUM_KEYS": new_ring(), "DEBITUM_PARTS": "code-server"}
    said = tmp_path / "said"
    with psycopg.connect(urls.libpq_url(database_url)) as leader, said.open("wb") as output:
        leader.execute("select pg_advisory_lock(hashtext('debitum dagster daemon'))")
        up = subprocess.Popen(
            [sys.executable, "-m", "debitum", "up", "--data-dir", str(tmp_path)],
            env={**os.environ, **given},
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )
        try:
            wait_until(
                lambda: "1 runs that an earlier code server left" in said.read_text() or up.poll() is not None, START_SECONDS
            )
            assert "are marked as failed" in said.read_text()
            assert server.unfinished_runs(database_url, "test") == []
            up.terminate()
            assert up.wait(START_SECONDS) == 0
        finally:
            up.kill()
            up.wait()
            processes.end_leftovers(tmp_path)
