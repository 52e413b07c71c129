"""Postgres's own programs, those of the wheel: as new as the newest server that Debitum knows; older servers suit them."""

import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Final

from psycopg import conninfo

from storage import embedded, urls
from storage.backup.errors import BackupError, RefusedError

WORDS: Final = 20
"""Lines of a program's last words that are kept."""


@dataclass(frozen=True)
class Place:
    """A database for libpq's programs: `dsn` may be seen by whoever lists processes, `environment` has the password."""

    dsn: str
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, url: str) -> "Place":
        """Of a URL of ours. Raises BackupError where it holds a secret that can only be given on a command line."""
        parts = conninfo.conninfo_to_dict(urls.libpq_url(url))
        if "sslpassword" in parts:
            raise BackupError("DATABASE_URL has an sslpassword, which the list of processes would show: use a key without one")
        password = parts.pop("password", None)
        given = {} if password is None else {"PGPASSWORD": str(password)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DEBITUM_", "DATABASE_"))}
        return cls(conninfo.make_conninfo("", **parts), {**kept, **given, "TZ": "UTC", "LC_ALL": "C"})


@dataclass
class Program:
    """A running program whose lines of standard error are heard."""

    name: str
    process: "subprocess.Popen[bytes]"
    _words: deque[str] = field(default_factory=lambda: deque(maxlen=WORDS))
    _listener: threading.Thread | None = None

    @property
    def output(self) -> IO[bytes]:
        """What it writes."""
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def input(self) -> IO[bytes]:
        """What it reads."""
        assert self.process.stdin is not None
        return self.process.stdin

    def listen(self, hear: Callable[[str], object]) -> None:
        """Hear each line as it comes."""

        def hearing() -> None:
            assert self.process.stderr is not None
            for line in self.process.stderr:
                text = line.decode(errors="replace").rstrip()
                self._words.append(text)
                hear(text)

        self._listener = threading.Thread(target=hearing, daemon=True)
        self._listener.start()

    def ended(self) -> None:
        """Wait until it has. Raises BackupError with its last words where something went wrong."""
        code = self.process.wait()
        self.heard_all()
        if code != 0:
            kind = RefusedError if self.name == "psql" else BackupError
            raise kind(f"{self.name} ended with {code}: {self.last_words()}")

    def heard_all(self) -> None:
        """Wait for the last line of a program that has ended."""
        if self._listener is not None:
            self._listener.join()

    def last_words(self) -> str:
        """The lines that tell of errors, else the last of all: pg_dump says much when it is asked to say how far it is."""
        errors = [line for line in self._words if "error" in line.lower() or "fatal" in line.lower()]
        return "; ".join(errors or list(self._words)[-2:]) or "it said nothing"


@contextmanager
def running(
    name: str, arguments: Sequence[str], place: Place, *, hear: Callable[[str], object] = lambda line: None, reads: bool = False
) -> Iterator[Program]:
    """Run one of Postgres's programs; it is killed where the block raises. `reads`: something is written to it."""
    process = subprocess.Popen(
        [str(embedded.programs() / name), *arguments],
        env=dict(place.environment),
        stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    program = Program(name, process)
    program.listen(hear)
    try:
        yield program
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        program.heard_all()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None and not pipe.closed:
                with suppress(BrokenPipeError):
                    pipe.close()
