r"""The file of a backup: a head in clear, then sealed pieces, each bound to its place, and an end without which it is not whole.

    DEBITUM BACKUP\n                what it is
    length (4) · head (JSON)        when, of what, how it is sealed; every piece is bound to it
    length (4) · piece              once: the key ring, or that it is not in here
    length (4) · piece              …: the dump, CHUNK_BYTES each, the last one less
    length (4) · piece              the end: how many pieces and bytes there were, and their SHA-256
    length (4)                      of the end once more, so that it is found from behind

Lengths are big-endian. A piece is AES-256-GCM under a key of this file alone (HKDF over a random salt), with a nonce of its
number and kind: pieces that were moved, left out, or taken from another file do not open. Written and read a piece at a time.
"""

import datetime
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes
from typing import Any, BinaryIO, Final, Self, TypeVar

import msgspec
from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage import disk
from storage.backup.errors import BackupError, DamagedError
from storage.encryption import KEY_BYTES, KeyRing, KeyRingError

MAGIC: Final = b"DEBITUM BACKUP\n"
FORMAT: Final = 1
CHUNK_BYTES: Final = 2**20
"""Of a dump, a piece: what is held in memory at a time."""
MOST_PIECE_BYTES: Final = 2 * CHUNK_BYTES
MOST_HEAD_BYTES: Final = 2**16
KEYS, DUMP, END = 1, 2, 3
"""Kinds of pieces."""
MAKING: Final = ".making-"
"""How the name of a file begins that is being written, or was when its process was killed."""
_LENGTH_BYTES: Final = 4
_SALT_BYTES: Final = 32
_PURPOSE: Final = "backups"

TIME_COST, MEMORY_KIB, LANES = 3, 2**16, 4
"""Argon2id as RFC 9106 recommends it where memory is short: about a tenth of a second."""
MOST_TIME_COST, MOST_MEMORY_KIB, MOST_LANES = 64, 2**21, 64
"""What a file may ask for: somebody may have written it who wants a machine to stand still."""

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """How a passphrase becomes a key: Argon2id; `memory_kib` in KiB."""

    salt: bytes
    time_cost: int = TIME_COST
    memory_kib: int = MEMORY_KIB
    lanes: int = LANES


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself in clear. Sealed by a passphrase (`stretch`) or by the key `key_id` of the ring.

    What was committed before `began_at` is in it, by Postgres's clock; of what was recorded before `settled_at` nothing can be
    missing. `revision` is the schema's, `version` the code's, `postgres` the major version of the server.
    """

    format: int
    began_at: datetime.datetime
    settled_at: datetime.datetime
    revision: str
    version: str
    postgres: int
    salt: bytes
    stretch: Stretch | None = None
    key_id: str | None = None

    def sealed_by(self) -> str:
        """For people."""
        return "a passphrase" if self.stretch is not None else f"the key {self.key_id} of the ring"


class Keys(msgspec.Struct, frozen=True):
    """The key ring, as DEBITUM_KEYS takes it; None: it is not in here."""

    ring: str | None


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole backup ends with: its pieces before this one, the dump's bytes and SHA-256, and what it was made of."""

    pieces: int
    starts_at: int
    """Bytes of the file before the end."""
    dump_bytes: int
    dump_sha256: str
    ledgers: int
    facts: int


@dataclass(frozen=True)
class Secrets:
    """What opens backups, as far as somebody has it."""

    passphrase: str | None = field(repr=False)
    ring: KeyRing | None = field(repr=False)
    _stretched: dict[Stretch, bytes] = field(default_factory=dict, repr=False, compare=False)
    """What is written is read again, and to stretch a passphrase is meant to take long."""

    def key(self, head: Head) -> bytes:
        """The key of the file. Raises BackupError, which names what is missing."""
        if head.stretch is not None:
            if self.passphrase is None:
                raise BackupError("it is sealed by a passphrase: set DEBITUM_BACKUP_PASSPHRASE_FILE or DEBITUM_BACKUP_PASSPHRASE")
            if head.stretch not in self._stretched:
                self._stretched[head.stretch] = _stretched(self.passphrase, head.stretch)
            root = self._stretched[head.stretch]
        else:
            root = self._of_ring(head.key_id or "")
        return HKDF(hashes.SHA256(), KEY_BYTES, head.salt, b"debitum backup").derive(root)

    def _of_ring(self, key_id: str) -> bytes:
        try:
            if self.ring is None:
                raise KeyRingError
            return self.ring.derive(key_id, _PURPOSE)
        except KeyRingError:
            raise BackupError(
                f"it is sealed by the key {key_id} of the ring, which is not in it: put the file `secrets` of that time into "
                "the data folder, or set DEBITUM_KEYS"
            ) from None


