"""Data of PostgreSQL 16 becomes data of 18: the wheel has the programs of both. `make faults` kills that in every stage."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from debitum import cli, commands
from storage import embedded, major
from tests.fixtures import memory
from tests.storage import majors


@pytest.fixture
def folder() -> Iterator[Path]:
    """Postgres's user may enter it, where root runs the tests."""
    with tempfile.TemporaryDirectory(prefix="debitum-major-", dir=memory.home()) as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_old_data_is_brought_over_whatever_kills_it_and_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folder / "data"
    data.mkdir()
    expected = majors.make(data)
    try:
        majors.kill(data, major.MAKES, after_seconds=0.15)  # initdb goes on without whoever started it
        assert embedded.version_of(data / "pgdata") == majors.OLD
        majors.kill(data, major.PUTS)  # between the two renames
        assert not (data / "pgdata").exists()
        assert cli.main(["migrate", "--data-dir", str(data)]) == commands.OK, capsys.readouterr().err
        assert "PostgreSQL 18" in capsys.readouterr().out
        majors.finish(data, expected)
    finally:
        majors.remove(data)


def test_what_cannot_be_brought_over_is_told_with_what_to_do(tmp_path: Path) -> None:
    pgdata = tmp_path / "pgdata"
    pgdata.mkdir()
    for version, told in (("17", "this version of Debitum brings 16 and 18"), ("16", "exists already")):
        (pgdata / "PG_VERSION").write_text(f"{version}\n")
        (tmp_path / f"pgdata.{version}").mkdir()
        with pytest.raises(embedded.EmbeddedServerError, match=told):
            major.upgrade(tmp_path, print)
        assert pgdata.exists()
    (tmp_path / "pgdata.16").rmdir()
    with (pgdata / "large").open("wb") as large:
        large.truncate(2**50)  # a file with a hole: it takes no room, and a copy would
    with pytest.raises(embedded.EmbeddedServerError, match="make some"):
        major.upgrade(tmp_path, print)
