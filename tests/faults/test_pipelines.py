"""What the jobs endure, in its short form; `make faults` runs it long, with the whole of Debitum."""

from pathlib import Path

from tests.faults import pipelines


def test_workers_are_killed_in_the_middle_of_their_jobs(tmp_path: Path, database_url: str) -> None:
    """`snapshot_today` does what `finish_snapshots` does, and is left to `make faults`."""
    jobs = [job for job in pipelines.JOBS if job.name != "snapshot_today"]
    assert pipelines.processes_are_killed(tmp_path, database_url, jobs) == 4
