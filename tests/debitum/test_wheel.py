"""The wheel: all that a run reads is in it, and nothing of a run comes from a checkout. `make wheel-test` installs it."""

import os
import signal
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.debitum.test_up import Up, free_port

CHECKOUT = Path(__file__).parents[2]
PACKAGES = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
BESIDE = {"debitum/workspace.yaml"}
"""Lies at the top of a checkout, where Dagster's own tools look for it."""

TELLS = """
import os, sys

CHECKOUT, INSTALLED, LOG = {checkout!r}, sys.prefix + os.sep, {log!r}

def look(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(CHECKOUT + os.sep) and not path.startswith(INSTALLED):
            descriptor = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(descriptor, path.encode() + b"\\n")
            os.close(descriptor)

sys.addaudithook(look)
"""
"""sitecustomize: every process, whoever started it, notes which files of the checkout it opens."""

DAGSTER = """
from pathlib import Path
import sys
from debitum import folders
from notifications import catalogues
import pipelines.location
data_dir = Path(sys.argv[1])
folders.make(data_dir)
assert (folders.dagster_home(data_dir) / "dagster.yaml").read_text()
assert "grpc_server" in folders.workspace().read_text()
assert list(catalogues.TEMPLATES.iterdir())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make wheel-test` and the Dockerfile do."""
    folder = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder))
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    [built] = folder.iterdir()
    return built


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """For a process that is to have the wheel's files before all others; in the end none may have opened one of the checkout."""
    place, log = tmp_path / "installed", tmp_path / "opened.txt"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    (place / "sitecustomize.py").write_text(TELLS.format(checkout=str(CHECKOUT), log=str(log)))
    yield {"PYTHONPATH": str(place)}
    assert not log.exists(), log.read_text()


def test_every_file_of_the_packages_is_in_it_and_nothing_else(wheel: Path) -> None:
    there = {
        str(path.relative_to(CHECKOUT))
        for package in PACKAGES
        for path in (CHECKOUT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        entry_points = [archive.read(name).decode() for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert packed == there | BESIDE
    assert entry_points == ["[console_scripts]\ndebitum = debitum.cli:program\n"]


def test_a_run_opens_no_file_of_a_checkout(installed: Mapping[str, str], tmp_path: Path, database_url: str) -> None:
    up = Up(tmp_path, free_port(), {**installed, "DATABASE_URL": database_url})
    try:
        up.wait_for("everything answers")
        assert httpx.get(f"http://127.0.0.1:{up.port}/health/ready").status_code == 200
        asked = {"email": "ada@example.org", "password": "password1234", "time_zone": "UTC"}
        refused = httpx.post(f"http://127.0.0.1:{up.port}/api/auth/register", json=asked)
        assert "common" in refused.text, "the list of common passwords is there"
        assert up.end(signal.SIGTERM) == 0, up.said()
    finally:
        up.clean_up()


def test_dagsters_side_opens_none_either(installed: Mapping[str, str], tmp_path: Path, database_url: str) -> None:
    settings = {"DATABASE_URL": database_url, "DEBITUM_DATA_DIR": str(tmp_path / "data"), "DEBITUM_KEYS": "k1:" + "A" * 43 + "="}
    command = (sys.executable, "-P", "-c", DAGSTER, str(tmp_path / "data"))
    loaded = subprocess.run(command, env={**os.environ, **settings, **installed}, cwd=tmp_path, capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
