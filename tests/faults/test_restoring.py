"""A backup that is made under load and put back, in its short form; `make faults` runs it long."""

from pathlib import Path

from tests.faults import restoring
from tests.faults.test_faults import folder as folder


async def test_a_backup_under_load_is_restored_on_another_machine(folder: Path, database_url: str) -> None:
    figures = await restoring.a_backup_is_restored(folder, database_url, workers=1, writers=4, seconds=0.7, seed=1)
    assert (figures.lost, figures.twice, figures.restored) == (0, 0, 1)
    assert figures.acknowledged > 50
