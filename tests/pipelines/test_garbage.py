"""Dagster's programs find the garbage of ticks soon, however much they have loaded."""

import os
from pathlib import Path

from storage.encryption import new_ring
from tests.fixtures.loaded import Loaded

BEGINS = """
import gc, runpy, sys, weakref
from dagster._daemon.controller import DagsterDaemonController
from dagster._grpc.server import DagsterGrpcServer

gc.disable()  # or it would look through them again and again
loaded = [[] for _ in range(1_000_000)]
gc.enable()

class Made:
    "Refers to itself."

def of_a_tick():
    made = Made()
    made.itself = made
    gc.collect(1)  # it outlives a look at young objects, as what a tick makes does
    return weakref.ref(made)

def begin(self):
    made = [of_a_tick() for _ in range(50)]
    allocated = [[] for _ in range(5_000)]
    print("left:", sum(one() is not None for one in made))

DagsterGrpcServer.serve = DagsterDaemonController.check_daemon_loop = begin
runpy.run_module("pipelines", run_name="__main__", alter_sys=True)
"""


PROGRAMS = "code-server --socket socket -f empty.py", "daemon --empty-workspace"


def test_what_ticks_leave_is_found_soon(loaded: Loaded, tmp_path: Path) -> None:
    """In processes of their own, whose collector is Python's, asked by nobody. What they would do then is replaced by ticks."""
    (tmp_path / "empty.py").write_text("import dagster\ndefs = dagster.Definitions()\n")
    for program in PROGRAMS:
        home = os.environ | {"DAGSTER_HOME": str(tmp_path)}
        ended = loaded.run(BEGINS, *program.split(), environment=home, cwd=tmp_path)
        assert "left: 0" in ended.stdout, program + ended.stdout + ended.stderr


WORKS = """
import gc, pkgutil, runpy, sys

def work(*_, **__):
    print("is found:", gc.isenabled())
    sys.exit()

place, _, name = sys.argv.pop(1).rpartition(".")
setattr(pkgutil.resolve_name(place), name, work)
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


BEGIN_WORK = {"api": "api.serving.run", "pipelines webserver": "dagster_webserver.cli.dagster_webserver.main"}


def test_it_is_looked_for_once_all_is_loaded(loaded: Loaded) -> None:
    """And not before. What they would do then is replaced; nobody answers where Postgres should be."""
    settings = {"DATABASE_URL": "postgresql://127.0.0.1:1/none", "DEBITUM_KEYS": new_ring(), "DEBITUM_PORT": "0"}
    for program, work in BEGIN_WORK.items():
        ended = loaded.run(WORKS, work, *program.split(), environment=os.environ | settings)
        assert "is found: True" in ended.stdout, program + ended.stdout + ended.stderr
