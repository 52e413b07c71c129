"""Actual's sync server, as its users run it: Node and SQLite, and one message by POST /sync/sync into one file of a user.

More than ours: every answer has the file's Merkle trie, by which clients find out what they lack, and it is read, changed, pruned
and written with every message. Less than ours: a message is opaque; nothing is decided, checked or summed up, there is no
sequence and no conflict, and the last writer wins, cell by cell. One message is one cell (a new transaction of Actual's is some
eight of them, one of ours is one event). SQLite flushes its journal, its folder and its file for each message, as it does by
default, and Node waits for it, where ours flushes once for all that wait: on a disk that is slow to flush, that is most of it.

It may have what it likes: as many connections as it answers fastest, and timestamps of these minutes, as devices in daily use
send them: those of years make a trie ten times as large, and answers half as fast. Its limit of requests is off, as ours are:
that is what it calls development, and it is the only way to do so.
"""

import datetime
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx

from bench import load
from bench.harness import Api
from bench.peers import installing, running

PACKAGES: Final = ("@actual-app/sync-server@26.9.0", "http-proxy-middleware@3.0.11")
"""The other one is what its mode without limits needs to start."""
COMPILED: Final = "better-sqlite3"
CONNECTIONS: Final = (8, 16, 32, 64)
MOST_PER_SECOND: Final = 3_000
"""Messages that are prepared for each second of load: three times what it was ever seen to take."""
PASSWORD: Final = "a long sentence"  # noqa: S105 - of a server that lives for a minute
FORMAT: Final = "2"
"""Of a file: the first that is synchronised."""
DEVICE: Final = "a1b2c3d4e5f60718"


class Actual:
    """A running server with one file."""

    def __init__(self, server: Api, folder: Path) -> None:
        self._server = server
        self._token, self._file, self._group = _sign_in(server)
        self._messages = folder / "user-files" / f"group-{self._group}.sqlite"
        self._acknowledged = 0
        self._last = datetime.datetime.now(datetime.UTC)
        self.connections = max(CONNECTIONS, key=lambda connections: self._drive(connections, running.TRY_SECONDS))
        """How many it likes best."""

    def drive(self, seconds: float) -> float:
        """Messages a second; everything is accepted."""
        return self._drive(self.connections, seconds)

    def _drive(self, connections: int, seconds: float) -> float:
        count = int((seconds + load.WARM_SECONDS) * MOST_PER_SECOND)
        requests = [self._request() for _ in range(count)]
        found = load.drive(self._server.url, requests, connections, seconds, in_order=True)
        found.check()
        self._acknowledged += found.good
        return found.per_second

    def _request(self) -> bytes:
        """A cell of a debt, a millisecond after the last one; nothing newer is asked for, so that no other message comes back."""
        self._last = max(self._last + datetime.timedelta(milliseconds=1), datetime.datetime.now(datetime.UTC))
        at = f"{self._last:%Y-%m-%dT%H:%M:%S}.{self._last.microsecond // 1_000:03}Z-0000-{DEVICE}"
        cell = (
            _text(1, "transactions")
            + _text(2, str(uuid.uuid4()))
            + _text(3, "notes")
            + _text(4, "S:lunch and taxi to the concert")
        )
        message = _text(1, at) + _bytes(3, cell)
        body = _bytes(1, message) + _text(2, self._file) + _text(3, self._group) + _text(6, at)
        return _post("/sync/sync", "application/actual-sync", self._token, body)

    def check(self) -> None:
        """Every message that was acknowledged is there."""
        with sqlite3.connect(f"file:{self._messages}?mode=ro", uri=True) as connection:
            [(messages,)] = connection.execute("select count(*) from messages_binary").fetchall()
        connection.close()
        assert messages == self._acknowledged, f"{messages} messages, {self._acknowledged} acknowledged"


def install() -> tuple[Path, Path]:
    """The environment that its Node lives in, and the folder of its packages. Raises Missing."""
    environment = installing.environment("actual")
    return environment, installing.packages(environment, COMPILED, *PACKAGES)


@contextmanager
def run(environment: Path, packages: Path) -> Iterator[Actual]:
    """With its files in a folder for the time being."""
    port = running.free_port()
    program = packages / "node_modules" / "@actual-app" / "sync-server" / "build" / "bin" / "actual-server.js"
    with TemporaryDirectory(prefix="debitum-bench-") as folder:
        environ = running.environ(
            environment, NODE_ENV="development", ACTUAL_DATA_DIR=folder, ACTUAL_HOSTNAME="127.0.0.1", ACTUAL_PORT=str(port)
        )
        with running.serve([str(environment / "bin" / "node"), str(program)], port, environ) as server:
            yield Actual(server, Path(folder))


def _sign_in(server: Api) -> tuple[str, str, str]:
    """Token, file and its group, of a server that nobody has used yet."""
    file = str(uuid.uuid4())
    with httpx.Client(base_url=server.url, timeout=30.0) as client:
        client.post("/account/bootstrap", json={"password": PASSWORD}).raise_for_status()
        answer = client.post("/account/login", json={"password": PASSWORD}).raise_for_status()
        token: str = answer.json()["data"]["token"]
        client.headers = httpx.Headers({"X-Actual-Token": token, "Content-Type": "application/encrypted-file"})
        described = {"X-Actual-Name": "debts", "X-Actual-File-Id": file, "X-Actual-Format": FORMAT}
        answer = client.post("/sync/upload-user-file", content=b"a file", headers=described).raise_for_status()
    return token, file, answer.json()["groupId"]


def _post(path: str, kind: str, token: str, body: bytes) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: localhost", f"X-Actual-Token: {token}", f"Content-Type: {kind}"]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _bytes(field: int, data: bytes) -> bytes:
    """A field of protobuf that has a length: its number and wire type 2, the length, the data."""
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
