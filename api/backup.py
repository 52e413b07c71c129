"""Reads the backup file of the Debitum Android app, a zip from a stranger, and trusts nothing in it."""

import sqlite3
import struct
import tempfile
import xml.parsers.expat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, Final, TypeVar

import msgspec

from domain import backup

DATABASE: Final = "debitum.db"
PREFERENCES: Final = "debitum-preferences.xml"
WRITE_AHEAD_LOG: Final = f"{DATABASE}-wal"
"""What SQLite has beside a database that is open, with changes that are not in it; the app closes it first."""
SCHEMA_VERSIONS: Final = range(1, 7)
"""The versions of the app's database so far; each added a column or table to the one before."""
COLUMNS: Final = {
    "person": {"id_person": 1, "name": 1, "note": 2, "linked_contact_uri": 4},
    "txn": {
        "id_transaction": 1,
        "amount": 1,
        "id_person": 1,
        "description": 1,
        "is_monetary": 1,
        "timestamp": 1,
        "timestamp_returned": 3,
        "has_images": 6,
    },
    "image": {"id_transaction": 5, "filename": 5},
}
"""The schema version that each column came with."""
DEFAULT_DECIMALS: Final = 2
"""Of backups from before the app had this setting."""
MOST_DECIMALS: Final = 4
CHUNK_BYTES: Final = 1 << 16
STEPS_AT_ONCE: Final = 100_000
LONGEST_VALUE_BYTES: Final = 1 << 20
"""The longest text that a backup may hold is 4,000 characters; this also bounds the statements of its schema."""
KEYS: Final = {"person": {"id_person"}, "txn": {"id_transaction"}, "image": {"id_transaction", "filename"}}
"""The primary key of each table."""
_END_RECORD: Final = struct.Struct("<4s4H2LH")
_END_MARK: Final = b"PK\x05\x06"
_ZIP64_MARK: Final = b"PK\x06\x07"
_ZIP64_LOCATOR_BYTES: Final = 20
_LONGEST_COMMENT_BYTES: Final = 1 << 16
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error)
"""What zipfile raises for archives that are not what they say; OSError too, where it is told to seek before the start."""

Row = TypeVar("Row", backup.Person, backup.Txn)


@dataclass(frozen=True)
class Limits:
    """How much a backup may hold. A directory entry of the archive takes about 100 bytes, a row a few kilobytes here."""

    unpacked_bytes: int = 1 << 30
    preferences_bytes: int = 1 << 20
    directory_bytes: int = 4 << 20
    entries: int = 20_000
    rows: int = 100_000
    steps: int = 500_000_000
    """Instructions of SQLite's machine; a row costs some twenty."""


def read(path: Path, limits: Limits | None = None) -> backup.Backup:
    """The rows of the backup in the file `path`. Blocks: for a thread of its own. Unpacks beside `path`, and cleans up.

    Raises backup.BadBackup, whose text a person understands.
    """
    limits = limits or Limits()
    _check_end_record(path, limits)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="unpacked-") as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(path) as archive:
                members = _members(archive, limits)
                _unpack(archive, members, folder, limits)
        except (*_BROKEN, UnicodeError) as error:
            raise backup.BadBackup("the zip archive is broken") from error
        preferences = folder / PREFERENCES
        decimals = _decimals(preferences.read_bytes()) if preferences.exists() else DEFAULT_DECIMALS
        return _read_database(folder / DATABASE, decimals, limits)


