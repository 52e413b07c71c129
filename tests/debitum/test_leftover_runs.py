"""Dagster runs whose process went with an earlier code server."""

import os
import subprocess
import sys
from pathlib import Path

from debitum import folders
from storage import engine, migrations, server

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


def test_only_runs_that_were_noted_and_claim_a_process_are_failed(tmp_path: Path, database_url: str) -> None:
    folders.make(tmp_path)
    home = folders.dagster_home(tmp_path)
    assert server.unfinished_runs(database_url, "test") == []
    url = engine.psycopg2_url(database_url, schema=migrations.DAGSTER_SCHEMA)
    environment = {**os.environ, "DAGSTER_HOME": str(home), "DEBITUM_DAGSTER_DATABASE_URL": url}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, database_url], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout.split()[-5:] == ["FAILURE", "FAILURE", "NOT_STARTED", "STARTED", "SUCCESS"], ended.stderr
