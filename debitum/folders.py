"""The data folder: what lies in it, and who may read it."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from storage import disk, encryption

PRIVATE: Final = ("mail", "push", "snapshots", "audit", "logs", "backups", "dagster")
"""Hold what people owe each other, or what was said about it: for their owner only (0700)."""
LONGEST_SOCKET_PATH: Final = 100
"""Linux takes 107 bytes, macOS 103; gRPC adds a few of its own."""


class FolderError(Exception):
    """The data folder cannot be used."""


def make(data_dir: Path) -> None:
    """Create the data folder and its parts with their modes; safe to repeat. Raises FolderError."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        for name in PRIVATE:
            folder = data_dir / name
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
    except OSError as error:
        raise unwritable(data_dir, error) from error


def unwritable(data_dir: Path, error: OSError) -> FolderError:
    """What to raise where something could not be written into the data folder."""
    return FolderError(f"the data folder {data_dir} cannot be written: {error.strerror}")


def key_ring(data_dir: Path) -> str:
    """The key ring of `data_dir`/secrets (`kid:base64`, the current key first), made at the first call. Raises FolderError.

    Who calls it knows that nothing has been sealed by another.
    """
    file = data_dir / "secrets"
    if not file.exists():
        try:
            _write_once(file, f"{encryption.new_ring()}\n")
        except OSError as error:
            raise FolderError(f"{file} cannot be written: {error.strerror}") from error
    return _read(file)


def known_key_ring(data_dir: Path) -> str | None:
    """The key ring of `data_dir`/secrets; None where there is none yet. Raises FolderError."""
    file = data_dir / "secrets"
    try:
        return _read(file) if file.exists() else None
    except OSError as error:  # a folder that may not be looked into
        raise FolderError(f"{file} cannot be read: {error.strerror}") from error


def _read(file: Path) -> str:
    """What the file says, which only its owner may read from then on (0600)."""
    lost = "put the keys back from a copy or a backup; without them what they sealed is lost"
    try:
        file.chmod(0o600)
        ring = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise FolderError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FolderError(f"{file} holds bytes that are no text: {lost}") from error
    if not ring:
        raise FolderError(f"{file} is empty: {lost}")
    return ring


def add_key(data_dir: Path, key: str) -> None:
    """Put `key` in front of the ring of `data_dir`/secrets: whole or not at all."""
    put_ring(data_dir, f"{key},{key_ring(data_dir)}")


def put_ring(data_dir: Path, ring: str) -> None:
    """Make `ring` the content of `data_dir`/secrets: whole or not at all."""
    file = data_dir / "secrets"
    os.replace(_written_beside(file, f"{ring}\n"), file)
    disk.keep_names(data_dir)  # before anything is sealed by it


def dagster_home(data_dir: Path) -> Path:
    """DAGSTER_HOME with the dagster.yaml of this version."""
    import pipelines

    home = data_dir / "dagster"
    shutil.copyfile(Path(pipelines.__path__[0]) / "dagster.yaml", home / "dagster.yaml")
    return home


def workspace() -> Path:
    """workspace.yaml: at the top of a checkout, inside this package in a wheel."""
    package = Path(__file__).parent
    inside = package / "workspace.yaml"
    return inside if inside.exists() else package.parent / "workspace.yaml"


def code_socket(data_dir: Path) -> Path:
    """Where the Dagster code server listens; in the temporary folder where the data folder's path is too long for a socket."""
    socket = data_dir / "dagster" / "code.sock"
    if len(os.fsencode(socket)) < LONGEST_SOCKET_PATH:
        return socket
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"debitum-{os.geteuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise FolderError(f"{folder} belongs to somebody else: remove it, or use a data folder with a shorter path")
    folder.chmod(0o700)
    return folder / "code.sock"


def _write_once(file: Path, content: str) -> None:
    """Whole or not at all, and never over a file that somebody else has just written."""
    name = _written_beside(file, content)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(name, file)
            disk.keep_names(file.parent)
    finally:
        os.unlink(name)


def _written_beside(file: Path, content: str) -> str:
    """A file in the same folder that holds `content`, on the disk."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".secrets-")  # with mode 0600
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        os.unlink(name)
        raise
    return name
