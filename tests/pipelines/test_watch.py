"""The code server's watch over its runs: a look that fails is not the last one, and forgets no run."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from dagster._grpc.server import DagsterApiServer

from pipelines import location, watch


class Dead:
    """The process of a run, as multiprocessing shows it."""

    def __init__(self) -> None:
        self.exitcode = subprocess.run((sys.executable, "-c", "raise SystemExit(3)"), check=False).returncode

    def is_alive(self) -> bool:
        return False


def test_a_look_that_fails_is_not_the_last() -> None:
    """The instance cannot be opened, as while Postgres is away; `location` is what a code server loads."""
    assert location.defs
    server = SimpleNamespace(_execution_lock=threading.Lock(), _executions={"a run": (Dead(), "no instance")})
    with pytest.raises(Exception, match="no instance"):
        watch._look(server)  # type: ignore[arg-type]
    DagsterApiServer._check_for_orphaned_runs(server)  # type: ignore[arg-type]
    assert "a run" in server._executions
    assert not server._execution_lock.locked()
