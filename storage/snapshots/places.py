"""Where the files lie: in the data folder, or the snapshots wherever fsspec gets to. What differs between the two is here."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import duckdb
import fsspec
from upath import UPath

from storage import disk
from storage.snapshots.schema import FOLDERS, SNAPSHOTS

File = Path | UPath
"""A file or a folder: of this machine, or of another filesystem of fsspec's."""
BUILDING: Final = ".building-"
"""How the name of a folder begins in which a file is being built, or was when a run was killed."""
WAITING: Final = 32
"""Threads that read from elsewhere where memory has no limit (each takes its share): they wait rather than work. All footers
are read for a tick, which has a minute, and for each question; they are two requests a file."""
_LOCAL: Final = ("file", "local")
_INTERRUPTED: Final = "Query interrupted"
"""Of a signal; what another thread has interrupted is a duckdb.InterruptException."""
_PATTERN: Final = re.compile(r"[*?\[]")
"""What DuckDB and fsspec would take for a pattern."""
_SECRET: Final = re.compile(r"/*[^/]*:[^/]*@")


@dataclass(frozen=True)
class Root:
    """The data folder, and what the folder of snapshots lies in where that is another place."""

    data: Path
    elsewhere: File | None = field(default=None, repr=False)

    @classmethod
    def of(cls, data: Path, url: str | None) -> "Root":
        """The data folder with its snapshots at a URL, where there is one. Raises ValueError, see `parse`."""
        return cls(data, parse(url) if url else None)

    def folder(self, name: str) -> File:
        """One of FOLDERS, as it is now: fsspec remembers listings, and other processes put files there too."""
        if self.elsewhere is None or name != SNAPSHOTS:
            return self.data / name
        if isinstance(self.elsewhere, UPath):
            self.elsewhere.fs.invalidate_cache()
        return self.elsewhere / name

    def at(self, where: str) -> File:
        """The file whose `location` is `where`."""
        if isinstance(self.elsewhere, UPath) and where.startswith(above := f"{location(self.elsewhere)}/"):
            return self.elsewhere / where.removeprefix(above)
        return Path(where)


def parse(url: str) -> File:
    """What a URL of fsspec's says; nobody is asked whether it is there.

    Raises ValueError, which never repeats the URL (it may hold a password): it is none, or of a kind that is not known or needs
    a package that is not installed, or one that cannot be a folder's.
    """
    protocol, mark, rest = url.partition("://")
    if not mark or not rest.strip("/") or "::" in url:
        raise ValueError("is not a URL like s3://bucket/debitum or file:///mnt/debitum")
    if _PATTERN.search(url):
        raise ValueError("has one of the characters * ? [, which would be taken for a pattern")
    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise ValueError(f"{protocol}:// needs a package that is not installed: {error}") from error
    if protocol in _LOCAL:
        if not rest.startswith("/"):
            raise ValueError(f"{protocol}:// needs an absolute path, like {protocol}:///mnt/debitum")
        return Path(rest)
    if _SECRET.match(kind._strip_protocol(url)):
        raise ValueError(f"holds a password, which {protocol}:// does not take from a URL; its package says how to set one")
    return UPath(url.rstrip("/"))


def location(file: File) -> str:
    """A file's name for DuckDB and for people: a URL of another filesystem, without whatever opens that."""
    if isinstance(file, Path):
        return str(file)
    name: str = file.fs.unstrip_protocol(file.path)
    return name


@contextmanager
def connect(
    root: Root, database: str = ":memory:", **config: str | bool | int | float | list[str]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB that reads whatever lies under `root`."""
    if isinstance(root.elsewhere, UPath) and not config:
        config = {"threads": WAITING}
    with _interruptible(), duckdb.connect(database, config=config) as duck:
        if isinstance(root.elsewhere, UPath):
            duck.register_filesystem(_Readable(root.elsewhere / SNAPSHOTS))
        yield duck


@contextmanager
def glance(root: Root) -> Iterator[duckdb.DuckDBPyConnection]:
    """One for reads that take less time than opening it: for local files each process keeps one open, without a cache."""
    if isinstance(root.elsewhere, UPath):
        with connect(root) as duck:
            yield duck
    else:
        with _interruptible(), _opened().cursor() as duck:
            yield duck


@contextmanager
def _interruptible() -> Iterator[None]:
    """DuckDB ends a statement at a signal, and raises an error of its own in place of what the handler raised.

    A run of Dagster's that an operator stops would take it for the failure of one table, and go on with the next.
    """
    try:
        yield
    except RuntimeError as error:
        if str(error) == _INTERRUPTED:
            raise KeyboardInterrupt from error
        raise


@cache
def _opened() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1, "enable_external_file_cache": False})


class _Readable(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec says nothing of its types
    """What DuckDB sees of another filesystem: the files below one folder, to be read.

    DuckDB's own allowed_directories takes `sftp:///debitum/snapshots/../secrets` for a path below the folder.
    """

    cachable = False

    def __init__(self, folder: UPath) -> None:
        super().__init__()
        self.protocol = folder.fs.protocol
        self._fs, self._folder = folder.fs, f"{folder.path}/"

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode != "rb":
            raise PermissionError("snapshots can be read only")
        return self._fs.open(self._below(path), mode, **options)

    def glob(self, path: str, **options: Any) -> Any:
        return self._fs.glob(self._below(path), **options)

    def info(self, path: str, **options: Any) -> Any:
        return self._fs.info(self._below(path), **options)

    def modified(self, path: str) -> Any:
        return self._fs.modified(self._below(path))

    def _below(self, path: str) -> str:
        stripped: str = self._fs._strip_protocol(path)
        if not stripped.startswith(self._folder) or ".." in stripped.split("/"):
            raise PermissionError("there is nothing to be read but snapshots")
        return stripped


@contextmanager
def workshop(root: Root, file: File) -> Iterator[Path]:
    """A folder of this machine in which `file` is built; what a killed run left there goes first.

    It is beside the file, on the same disk, or in the data folder where the file is to lie elsewhere.
    """
    if isinstance(file, Path):
        top, home, prefix = _top(root, file), file.parent, BUILDING
    else:
        top = home = root.data / SNAPSHOTS
        prefix = f"{BUILDING}{file.parent.parent.name}-{file.parent.name}-"
    top.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    for left in home.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=home) as work:
        yield Path(work)


def sweep(root: Root) -> None:
    """Throw away what is being built, or was when a run was killed."""
    homes = {home for name in FOLDERS for home in (root.data / name, root.folder(name)) if isinstance(home, Path)}
    for left in (left for home in homes for left in home.glob(f"**/{BUILDING}*")):
        shutil.rmtree(left, ignore_errors=True)


def put(built: Path, file: File) -> None:
    """Put what was built in its place, for good: a reader sees the old file or the new one, also after a power cut.

    Elsewhere this is what fsspec calls a transaction: an object store makes the object when all of it is there, others move
    what was sent to another name.
    """
    if not isinstance(file, Path):
        file.fs.makedirs(file.parent.path, exist_ok=True)
        with file.fs.transaction, built.open("rb") as source, file.fs.open(file.path, "wb") as target:
            shutil.copyfileobj(source, target)
        return
    with built.open("rb") as source:
        os.fsync(source.fileno())
    os.replace(built, file)
    disk.keep_names(file.parent)


def _top(root: Root, file: Path) -> Path:
    """The one of FOLDERS that the file is in: it is made for its owner only."""
    folders = [folder for folder in map(root.folder, FOLDERS) if isinstance(folder, Path)]
    return next(folder for folder in folders if file.is_relative_to(folder))
