"""Workers of Dagster's runs without the rest of it: a process that loads the definitions once and forks one for each job.

Lines in: {"job": …, "tags": {…}}. Lines out, two for each: the worker's pid, and how it ended (0, an exit code, -signal).
"""

import json
import os
import sys
import traceback
from collections.abc import Mapping

import dagster as dg

from pipelines.definitions import defs


def main() -> None:
    """Until nothing comes in any more."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _work(**json.loads(line))
        _say(child)
        _say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _work(job: str, tags: Mapping[str, str]) -> None:
    """Does not return."""
    try:
        with dg.DagsterInstance.ephemeral() as instance:
            defs.resolve_job_def(job).execute_in_process(instance=instance, tags=dict(tags))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
