"""Limits on a whole conversation with a server, where a socket's own time-out begins anew with every byte."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

_Found = tuple[socket.AddressFamily, socket.SocketKind, int, tuple[str | int, ...] | tuple[int, bytes]]
"""What socket() and connect() want to be told: family, kind, protocol, address."""

Answer = TypeVar("Answer")


def within(seconds: float, call: Callable[[], Answer]) -> Answer:
    """What `call` returns or raises; TimeoutError after `seconds`, when it is left behind in a thread of its own.

    For what cannot be interrupted, such as libraries that open their connections themselves. A call that is left behind holds
    its thread and its connection for as long as its own time-outs let it.
    """
    answer = Future[Answer]()

    def work() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    # Not an executor's thread: the interpreter would wait for those at its end.
    threading.Thread(target=work, name="call with a limit", daemon=True).start()
    return answer.result(timeout=seconds)


class Deadline:
    """Gives a conversation `seconds` in all, from here on: the look-up of the name, connecting, and every reply.

    When the time is up, the connection is shut down, and whoever waits for it sees it end; `expired` tells why.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._ends = time.monotonic() + seconds
        self._timer: threading.Timer | None = None
        self._connection: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        if self._connection is not None:
            self._connection.close()

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection to the first address of `host` that accepts. Raises OSError (TimeoutError when the time is up)."""
        failure: OSError = TimeoutError()
        for family, kind, protocol, address in self._resolve(host, port):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(self._left())
                connection.connect(address)
            except OSError as error:
                connection.close()
                failure = error
                continue
            connection.settimeout(None)  # the watch ends every wait from here on
            self._watch(connection)
            return connection
        raise failure

    def _left(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            self.expired = True
            raise TimeoutError
        return left

    def _resolve(self, host: str, port: int) -> list[_Found]:
        """Without a network getaddrinfo may take half a minute."""
        try:
            found = within(self._left(), lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except TimeoutError:
            self.expired = True
            raise
        except UnicodeError as error:  # a label that is empty or longer than 63 characters
            raise socket.gaierror(socket.EAI_NONAME, "not a host name") from error
        return [(family, kind, protocol, address) for family, kind, protocol, _, address in found]

    def _watch(self, connection: socket.socket) -> None:
        # A duplicate of the descriptor: TLS takes the socket object over, the connection under it stays the same.
        self._connection = connection.dup()
        self._timer = threading.Timer(self._ends - time.monotonic(), self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _expire(self) -> None:
        self.expired = True
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