def _check_end_record(path: Path, limits: Limits) -> None:
    """The zipfile module reads as much directory into memory as the end record says, so that is looked at before."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - _END_RECORD.size - _LONGEST_COMMENT_BYTES - _ZIP64_LOCATOR_BYTES, 0))
        tail = file.read()
    start = tail.rfind(_END_MARK)
    if start < 0 or len(tail) - start < _END_RECORD.size:
        raise backup.BadBackup("the file is no zip archive")
    entries, directory_bytes = _END_RECORD.unpack_from(tail, start)[4:6]
    if tail[max(start - _ZIP64_LOCATOR_BYTES, 0) : start].startswith(_ZIP64_MARK):
        raise backup.BadBackup("the zip archive is larger than a backup can be")
    if entries > limits.entries or directory_bytes > limits.directory_bytes:
        raise backup.BadBackup(f"the zip archive holds more than {limits.entries} files")


def _members(archive: zipfile.ZipFile, limits: Limits) -> list[zipfile.ZipInfo]:
    """The entries that are read; every other one is only looked at."""
    entries = archive.infolist()
    if len(entries) > limits.entries:
        raise backup.BadBackup(f"the zip archive holds more than {limits.entries} files")
    for entry in entries:
        if _leads_outside(entry.filename):
            raise backup.BadBackup("the zip archive holds a file whose path leads outside of it")
        if entry.filename == WRITE_AHEAD_LOG and entry.file_size:
            raise backup.BadBackup(f"{DATABASE} is not whole without {entry.filename}: have the Debitum app make the backup")
    if sum(entry.file_size for entry in entries) > limits.unpacked_bytes:
        raise _too_large(limits)
    members = [entry for entry in entries if entry.filename in (DATABASE, PREFERENCES)]
    names = [entry.filename for entry in members]
    if DATABASE not in names:
        raise backup.BadBackup(f"the zip archive holds no {DATABASE}: it is no backup of the Debitum app")
    if len(set(names)) < len(names):
        raise backup.BadBackup("the zip archive holds the same file twice")
    for entry in members:
        if entry.flag_bits & 0x1:
            raise backup.BadBackup(f"{entry.filename} is encrypted")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise backup.BadBackup(f"{entry.filename} is compressed in a way that the Debitum app does not use")
    return members


def _leads_outside(name: str) -> bool:
    path = PureWindowsPath(name)  # which knows both separators, and drives
    return bool(path.anchor) or ".." in path.parts


def _unpack(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path, limits: Limits) -> None:
    left = limits.unpacked_bytes
    for entry in members:
        most = min(left, limits.preferences_bytes) if entry.filename == PREFERENCES else left
        with (folder / entry.filename).open("wb") as file:
            written = 0
            for chunk in _chunks(archive, entry):
                written += len(chunk)
                if written > most:
                    raise _too_large(limits) if most == left else backup.BadBackup(f"{PREFERENCES} is too large")
                file.write(chunk)
        left -= written


def _chunks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(entry) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise zipfile.BadZipFile(entry.filename) from error


def _too_large(limits: Limits) -> backup.BadBackup:
    return backup.BadBackup(f"the backup takes more than {limits.unpacked_bytes >> 20} MiB unpacked")


def _decimals(document: bytes) -> int:
    """The setting `decimals` of a Java properties file (what the app writes) or of an Android preferences file."""
    found = _Decimals()
    parser = xml.parsers.expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_entities
    parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = found.start, found.text, found.end
    try:
        parser.Parse(document, True)
    except (xml.parsers.expat.ExpatError, ValueError, LookupError) as error:
        raise backup.BadBackup(f"{PREFERENCES} is no XML") from error
    values = {value.strip() for value in found.values} or {str(DEFAULT_DECIMALS)}
    value = values.pop()
    if values or value not in [str(number) for number in range(MOST_DECIMALS + 1)]:
        raise backup.BadBackup(f"the setting decimals in {PREFERENCES} is not one number from 0 to {MOST_DECIMALS}")
    return int(value)


class _Decimals:
    """Collects what stands in the elements that are called decimals, by attribute or as text."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self._inside = False

    def start(self, _: str, attributes: dict[str, str]) -> None:
        self._inside = "decimals" in (attributes.get("name"), attributes.get("key"))
        if self._inside:
            self.values.append(attributes.get("value", ""))

    def text(self, data: str) -> None:
        if self._inside:
            self.values[-1] += data

    def end(self, _: str) -> None:
        self._inside = False


def _refuse_entities(name: str, system_id: str | None, public_id: str | None, has_internal_subset: bool) -> None:
    """Java names an outside DTD, which is never fetched; entities can only be declared in an internal one."""
    if has_internal_subset:
        raise backup.BadBackup(f"{PREFERENCES} declares entities, which the Debitum app never does")