def head(
    secrets: Secrets,
    *,
    began_at: datetime.datetime,
    settled_at: datetime.datetime,
    revision: str,
    version: str,
    postgres: int,
) -> Head:
    """The head of a new backup: sealed by the passphrase where there is one, else by the current key. Raises BackupError."""
    by_passphrase = secrets.passphrase is not None
    if not by_passphrase and secrets.ring is None:
        raise BackupError("there are neither a passphrase nor keys to seal it by: set DEBITUM_KEYS or a passphrase")
    return Head(
        format=FORMAT,
        began_at=began_at,
        settled_at=settled_at,
        revision=revision,
        version=version,
        postgres=postgres,
        salt=token_bytes(_SALT_BYTES),
        stretch=Stretch(salt=token_bytes(_SALT_BYTES)) if by_passphrase else None,
        key_id=None if by_passphrase or secrets.ring is None else secrets.ring.current,
    )


# --- writing --------------------------------------------------------------------------------------------------------


class Writer:
    """Writes a backup a piece at a time."""

    def __init__(self, file: BinaryIO, head: Head, key: bytes) -> None:
        self._file, self._seal = file, AESGCM(key)
        encoded = msgspec.json.encode(head)
        self._bound_to = hashlib.sha256(encoded).digest()
        self._pieces = self.dump_bytes = 0
        self._digest = hashlib.sha256()
        file.write(MAGIC + _length(encoded) + encoded)

    def keys(self, keys: Keys) -> None:
        """The first piece."""
        self._put(KEYS, msgspec.json.encode(keys))

    def dump(self, chunk: bytes) -> None:
        """The next bytes of the dump, CHUNK_BYTES at most."""
        self._digest.update(chunk)
        self.dump_bytes += len(chunk)
        self._put(DUMP, chunk)

    def end(self, *, ledgers: int, facts: int) -> End:
        """The last piece."""
        done = End(
            pieces=self._pieces,
            starts_at=self._file.tell(),
            dump_bytes=self.dump_bytes,
            dump_sha256=self._digest.hexdigest(),
            ledgers=ledgers,
            facts=facts,
        )
        self._file.write(_length(self._put(END, msgspec.json.encode(done))))
        return done

    def _put(self, kind: int, content: bytes) -> bytes:
        sealed = self._seal.encrypt(_nonce(kind, self._pieces), content, self._bound_to)
        self._file.write(_length(sealed) + sealed)
        self._pieces += 1
        return sealed


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file, for its owner only, that is `path` when all of it is on the disk, and nothing where the block raises.

    Raises BackupError where there is a file of that name.
    """
    if path.exists():
        raise BackupError(f"{path} is there already: name another file")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=MAKING)  # with mode 0600
    except OSError as error:
        raise BackupError(f"{path.parent} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # who clears away what killed processes left sees that this one lives
            yield file
            file.flush()
            os.fsync(file.fileno())
        _name(name, path)
    except FileExistsError:
        raise BackupError(f"{path} is there already: name another file") from None
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        Path(name).unlink(missing_ok=True)
    disk.keep_names(path.parent)


def _name(made: str, path: Path) -> None:
    """Give a file its name, and no other file's. Raises FileExistsError."""
    try:
        os.link(made, path)
    except FileExistsError:
        raise
    except OSError:  # there are file systems without a second name for a file: somebody's stick has one
        if path.exists():
            raise FileExistsError(path) from None
        os.rename(made, path)


