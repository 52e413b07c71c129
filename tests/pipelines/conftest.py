"""The code location in this process: an instance that forgets, the resources of one test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

import pipelines
from pipelines.defs import resources
from storage import urls


def pytest_configure(config: pytest.Config) -> None:
    """Dagster warns of beta parameters: of one that it passes to itself, and of one that our assets pass, too."""
    for parameter in ("`owners` of initializer `SensorDefinition.__init__`", "`backfill_policy` of function `asset`"):
        config.addinivalue_line("filterwarnings", f"ignore:Parameter {parameter}")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Runs, ticks and events in memory."""
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def instance_on_disk() -> Iterator[dg.DagsterInstance]:
    """The same in SQLite files: a schedule looks at runs through a second connection."""
    with dg.instance_for_test() as kept:
        yield kept


@pytest.fixture
def instance_on_postgres(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The same as operators keep it, with our settings."""
    monkeypatch.setenv("DEBITUM_DAGSTER_DATABASE_URL", urls.psycopg2_url(database_url, schema="dagster"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(Path(pipelines.__file__).with_name("dagster.yaml"), tmp_path)
    with dg.DagsterInstance.get() as kept:
        yield kept


@pytest.fixture
def jobs(database_url: str, monkeypatch: pytest.MonkeyPatch) -> resources.Database:
    """The database as assets get it: by the environment."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return resources.Database(url=database_url)


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> resources.DataFolder:
    """An empty data folder, likewise."""
    monkeypatch.setenv("DEBITUM_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("DEBITUM_SNAPSHOT_URL", raising=False)
    return resources.DataFolder(path=str(tmp_path))
