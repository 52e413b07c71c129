"""`python -m tests.pipelines.forking`: a process whose children are forks, as the code server's runs are. For test_forks.py."""

import gc
import os
import signal
import sys
import time
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from pipelines import forks

LOADED_BY = os.getpid()
"""In a fork this is who loaded the module; where it is loaded anew, the process itself."""
FORKS = get_context("forkserver")


def tell(queue: "Queue[Any]") -> None:
    """What a run has found."""
    queue.put(
        {
            "name": Path("/proc/self/comm").read_text().strip(),
            "loaded by": LOADED_BY,
            "pid": os.getpid(),
            "parent": os.getppid(),
            "garbage is found": gc.isenabled(),
        }
    )


def answer() -> dict[str, Any]:
    """What the next run has found. It has ended well."""
    queue: Queue[Any] = FORKS.Queue()
    run = FORKS.Process(target=tell, args=(queue,))
    run.start()
    found: dict[str, Any] = queue.get(timeout=60)
    run.join()
    assert run.exitcode == 0
    return found


def linger() -> ForkServerProcess:
    """A run that works until it is told to end."""
    run = FORKS.Process(target=time.sleep, args=(60,))
    run.start()
    return run


def comes_loaded() -> None:
    """Two runs, one after the other."""
    one, other = answer(), answer()
    assert one["pid"] != other["pid"]
    for found in one, other:
        assert found["loaded by"] == os.getpid() != found["parent"]
        assert found["name"] == forks.NAMES[1]
        assert found["garbage is found"]


def is_replaced() -> None:
    """Whoever forks is killed between two runs: the next is begun as Python does it."""
    forking = answer()["parent"]
    os.kill(forking, signal.SIGKILL)
    os.waitid(os.P_PID, forking, os.WEXITED | os.WNOWAIT)
    found = answer()
    assert found["loaded by"] == found["pid"]


def is_collected() -> None:
    """Everybody in the group is told to end: the run does, and whoever forks stays to say how."""
    run = linger()
    signal.signal(signal.SIGTERM, lambda *_: None)
    os.killpg(os.getpgrp(), signal.SIGTERM)
    run.join()
    assert run.exitcode == -signal.SIGTERM


def is_left() -> None:
    """Ends like one that is killed, in the middle of a run whose pid it says."""
    sys.stdout.write(f"{linger().pid}\n")
    sys.stdout.flush()
    os._exit(1)


if __name__ == "__main__":
    gc.disable()  # as who loads does
    forks._fork_server()
    {one.__name__: one for one in (comes_loaded, is_replaced, is_collected, is_left)}[sys.argv[1]]()