def _read_database(path: Path, decimals: int, limits: Limits) -> backup.Backup:
    try:
        # immutable: there is no journal of the phone's to be waited for or looked for, and nothing is written beside the file.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            _restrict(connection, limits)
            version = _check_schema(connection)
            if connection.execute("pragma quick_check(1)").fetchall() != [("ok",)]:
                raise backup.BadBackup(f"{DATABASE} is broken")
            return backup.Backup(
                people=tuple(_convert(row, backup.Person, "person", "id_person") for row in _rows(connection, _PEOPLE, limits)),
                transactions=tuple(
                    _convert(row, backup.Txn, "txn", "id_transaction") for row in _rows(connection, _TRANSACTIONS, limits)
                ),
                images=connection.execute(_IMAGES).fetchone()[0] if version >= COLUMNS["image"]["filename"] else 0,
                decimals=decimals,
            )
    except sqlite3.OperationalError as error:
        reason = (
            "reading it takes too long" if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT else str(error)
        )
        raise backup.BadBackup(f"{DATABASE} cannot be read: {reason}") from error
    except (sqlite3.Error, UnicodeError) as error:
        raise backup.BadBackup(f"{DATABASE} is broken or no SQLite database") from error


_PEOPLE: Final = "select * from person not indexed order by id_person"
_TRANSACTIONS: Final = "select * from txn not indexed order by id_transaction"
_IMAGES: Final = "select count(*) from image not indexed"


def _restrict(connection: sqlite3.Connection, limits: Limits) -> None:
    """No functions or triggers of the file's own, no value and no query without an end."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE_BYTES)
    for pragma in ("trusted_schema=off", "query_only=on", "cell_size_check=on", "ignore_check_constraints=on", "mmap_size=0"):
        connection.execute(f"pragma {pragma}")
    rounds = iter(range(limits.steps // STEPS_AT_ONCE))
    connection.set_progress_handler(lambda: next(rounds, None) is None, STEPS_AT_ONCE)


def _check_schema(connection: sqlite3.Connection) -> int:
    """The schema version, when the file is what the app makes: plain tables with the columns of that version."""
    version = int(connection.execute("pragma user_version").fetchone()[0])
    if version not in SCHEMA_VERSIONS:
        raise backup.BadBackup(f"the backup has the unknown schema version {version}; known are 1 to {SCHEMA_VERSIONS[-1]}")
    for kind, root_page, sql in connection.execute("select type, rootpage, sql from sqlite_master"):
        plain = kind == "index" or (kind == "table" and str(sql).upper().startswith("CREATE TABLE "))
        if not plain or not root_page:
            raise backup.BadBackup(f"{DATABASE} holds views, triggers or virtual tables, which the Debitum app never makes")
    for table, columns in COLUMNS.items():
        expected = {column for column, since in columns.items() if since <= version}
        found = connection.execute("select name, pk, hidden from pragma_table_xinfo(?)", (table,)).fetchall()
        ours = {name for name, _, hidden in found if not hidden} == expected == {name for name, *_ in found}
        if not ours or {name for name, place, _ in found if place} != KEYS[table] & expected:
            raise backup.BadBackup(f"the table {table} is not the one of schema version {version}")
    return version


def _rows(connection: sqlite3.Connection, query: str, limits: Limits) -> Iterator[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    for number, row in enumerate(cursor):
        if number >= limits.rows:
            raise backup.BadBackup(f"the backup holds more than {limits.rows} rows")
        yield dict(zip(names, row, strict=True))


def _convert(row: dict[str, Any], kind: type[Row], table: str, key: str) -> Row:
    """SQLite holds values of any type in any column, so each is looked at. What an older version lacks is null."""
    try:
        return msgspec.convert(dict.fromkeys(kind.__struct_fields__) | row, type=kind)
    except msgspec.ValidationError as error:
        detail, _, column = str(error).partition(" - at `$.")
        raise backup.bad(f"/{table}/{row[key]}/{column.rstrip('`')}", detail) from error
