"""Runs are forks that come loaded, behave as processes of their own, and leave nobody behind."""

import subprocess
import sys

import psutil
import pytest

from tests.debitum.test_children import wait_until

pytestmark = pytest.mark.skipif(not psutil.LINUX, reason="elsewhere runs are not forked")

WAIT_SECONDS = 60


def begin(scene: str) -> "subprocess.Popen[str]":
    """In a group of its own, as the supervisor begins it; what fails there is told here."""
    return subprocess.Popen(
        (sys.executable, "-m", "tests.pipelines.forking", scene),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("scene", ["comes_loaded", "is_replaced", "is_collected"])
def test_a_run(scene: str) -> None:
    with begin(scene) as process:
        said = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0, said


def test_whoever_forks_ends_with_the_last_who_may_ask() -> None:
    """The code server is killed: its run goes on, and when that has ended nobody is left."""
    with begin("is_left") as process:
        assert process.stdout is not None
        run = psutil.Process(int(process.stdout.readline()))
        forks = run.parent()
        assert process.wait(WAIT_SECONDS) == 1
        assert forks is not None
        assert forks.is_running()
        run.terminate()
        wait_until(lambda: not forks.is_running() or forks.status() == psutil.STATUS_ZOMBIE, WAIT_SECONDS)


def test_the_definitions_begin_no_threads() -> None:
    """Or runs would not be forks."""
    program = "import psutil; from pipelines.location import defs; print(psutil.Process().num_threads())"
    told = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["1"]
