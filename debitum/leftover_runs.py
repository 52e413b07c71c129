"""A program of its own, for Dagster is big: marks runs as failed whose process went with an earlier code server."""

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from storage import server

EXPLANATION = "Debitum was restarted while this run was going on; its process is gone."


def main() -> None:
    """Only while no code server runs, ours or another host's."""
    with DagsterInstance.get() as instance:
        unfinished = RunsFilter(statuses=[DagsterRunStatus(state) for state in server.UNFINISHED])
        for run in instance.get_runs(unfinished):
            instance.report_run_failed(run, message=EXPLANATION)


if __name__ == "__main__":
    main()
