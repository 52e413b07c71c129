"""The code location in this process: an instance that forgets, the resources of one test."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pipelines.defs import resources
from tests.fixtures.instances import instance_at


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
def instance_on_postgres(database_url: str, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Runs, ticks and events as operators keep them, with our settings."""
    with instance_at(database_url, tmp_path) as kept:
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
