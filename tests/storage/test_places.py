"""Where snapshots lie: what a URL says, what its filesystem shows of them, and what an interruption leaves."""

import datetime
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import IO, Any

import duckdb
import polars
import pytest
from sqlalchemy import Engine
from upath import UPath

from storage.engine import Begin
from storage.snapshots import audit, erasure, files, places, progress, questions, writing
from storage.snapshots.places import Root
from storage.snapshots.schema import COPY, SNAPSHOTS
from storage.snapshots.tables import BALANCES, POSTINGS
from tests.storage.conftest import as_jobs

MONDAY, TUESDAY = datetime.date(2026, 3, 2), datetime.date(2026, 3, 3)


@pytest.fixture
def begin(unchanged: Engine) -> Begin:
    """Where the files lie does not depend on what is in them: nobody is in this database."""
    return as_jobs(unchanged)


def names(folder: places.File) -> list[str]:
    above = f"{places.location(folder)}/"
    return sorted(places.location(path).removeprefix(above) for path in folder.glob("**/*") if path.is_file())


def test_a_file_url_is_a_folder_like_another(begin: Begin, tmp_path: Path) -> None:
    plain, mounted = Root(tmp_path / "plain"), Root.of(tmp_path / "data", f"file://{tmp_path}/a mount, 100%")
    for root in (plain, mounted):
        writing.write(begin, root, POSTINGS, MONDAY)
    assert isinstance(mounted.elsewhere, Path)
    found, expected = tmp_path / "a mount, 100%", tmp_path / "plain"
    assert names(found) == names(expected) != []
    assert [(found / name).read_bytes() for name in names(found)] == [(expected / name).read_bytes() for name in names(expected)]
    assert not (tmp_path / "data").exists()


def test_the_data_folder_holds_nothing_of_snapshots_that_lie_elsewhere(begin: Begin, root: Root) -> None:
    writing.write(begin, root, BALANCES, MONDAY)
    writing.write_dimensions(begin, root)
    questions.write_views(root)
    there = [f"{table}/day=2026-03-02/part-0.parquet" for table in ("balances", "transactions")]
    dimensions = [f"dim_{name}/part-0.parquet" for name in ("currency", "ledger")]
    assert names(root.folder(SNAPSHOTS)) == sorted(there + dimensions)
    views = {questions.DATABASE, questions.SCRIPT}
    assert {name for name in names(root.data) if not name.startswith("snapshots/")} == views
    assert root.folder(COPY) == root.data / "audit"
    if root.elsewhere:
        assert names(root.data / "snapshots") == []


@pytest.mark.parametrize("old", [True, False], ids=["replaced", "new"])
def test_an_upload_that_breaks_off_leaves_what_was_there(
    begin: Begin, root: Root, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    path = files.path_of(root, POSTINGS, MONDAY)
    before = writing.write(begin, root, POSTINGS, MONDAY).path.read_bytes()
    if not old:
        path.unlink()

    def breaks(source: IO[bytes], target: IO[bytes]) -> None:
        target.write(source.read(10))
        fails()

    def fails(*_: object) -> None:
        raise OSError("connection lost")

    monkeypatch.setattr(shutil, "copyfileobj", breaks)
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="connection lost"):
        writing.write(begin, root, POSTINGS, MONDAY)
    assert path.exists() == old
    assert not old or path.read_bytes() == before
    assert not list(root.data.glob("**/.building-*"))
    monkeypatch.undo()
    assert writing.write(begin, root, POSTINGS, MONDAY).path.read_bytes() == before
    assert questions.query(root, "select * from postings")[1] == []


