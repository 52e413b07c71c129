"""Run as a script: ties the process to its parent and becomes the command given, so that no child outlives a killed supervisor.

Arguments: the parent's pid, then the command (see `tied`). A script of its own, not a preexec function: that would run Python
between fork and exec in a process that has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Linux: the kernel sends the signal when the parent ends, and keeps that across exec."""


def tied(*command: str) -> tuple[str, ...]:
    """The command that runs `command` tied to this process."""
    return (sys.executable, "-I", "-S", __file__, str(os.getpid()), *command)


def main(parent: int, command: list[str]) -> None:
    """Does not return. Where the parent has ended already, nothing is started."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the supervisor has ended")
    try:
        os.execvp(command[0], command)  # noqa: S606 (the supervisor names the command, no shell is wanted)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
