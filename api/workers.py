"""Workers that come back: a first process without threads or a loop forks them, and forks again what died."""

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, NoReturn

import structlog

STEADY_SECONDS: Final = 5.0
"""A worker that lived this long has not failed at its start: there is another one at once."""
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
"""Between starts that fail at once: what is wrong may be over in a moment, and must not take all of the machine until then."""
PR_SET_PDEATHSIG: Final = 1
"""Linux: the kernel sends the signal when the parent ends."""
STOPS: Final = (signal.SIGTERM, signal.SIGINT)
HEARD: Final = (*STOPS, signal.SIGCHLD, signal.SIGALRM)
"""What the first process waits for. They stay blocked, so that none comes between a look and the wait after it."""
_log = structlog.get_logger(__name__)

Work = Callable[[int], NoReturn]
"""What the worker of a place (0, 1 …) does; it ends its process by itself."""


@dataclass
class _Place:
    """Of one worker, by its number: who has it, or when it is given out again (times of the monotonic clock, in seconds)."""

    number: int
    pid: int | None = None
    began: float = 0.0
    failures: int = 0
    due: float = 0.0

    def fill(self, work: Work) -> None:
        """Start a worker; where the system has no room for one, later."""
        self.began = time.monotonic()
        try:
            self.pid = _fork(partial(work, self.number))
        except OSError as error:
            _log.error("worker_not_started", error=error.strerror)
            self._postpone(0.0)
        else:
            _log.info("worker_started", pid=self.pid)

    def empty(self, status: int) -> None:
        """Its worker has ended, with `status` of os.waitpid."""
        code = os.waitstatus_to_exitcode(status)
        how = {"exit_code": code} if code >= 0 else {"signal": signal.Signals(-code).name}
        lived = time.monotonic() - self.began
        (_log.warning if code else _log.info)("worker_ended", pid=self.pid, **how, lived_seconds=round(lived, 1))
        self.pid = None
        self._postpone(lived)

    def _postpone(self, lived_seconds: float) -> None:
        self.failures = 0 if lived_seconds >= STEADY_SECONDS else self.failures + 1
        pause = min(FIRST_PAUSE_SECONDS * 2 ** min(self.failures - 1, 16), LONGEST_PAUSE_SECONDS) if self.failures else 0.0
        self.due = time.monotonic() + pause


def keep(count: int, listener: socket.socket, work: Work, *, grace_seconds: float) -> None:
    """Have `count` processes do `work` until SIGTERM or SIGINT, which are passed on; returns when all of them have ended.

    They inherit `listener`. This process keeps it open as well, so that connections wait while no worker is there to take them.
    What has not ended within the grace is killed.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # POSIX lets a system forget a blocked signal whose action is to ignore it
    places = [_Place(number) for number in range(count)]
    heard: int | None = None
    while heard not in STOPS:
        for place in places:
            if place.pid is None and place.due <= time.monotonic():
                place.fill(work)
        heard = _wait(min((place.due for place in places if place.pid is None), default=None))
        _bury(places)
    listener.close()
    _end(places, time.monotonic() + grace_seconds)


def _wait(until: float | None) -> int:
    """The next signal: SIGALRM where nothing else came `until` then."""
    signal.setitimer(signal.ITIMER_REAL, 0 if until is None else max(until - time.monotonic(), 0.001))  # 0 would be never
    return signal.sigwait(HEARD)


def _bury(places: list[_Place]) -> None:
    """Take note of all who have ended; one SIGCHLD may stand for several."""
    by_pid = {place.pid: place for place in places if place.pid is not None}
    while by_pid:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        if (place := by_pid.pop(pid, None)) is not None:  # as the first process of a container we bury strangers too
            place.empty(status)


def _end(places: list[_Place], deadline: float) -> None:
    _send(places, signal.SIGTERM)
    while _living(places) and time.monotonic() < deadline:
        _wait(deadline)
        _bury(places)
    _send(places, signal.SIGKILL)
    while _living(places):
        _wait(None)
        _bury(places)


def _living(places: list[_Place]) -> list[int]:
    return [place.pid for place in places if place.pid is not None]


def _send(places: list[_Place], number: signal.Signals) -> None:
    for pid in _living(places):
        os.kill(pid, number)  # there is such a process, if only a zombie: nobody else buries it


def _fork(work: Callable[[], NoReturn]) -> int:
    """The pid of a new process that does `work`."""
    first = os.getpid()
    sys.stdout.flush()  # or both would write what waits there
    if pid := os.fork():
        return pid
    try:
        _end_with(first)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no KeyboardInterrupt before the loop has its own handler
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
        work()
    except BaseException:
        _log.exception("worker_failed")
    finally:
        sys.stdout.flush()
        os._exit(1)  # never up the stack, which is the first process's


def _end_with(first: int) -> None:
    """A worker that nobody restarts or stops must not hold the port: SIGTERM when the first process ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != first:
        sys.exit("the first process has ended")
