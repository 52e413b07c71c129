"""A program of its own, for Dagster is big: marks runs as failed whose process went with an earlier code server.

Arguments: their ids.
"""

import os
import sys

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from storage import server
from telemetry import output

EXPLANATION = "Debitum was restarted while this run was going on; its process is gone."


def main(run_ids: list[str]) -> None:
    """Those that have not ended meanwhile."""
    with DagsterInstance.get() as instance:
        unfinished = [DagsterRunStatus(state) for state in server.UNFINISHED]
        for run in instance.get_runs(RunsFilter(run_ids=run_ids, statuses=unfinished)):
            instance.report_run_failed(run, message=EXPLANATION)


if __name__ == "__main__":
    output.configure(output.Choice.from_environment(os.environ))
    main(sys.argv[1:])
