"""What the jobs endure, in its short form; `make faults` runs it long, with the whole of Debitum."""

from pathlib import Path

from tests.faults import pipelines


def test_workers_are_killed_in_the_middle_of_every_job(tmp_path: Path, database_url: str) -> None:
    assert pipelines.processes_are_killed(tmp_path, database_url) == 5
