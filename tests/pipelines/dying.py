"""A process that erases and is killed at it, again and again: each of its children dies before the nth change to a file."""

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pipelines.defs.dispatch import delivery  # resources would load Dagster
from pipelines.defs.erasure import erasing
from storage.snapshots.places import Root

DEATHS = 4


def main(url: str, folder: str) -> None:
    """Say which signal ended each child."""
    ended = []
    for nth in range(1, DEATHS + 1):
        child = os.fork()
        if child == 0:
            sys.addaudithook(_deadly(folder, nth))
            with delivery.transactions(url) as begin:
                erasing.erase_all(begin, Root(Path(folder)), now=datetime.now(UTC))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        ended.append(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
    sys.stdout.write(json.dumps(ended))


def _deadly(folder: str, nth: int) -> Callable[[str, tuple[object, ...]], None]:
    left = [nth]

    def heard(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("os.remove", "os.rename") and str(arguments[0]).startswith(folder):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return heard


if __name__ == "__main__":
    main(*sys.argv[1:])
