"""Runs as forks of a process that has everything loaded: importing it anew takes each run over two seconds, and 150 MiB."""

import gc
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from functools import wraps
from multiprocessing import forkserver, get_context, resource_tracker, util
from pathlib import Path
from typing import Any, Final, NoReturn

import psutil
from dagster._grpc.server import DagsterApiServer, LoadedRepositories

NAMES: Final = "debitum-forks", "debitum-run"
"""By which operators tell the two kinds of processes apart, whose command lines are the code server's; 15 letters at most."""


def preload() -> None:
    """From now on the code server's runs are forks, as soon as it has loaded the definitions.

    At that moment it has no server and no connection that forks would share. Nothing changes where the definitions cannot be
    loaded, or have started threads, whose locks might be held for ever in forks; nor outside Linux, where libraries of the system
    have such threads.
    """
    if not psutil.LINUX:
        return
    load = LoadedRepositories.__init__
    begin = DagsterApiServer.__init__
    method = "spawn"

    @wraps(load)
    def load_and_fork(repositories: LoadedRepositories, *args: Any, **options: Any) -> None:
        nonlocal method
        load(repositories, *args, **options)
        setattr(LoadedRepositories, load.__name__, load)  # what is loaded later is loaded beside threads
        if psutil.Process().num_threads() == 1:
            _fork_server()
            method = "forkserver"

    @wraps(begin)
    def begin_and_replace(server: DagsterApiServer, *args: Any, **options: Any) -> None:
        begin(server, *args, **options)
        server._mp_ctx = get_context(method)  # type: ignore[assignment]  # Dagster knows its own alone, "spawn"

    setattr(LoadedRepositories, load.__name__, load_and_fork)
    setattr(DagsterApiServer, begin.__name__, begin_and_replace)


def _fork_server() -> None:
    """Start Python's fork server as a fork of this process, so that both share what is loaded; only the first one is."""
    gc.collect()
    gc.freeze()  # a look for garbage would write into all that is shared
    resource_tracker.ensure_running()  # or it would be started by the function that is replaced below
    spawn = util.spawnv_passfds
    util.spawnv_passfds = _fork  # type: ignore[assignment]  # the fork server passes str alone
    try:
        forkserver.ensure_running()
    finally:
        util.spawnv_passfds = spawn


def _fork(_: str, words: Sequence[str], descriptors: Sequence[int]) -> int:
    """Takes the place of starting an interpreter that runs the last of `words`; returns the pid."""
    return os.fork() or _serve(words[-1], descriptors)


def _serve(source: str, descriptors: Sequence[int]) -> NoReturn:
    """Until nobody is left who might ask for a fork: the code server, and its runs, which may outlive it."""
    try:
        for descriptor in {int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2, *descriptors}:
            with suppress(OSError):  # that by which they were listed
                os.close(descriptor)
        gc.enable()  # it is off while the code server loads
        _name_process(NAMES[0])
        _leave_to_runs(signal.SIGTERM)
        exec(source)  # noqa: S102 (multiprocessing's own words to the interpreter that it wanted to begin)
    finally:
        os._exit(0)


def _leave_to_runs(number: signal.Signals) -> None:
    """The signal, which is sent to the whole group, ends runs, but not the fork server, which must collect them.

    It is blocked during a fork: Python would forget in the child that one had arrived.
    """
    signal.signal(number, lambda *_: None)

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})

    def be_a_run() -> None:
        _name_process(NAMES[1])
        signal.signal(number, signal.SIG_DFL)
        unblock()

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {number}), after_in_parent=unblock, after_in_child=be_a_run
    )


def _name_process(name: str) -> None:
    Path("/proc/self/comm").write_text(name)
