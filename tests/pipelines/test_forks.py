"""Runs are forks that come loaded, behave as processes of their own, and leave nobody behind."""

import psutil
import pytest

from tests.debitum.test_children import wait_until
from tests.fixtures.loaded import Loaded

pytestmark = pytest.mark.skipif(not psutil.LINUX, reason="elsewhere runs are not forked")

WAIT_SECONDS = 60
PLAYED = "import runpy; runpy.run_module('tests.pipelines.forking', run_name='__main__', alter_sys=True)"
"""In a group of its own, as the supervisor begins the code server."""


@pytest.mark.parametrize("scene", ["comes_loaded", "is_replaced", "is_collected"])
def test_a_run(scene: str, loaded: Loaded) -> None:
    ended = loaded.run(PLAYED, scene)
    assert ended.returncode == 0, ended


def test_whoever_forks_ends_with_the_last_who_may_ask(loaded: Loaded) -> None:
    """The code server is killed: its run goes on, and when that has ended nobody is left."""
    ended = loaded.run(PLAYED, "is_left")
    assert ended.returncode == 1, ended
    run = psutil.Process(int(ended.stdout))
    forks = run.parent()
    assert forks is not None
    assert forks.is_running()
    run.terminate()
    wait_until(lambda: not forks.is_running() or forks.status() == psutil.STATUS_ZOMBIE, WAIT_SECONDS)


def test_the_definitions_begin_no_threads(loaded: Loaded) -> None:
    """Or runs would not be forks. What they load of Dagster's has begun none, or `loaded` would not fork."""
    told = loaded.run("import psutil; from pipelines.location import defs; print(psutil.Process().num_threads())")
    assert told.stdout.split() == ["1"], told
