"""A provider on loopback: keeps what it is asked, and answers what a test wants, or not at all."""

import http.server
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

HANG: Final = "hang"
RESET: Final = "reset"
DRIBBLE: Final = "dribble"
"""In place of an answer: none, the end of the connection, or one that comes byte by byte."""


@dataclass(frozen=True)
class Asked:
    """One request; the names of headers in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What comes back; `body` is sent as JSON unless it is bytes."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


Reply = Answer | str
"""An answer, or HANG, RESET, DRIBBLE."""


class _Server(http.server.ThreadingHTTPServer):
    """With room for many callers at once; one that is gone before its answer is nothing to tell of."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class FakeHttp:
    """A server; `answer` decides on each request, and may be replaced at any time."""

    def __init__(self, answer: Callable[[Asked], Reply] | None = None) -> None:
        self.answer = answer or (lambda _: Answer())
        self.asked: list[Asked] = []
        self._released = threading.Event()

    def __enter__(self) -> Self:
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # an answer is two writes, and the second would wait for the caller's ACK

            def do_POST(self) -> None:
                fake._handle(self)

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def rest(self, seconds: float) -> None:
        """Let the caller wait, at most until the server ends."""
        self._released.wait(seconds)

    def _handle(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        if len(body) < length:  # the caller died over it
            handler.close_connection = True
            return
        asked = Asked(
            handler.command,
            handler.path,
            {name.lower(): value for name, value in handler.headers.items()},
            body,
            time.monotonic(),
        )
        self.asked.append(asked)
        reply = self.answer(asked)
        if isinstance(reply, Answer):
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            handler.send_response(reply.status)
            for name, value in ({"Content-Type": "application/json"} | reply.headers).items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)
            return
        handler.close_connection = True
        if reply == HANG:
            self._released.wait(60)
        elif reply == DRIBBLE:
            self._dribble(handler)
        else:  # with a linger of nothing the end is a reset
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            handler.connection.close()

    def _dribble(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        for _ in range(600):
            try:
                handler.wfile.write(b"H")
                handler.wfile.flush()
            except OSError:
                return
            if self._released.wait(0.1):
                return