def test_nothing_but_snapshots_is_read_there(elsewhere: Root) -> None:
    """Also where the filesystem takes `..` for a step upwards, as those of servers do; a store of objects does not."""
    assert isinstance(elsewhere.elsewhere, UPath)
    fs, home = elsewhere.elsewhere.fs, elsewhere.elsewhere.path
    for name in ("snapshots/../secret", "secret", "snapshots-too/secret"):
        fs.pipe_file(f"{home}/{name}", b"key")
    (elsewhere.folder(SNAPSHOTS) / "known").write_text("known")
    for name in ("snapshots/known", "snapshots/kno*"):
        asked = f"select content from read_text('memory://{home}/{name}')"
        assert questions.query(elsewhere, asked)[1] == [("known",)]
    for name in ("snapshots/../secret", "snapshots/*/../../secret", "secret", "snapshots-too/secret", "*"):
        with pytest.raises(questions.QueryError):
            questions.query(elsewhere, f"select content from read_text('memory://{home}/{name}')")
    with places.connect(elsewhere) as duck, pytest.raises((duckdb.Error, OSError), match="read only"):
        duck.execute(f"copy (select 1) to 'memory://{home}/snapshots/x.csv'")


def test_what_others_wrote_is_seen(begin: Begin, elsewhere: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule looks at the days from a process that lives as long as Dagster does."""
    assert isinstance(elsewhere.elsewhere, UPath)
    forgotten: list[Any] = []
    monkeypatch.setattr(type(elsewhere.elsewhere.fs), "invalidate_cache", lambda _, path=None: forgotten.append(path))
    progress.unfinished(elsewhere, MONDAY, TUESDAY, tables=[BALANCES])
    assert forgotten


def test_what_opens_a_place_is_not_in_its_name(tmp_path: Path) -> None:
    root = Root(tmp_path, UPath("memory://bucket/debitum", password="hunter2"))
    assert places.location(root.folder(SNAPSHOTS)) == "memory:///bucket/debitum/snapshots"
    assert "hunter2" not in repr(root)


def test_footers_elsewhere_are_waited_for_together(elsewhere: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick has a minute, and years are thousands of files."""
    assert isinstance(elsewhere.elsewhere, UPath)
    days = [MONDAY + datetime.timedelta(days=number) for number in range(20)]
    for day in days:
        path = files.path_of(elsewhere, BALANCES, day)
        with places.workshop(elsewhere, path) as work:
            marks = f"kv_metadata {{provisional: 'false', schema_version: '{BALANCES.version}'}}"
            duckdb.execute(f"copy (select 1) to $built (format parquet, {marks})", {"built": str(work / "built")})
            places.put(work / "built", path)
    waiting, most = [0], [0]

    def modified(_: object, path: str) -> datetime.datetime:
        waiting[0] += 1
        most[0] = max(most[0], waiting[0])
        time.sleep(0.05)
        waiting[0] -= 1
        return datetime.datetime.now(datetime.UTC)

    monkeypatch.setattr(type(elsewhere.elsewhere.fs), "modified", modified)
    assert files.final_days(elsewhere, BALANCES) == set(days)
    assert most[0] > (os.cpu_count() or 1)


@pytest.mark.parametrize("opened", [partial(places.connect, threads=1), places.glance])
def test_a_signal_ends_more_than_the_statement(root: Root, opened: Callable[[Root], AbstractContextManager[Any]]) -> None:
    """Whoever stops a run of Dagster's, or `debitum sql`, stops all of it; DuckDB itself tells of a RuntimeError."""

    def ask() -> None:
        with opened(root) as duck:
            threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
            duck.execute("select sum(range) from range(3000000000)")

    with pytest.raises(KeyboardInterrupt):
        ask()


def test_analysts_read_with_the_driver_alone(begin: Begin, root: Root) -> None:
    """As docs/analysts.md has it."""
    written = writing.write(begin, root, BALANCES, MONDAY)
    questions.write_views(root)
    with duckdb.connect(str(root.data / questions.DATABASE), read_only=True) as duck:
        if isinstance(root.elsewhere, UPath):
            duck.register_filesystem(root.elsewhere.fs)
        assert duck.sql("select count(*) from balances").fetchall() == [(0,)]
    with written.path.open("rb") as file:
        assert polars.read_parquet(file).columns == list(BALANCES.columns)
    with begin() as connection:
        assert audit.differences(connection, root, MONDAY) == []
    assert erasure.erase(root, []) == {}