# --- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """A backup whose head and end are what was written, so that its size is right too; pieces between are read later."""

    path: Path
    head: Head
    keys: Keys
    end: End
    _open: AESGCM = field(repr=False)
    _bound_to: bytes = field(repr=False)
    _begins_at: int = field(repr=False)

    @classmethod
    def of(cls, path: Path, secrets: Secrets) -> Self:
        """Open the file `path`. Raises BackupError: it is none, is of another version, does not open; or DamagedError."""
        with _opened(path) as file:
            encoded = _head(file)
            found = _decoded(encoded, Head)
            seal, bound_to, begins_at = AESGCM(secrets.key(found)), hashlib.sha256(encoded).digest(), file.tell()
            try:
                keys = seal.decrypt(_nonce(KEYS, 0), _piece(file), bound_to)
            except InvalidTag:
                said = "the passphrase is another one" if found.stretch else f"the key {found.key_id} is another one"
                raise BackupError(f"{path} does not open: {said}, or the beginning of the file was changed") from None
            end = _end(file, seal, bound_to)
        return cls(path, found, msgspec.json.decode(keys, type=Keys), end, seal, bound_to, begins_at)

    def chunks(self) -> Iterator[bytes]:
        """The dump, a piece at a time. Raises DamagedError where it is not what was written."""
        digest = hashlib.sha256()
        with _opened(self.path) as file:
            file.seek(self._begins_at)
            _piece(file)
            for number in range(1, self.end.pieces):
                place = file.tell()
                try:
                    chunk = self._open.decrypt(_nonce(DUMP, number), _piece(file), self._bound_to)
                except InvalidTag:
                    raise DamagedError(f"{self.path} is damaged: what stands at byte {place} is not what was written") from None
                digest.update(chunk)
                yield chunk
            if file.tell() != self.end.starts_at or digest.hexdigest() != self.end.dump_sha256:
                raise DamagedError(f"{self.path} is damaged: its parts do not make up the whole")

    def prove(self) -> None:
        """Read all of it. Raises DamagedError."""
        for _ in self.chunks():
            pass


def peek(path: Path) -> Head:
    """What the backup says of itself, to whoever holds no secret: nobody vouches for it. Raises BackupError."""
    with _opened(path) as file:
        return _decoded(_head(file), Head)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield file


def _head(file: BinaryIO) -> bytes:
    if file.read(len(MAGIC)) != MAGIC:
        raise BackupError(f"{file.name} is not a backup of Debitum's")
    encoded = _read(file, _read_length(file, MOST_HEAD_BYTES))
    try:
        stated = msgspec.json.decode(encoded)["format"]
    except (msgspec.DecodeError, KeyError, TypeError):
        raise DamagedError(f"{file.name} is damaged: its head cannot be read") from None
    if stated != FORMAT:
        raise BackupError(f"{file.name} is of format {stated}, and this Debitum reads {FORMAT}: take the one that wrote it")
    return encoded


def _end(file: BinaryIO, seal: AESGCM, bound_to: bytes) -> End:
    cut_off = DamagedError(f"{file.name} is damaged: its end is missing, it was cut off or changed")
    size = os.fstat(file.fileno()).st_size
    try:
        file.seek(size - _LENGTH_BYTES)
        length = _read_length(file, MOST_PIECE_BYTES)
        starts_at = size - 2 * _LENGTH_BYTES - length
        file.seek(max(0, starts_at))
        sealed = _piece(file)
        found = _decoded(seal.decrypt(_nonce(END, 0), sealed, bound_to), End)
    except (InvalidTag, DamagedError, OSError):
        raise cut_off from None
    if found.starts_at != starts_at:
        raise cut_off
    return found


def _piece(file: BinaryIO) -> bytes:
    return _read(file, _read_length(file, MOST_PIECE_BYTES))


def _read_length(file: BinaryIO, most: int) -> int:
    length = int.from_bytes(_read(file, _LENGTH_BYTES))
    if length > most:
        raise DamagedError(f"{file.name} is damaged: a part of {length} bytes at byte {file.tell()}")
    return length


def _read(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) != count:
        raise DamagedError(f"{file.name} is damaged: it ends too early")
    return found


def _decoded(encoded: bytes, kind: type[_Struct]) -> _Struct:
    try:
        return msgspec.json.decode(encoded, type=kind)
    except msgspec.DecodeError:
        raise DamagedError("the backup is damaged: its head or its end cannot be read") from None


def _length(content: bytes) -> bytes:
    return len(content).to_bytes(_LENGTH_BYTES)


def _nonce(kind: int, number: int) -> bytes:
    """Of the end there is one: it has the number 0, so that it opens without reading what is before it."""
    return (0 if kind == END else number).to_bytes(8) + bytes([0, 0, 0, kind])


def _stretched(passphrase: str, how: Stretch) -> bytes:
    most: dict[str, Any] = {"time_cost": MOST_TIME_COST, "memory_kib": MOST_MEMORY_KIB, "lanes": MOST_LANES}
    if any(not 0 < getattr(how, name) <= limit for name, limit in most.items()):
        raise DamagedError("the backup is damaged: what it asks for to make a key of the passphrase is beyond all measure")
    try:
        return hash_secret_raw(
            passphrase.encode(),
            how.salt,
            time_cost=how.time_cost,
            memory_cost=how.memory_kib,
            parallelism=how.lanes,
            hash_len=KEY_BYTES,
            type=Type.ID,
        )
    except HashingError as error:
        raise DamagedError(f"the backup is damaged: no key can be made as it asks ({error})") from error
