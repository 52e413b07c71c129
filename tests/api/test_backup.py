"""Backup files: the three samples as they are, and files that lie."""

import datetime
import json
import sqlite3
import struct
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api import backup
from api.backup import Limits
from domain import facts, money
from domain.backup import Backup, BadBackup, Person, Txn, translate

DATA = Path(__file__).parents[1] / "data"
FOLDERS = {"large": Path(__file__).parents[2] / "debitum" / "samples"}  # the demo ships it
JAVA_PREFERENCES = b"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<!DOCTYPE properties SYSTEM "http://java.sun.com/dtd/properties.dtd">
<properties><comment/><entry key="decimals">3</entry><entry key="date_format">S</entry></properties>"""
SCHEMA = """
create table person (id_person integer primary key autoincrement not null, name text, note text, linked_contact_uri text);
create table txn (id_transaction integer primary key autoincrement not null, amount integer not null, id_person integer not null,
  description text, is_monetary integer not null, timestamp integer, timestamp_returned integer,
  has_images integer not null default(0), foreign key(id_person) references person(id_person));
create index index_txn_id_person on txn (id_person);
create table image (id_transaction integer not null, filename text not null, primary key(id_transaction, filename));
create table android_metadata (locale text);
pragma user_version = 6;
insert into person values (1, 'Ana', null, 'content://1');
insert into txn values (7, -1250, 1, 'lunch', 1, 1500000000000, null, 1);
"""
ROWS = Backup((Person(1, "Ana", None),), (Txn(7, -1250, 1, "lunch", 1, 1500000000000, None),), 0, 2)

Zip = Callable[..., Path]


@pytest.fixture
def database(tmp_path: Path) -> Callable[..., bytes]:
    """Bytes of a database of the app after more statements."""

    def make(*statements: str) -> bytes:
        path = tmp_path / "made.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(SCHEMA)
            for statement in statements:
                connection.executescript(statement)
            connection.commit()
        content = path.read_bytes()
        path.unlink()
        return content

    return make


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """A zip of (name, content) pairs."""

    def make(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
        folder = tmp_path / "upload"
        folder.mkdir(exist_ok=True)
        with zipfile.ZipFile(folder / "backup.zip", "w", compression) as made:
            for name, content in members:
                made.writestr(name, content)
        return folder / "backup.zip"

    return make


def _refusal(path: Path, limits: Limits | None = None) -> str:
    before = sorted(path.parent.iterdir())
    with pytest.raises(BadBackup) as raised:
        backup.read(path, limits)
    assert sorted(path.parent.iterdir()) == before, "something unpacked was left behind"
    return raised.value.detail


@pytest.mark.parametrize(("sample", "code"), [("small", "EUR"), ("large", "USD"), ("yen", "JPY")])
def test_a_sample_shows_what_its_json_says(sample: str, code: str) -> None:
    expected = json.loads((FOLDERS.get(sample, DATA) / f"debitum-{sample}.json").read_text())
    held = backup.read(FOLDERS.get(sample, DATA) / f"debitum-{sample}.zip")
    translated = translate(held, money.CURRENCIES[code], datetime.date(2026, 11, 22))
    found = _summary(translated.commands)
    assert {**found, "decimals": held.decimals, "images": held.images} == expected
    assert [(skipped.what, skipped.count) for skipped in translated.skipped] == [("images", expected["images"])]


def _summary(commands: tuple[facts.Command, ...]) -> dict[str, Any]:
    names: dict[UUID, str] = {}
    balances: Counter[str] = Counter()
    counts: Counter[str] = Counter(contacts=0, transactions=0, items=0, items_returned=0)
    for command in commands:
        if isinstance(command.payload, facts.ContactCreated):
            counts["contacts"] += 1
            names[UUID(command.aggregate_id)] = command.payload.name
            balances[command.payload.name] = 0
            continue
        assert isinstance(command.payload, facts.TransactionCreated)
        assert isinstance(command.payload.amount, int)
        counts["transactions"] += 1
        if command.payload.type == "item":
            counts["items"] += 1
            counts["items_returned"] += "returned_at" in command.event_data
        else:
            sign = 1 if command.payload.direction == "lent" else -1
            balances[names[command.payload.contact_id]] += sign * command.payload.amount
    return {**counts, "balances": dict(balances)}


def test_rows_are_read_as_they_are(archive: Zip, database: Callable[..., bytes]) -> None:
    assert backup.read(archive(("debitum.db", database()))) == ROWS


def test_images_are_counted_and_never_unpacked(archive: Zip, database: Callable[..., bytes]) -> None:
    content = database("insert into image values (7, 'a.jpg'), (7, 'b.jpg')")
    path = archive(("debitum.db", content), ("a.jpg", b"x" * 2000), ("folder/b.jpg", b""))
    assert backup.read(path).images == 2


@pytest.mark.parametrize(
    ("version", "statements"),
    [
        (5, ["alter table txn drop column has_images"]),
        (4, ["alter table txn drop column has_images", "drop table image"]),
        (
            1,
            [
                "alter table txn drop column has_images",
                "alter table txn drop column timestamp_returned",
                "alter table person drop column linked_contact_uri",
                "alter table person drop column note",
                "drop table image",
            ],
        ),
    ],
)
def test_earlier_versions(archive: Zip, database: Callable[..., bytes], version: int, statements: list[str]) -> None:
    content = database(*statements, f"pragma user_version = {version}")
    assert backup.read(archive(("debitum.db", content))) == ROWS
    mislabelled = database(*statements)
    assert "schema version 6" in _refusal(archive(("debitum.db", mislabelled)))


@pytest.mark.parametrize("version", [0, 7, -1])
def test_unknown_versions(archive: Zip, database: Callable[..., bytes], version: int) -> None:
    detail = _refusal(archive(("debitum.db", database(f"pragma user_version = {version}"))))
    assert detail == f"the backup has the unknown schema version {version}; known are 1 to 6"


def test_a_database_left_in_wal_mode_is_read(archive: Zip, database: Callable[..., bytes]) -> None:
    assert backup.read(archive(("debitum.db", database("pragma journal_mode = wal")))) == ROWS


def test_changes_that_are_not_in_the_database_are_not_passed_over(
    archive: Zip, database: Callable[..., bytes], tmp_path: Path
) -> None:
    """A row that stood in the journal alone was missing, and nothing said so."""
    path = tmp_path / "open.db"
    path.write_bytes(database("pragma journal_mode = wal"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("insert into person values (2, 'Bo', null, null)")
        connection.commit()
        main, journal = path.read_bytes(), path.with_name("open.db-wal").read_bytes()
    assert backup.read(archive(("debitum.db", main))) == ROWS, "it does not have the row"
    name = "debitum.db-wal"
    assert f"not whole without {name}" in _refusal(archive(("debitum.db", main), (name, journal)))
    for other in ((name, b""), (f"images/{name}", b"x"), ("debitum.db-journal", bytes(512))):
        assert backup.read(archive(("debitum.db", main), other)) == ROWS


# --- preferences ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preferences", "decimals"),
    [
        (JAVA_PREFERENCES, 3),
        (b"<map><string name='decimals'> 0 </string><string name='x'>9</string></map>", 0),
        (b"<map><int name='decimals' value='1' /></map>", 1),
        (b"<map><boolean name='invert_colors' value='false' /></map>", 2),
        ("<?xml version='1.0' encoding='utf-16'?><map><string name='decimals'>1</string></map>".encode("utf-16"), 1),
    ],
)
def test_decimals(archive: Zip, database: Callable[..., bytes], preferences: bytes, decimals: int) -> None:
    path = archive(("debitum.db", database()), ("debitum-preferences.xml", preferences))
    assert backup.read(path).decimals == decimals


BOMB = b"<!DOCTYPE map [<!ENTITY a '2'><!ENTITY b '&a;&a;&a;'>]><map><string name='decimals'>&b;</string></map>"
OUTSIDE = b"<!DOCTYPE map [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><map><string name='decimals'>&a;</string></map>"


@pytest.mark.parametrize(
    ("preferences", "reason"),
    [
        (BOMB, "declares entities"),
        (OUTSIDE, "declares entities"),
        (b"<map><string name='decimals'>5</string></map>", "not one number from 0 to 4"),
        (b"<map><string name='decimals'>two</string></map>", "not one number"),
        (b"<map><string name='decimals'></string></map>", "not one number"),
        (b"<map><string name='decimals'>1</string><string name='decimals'>2</string></map>", "not one number"),
        (b"<map>", "no XML"),
        (b"", "no XML"),
        (b"<?xml version='1.0' encoding='klingon'?><map/>", "no XML"),
        (b"<map>" + b" " * 2000 + b"</map>", "too large"),
    ],
)
def test_hostile_preferences(archive: Zip, database: Callable[..., bytes], preferences: bytes, reason: str) -> None:
    path = archive(("debitum.db", database()), ("debitum-preferences.xml", preferences))
    assert reason in _refusal(path, Limits(preferences_bytes=1000))


# --- archives -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"PK", b"SQLite format 3\0" + b"\0" * 500, b"PK\x05\x06", b"\0" * 100_000])
def test_no_zip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "backup.zip"
    path.write_bytes(content)
    assert _refusal(path) == "the file is no zip archive"


def test_a_bomb_stops_at_the_limit(archive: Zip, database: Callable[..., bytes]) -> None:
    path = archive(("debitum.db", database() + b"\0" * 5_000_000))
    assert path.stat().st_size < 10_000
    assert "more than 1 MiB" in _refusal(path, Limits(unpacked_bytes=1 << 20))


def test_a_bomb_that_lies_about_its_size_stops_too(archive: Zip, database: Callable[..., bytes]) -> None:
    path = archive(("debitum.db", database() + b"\0" * 5_000_000))
    content = path.read_bytes()
    size = struct.pack("<L", len(database()) + 5_000_000)
    assert content.count(size) == 2  # in the local header and in the directory
    path.write_bytes(content.replace(size, struct.pack("<L", 1000)))
    _refusal(path, Limits(unpacked_bytes=1 << 20))


def test_what_is_not_read_counts_too(archive: Zip, database: Callable[..., bytes]) -> None:
    path = archive(("debitum.db", database()), ("image-0.jpg", b"\0" * 2_000_000))
    assert "more than 1 MiB" in _refusal(path, Limits(unpacked_bytes=1 << 20))


@pytest.mark.parametrize(
    "name", ["../debitum.db", "/debitum.db", "a/../../debitum.db", "..\\debitum.db", "C:\\debitum.db", "//x/y"]
)
def test_paths_that_lead_outside(archive: Zip, database: Callable[..., bytes], name: str) -> None:
    content = database()
    assert "leads outside" in _refusal(archive(("debitum.db", content), (name, content)))


@pytest.mark.parametrize("name", ["backup/debitum.db", "Debitum.db", "debitum.db "])
def test_only_the_apps_own_name_is_read(archive: Zip, database: Callable[..., bytes], name: str) -> None:
    assert "holds no debitum.db" in _refusal(archive((name, database())))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice(archive: Zip, database: Callable[..., bytes]) -> None:
    assert "same file twice" in _refusal(archive(("debitum.db", database()), ("debitum.db", database())))


def test_an_encrypted_file(archive: Zip, database: Callable[..., bytes]) -> None:
    path = archive(("debitum.db", database()))
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "encrypted" in _refusal(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_compression_that_the_app_does_not_use(archive: Zip, database: Callable[..., bytes], compression: int) -> None:
    assert "compressed in a way" in _refusal(archive(("debitum.db", database()), compression=compression))


def test_too_many_files(archive: Zip, database: Callable[..., bytes]) -> None:
    members = [("debitum.db", database()), *((f"{number}.jpg", b"") for number in range(30))]
    assert "more than 20 files" in _refusal(archive(*members), Limits(entries=20))
    assert "more than 20000 files" in _refusal(archive(*members), Limits(directory_bytes=1000))


def test_damage_anywhere_is_a_refusal_or_harmless(archive: Zip, database: Callable[..., bytes]) -> None:
    """Never another exception, whatever byte is wrong."""
    path = archive(("debitum.db", database()), ("debitum-preferences.xml", JAVA_PREFERENCES))
    content = path.read_bytes()
    for place in [*range(0, 60), *range(60, len(content) - 250, 37), *range(len(content) - 250, len(content))]:
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            backup.read(path)
        except BadBackup:
            continue


# --- databases ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 4096])
def test_no_database(archive: Zip, content: bytes) -> None:
    _refusal(archive(("debitum.db", content)))


def test_a_cut_database(archive: Zip, database: Callable[..., bytes]) -> None:
    content = database()
    _refusal(archive(("debitum.db", content[: len(content) // 2])))


def test_damage_in_the_database(archive: Zip, database: Callable[..., bytes]) -> None:
    content = database()
    for place in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        try:
            backup.read(archive(("debitum.db", bytes(damaged))))
        except BadBackup:
            continue


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("drop table txn; create view txn as select * from person", "views"),
        ("create trigger t after insert on txn begin select 1; end", "triggers"),
        ("create virtual table v using fts5(x)", "virtual"),
        ("drop table txn", "the table txn"),
        ("alter table person add column extra text", "the table person"),
        ("alter table person drop column note; alter table person add column note text as (name)", "the table person"),
        ("drop table image; create table image (id_transaction integer, filename text)", "the table image"),
    ],
)
def test_a_schema_that_the_app_never_makes(archive: Zip, database: Callable[..., bytes], statement: str, reason: str) -> None:
    assert reason in _refusal(archive(("debitum.db", database(statement))))


@pytest.mark.parametrize(
    ("statement", "pointer"),
    [
        ("update txn set amount = 'ten'", "/txn/7/amount"),
        ("update txn set amount = 1.5", "/txn/7/amount"),
        ("update txn set amount = x'00'", "/txn/7/amount"),
        ("update txn set description = x'00'", "/txn/7/description"),
        ("update txn set timestamp = 'today'", "/txn/7/timestamp"),
        ("update txn set timestamp_returned = 0.5", "/txn/7/timestamp_returned"),
        ("update txn set is_monetary = 'yes'", "/txn/7/is_monetary"),
        ("update person set name = x'00'", "/person/1/name"),
    ],
)
def test_values_of_another_type(archive: Zip, database: Callable[..., bytes], statement: str, pointer: str) -> None:
    with pytest.raises(BadBackup) as raised:
        backup.read(archive(("debitum.db", database(statement))))
    assert [error.pointer for error in raised.value.errors] == [pointer]


@pytest.mark.parametrize(
    "statement", ["update person set name = cast(x'fffe' as text)", "update person set name = printf('%.*c', 2000000, 'x')"]
)
def test_texts_that_cannot_be_read(archive: Zip, database: Callable[..., bytes], statement: str) -> None:
    assert "debitum.db" in _refusal(archive(("debitum.db", database(statement))))


def test_too_many_rows_and_too_much_work(archive: Zip, database: Callable[..., bytes]) -> None:
    numbers = "with recursive n(i) as (select 2 union all select i + 1 from n where i < 20000)"
    many = f"{numbers} insert into person select i, 'p', '', '' from n"
    path = archive(("debitum.db", database(many)))
    assert "more than 1000 rows" in _refusal(path, Limits(rows=1000))
    assert "takes too long" in _refusal(path, Limits(steps=100_000))
    assert len(backup.read(path).people) == 20_000


def test_checks_of_the_file_are_not_run(archive: Zip, database: Callable[..., bytes]) -> None:
    """A CHECK is an expression of the stranger's."""
    rewritten = SCHEMA[: SCHEMA.index("create table txn")].replace("name text", "name text check (length(name) > 100)")
    content = database(
        "pragma ignore_check_constraints = on", "drop table person", rewritten, "insert into person (name) values ('Ana')"
    )
    assert backup.read(archive(("debitum.db", content))).people == (Person(1, "Ana", None),)
