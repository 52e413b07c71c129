"""Dagster runs whose process went with an earlier code server."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg

from debitum import folders, processes
from storage import names, server, urls
from storage.encryption import new_ring
from tests.debitum.test_children import wait_until

START_SECONDS = 120
"""The machine may be busy with other tests."""

UNFINISHED = """
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
with DagsterInstance.get() as instance:
    create_run_for_test(instance, status=DagsterRunStatus.STARTED)
"""
PROGRAM = """
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
with DagsterInstance.get() as instance:
    from debitum import leftover_runs
    from storage import server
    import sys
    for status in (DagsterRunStatus.STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.NOT_STARTED, DagsterRunStatus.SUCCESS):
        create_run_for_test(instance, status=status)
    noted = server.unfinished_runs(sys.argv[1], "test")
    assert len(noted) == 2
    create_run_for_test(instance, status=DagsterRunStatus.STARTED)
    leftover_runs.main(noted)
    print(*sorted(run.status.value for run in instance.get_runs()))
"""


def _with_dagster(data_dir: Path, database_url: str) -> dict[str, str]:
    folders.make(data_dir)
    url = urls.psycopg2_url(database_url, schema=names.DAGSTER_SCHEMA)
    return {**os.environ, "DAGSTER_HOME": str(folders.dagster_home(data_dir)), "DEBITUM_DAGSTER_DATABASE_URL": url}


def test_only_runs_that_were_noted_and_claim_a_process_are_failed(tmp_path: Path, database_url: str) -> None:
    environment = _with_dagster(tmp_path, database_url)
    assert server.unfinished_runs(database_url, "test") == []
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, database_url], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout.split()[-5:] == ["FAILURE", "FAILURE", "NOT_STARTED", "STARTED", "SUCCESS"], ended.stderr


def test_a_code_server_whose_daemon_runs_elsewhere_takes_the_runs_for_its_own(tmp_path: Path, database_url: str) -> None:
    """The lock of the daemon is another's, as it is where each part has a container of its own."""
    subprocess.run([sys.executable, "-c", UNFINISHED], env=_with_dagster(tmp_path, database_url), check=True)
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
