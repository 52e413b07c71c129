"""A piece of work in a process of its own, so that its memory is that of nothing else."""

import gc
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple


class Done(NamedTuple):
    """What the work gave back, how long it took (seconds), and what the process held in memory at most (MB)."""

    result: Any
    seconds: float
    peak_mb: float


def run(work: Callable[..., Any], *arguments: Any) -> Done:
    """Call `work`, a function of a module, in a new interpreter; its imports and connections are not counted as time of it.

    Raises RuntimeError where it did not get to its end.
    """
    spawn = get_context("spawn")
    ours, its = spawn.Pipe()
    process = spawn.Process(target=_work, args=(its, work, arguments))
    process.start()
    its.close()
    try:
        done: Done = ours.recv()
    except EOFError:
        raise RuntimeError(f"{work.__name__} failed: see above") from None
    finally:
        process.join()
    return done


def _work(to: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    gc.collect()
    gc.freeze()  # what is loaded is looked at no more, as in the API's workers and in runs of Dagster's
    began = time.perf_counter()
    result = work(*arguments)
    to.send(Done(result, time.perf_counter() - began, _peak_mb()))
    gc.unfreeze()  # else libraries take it for a leak when the process ends


def _peak_mb() -> float:
    """Linux's VmHWM: getrusage's ru_maxrss counts what the process was before it became this one."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024
