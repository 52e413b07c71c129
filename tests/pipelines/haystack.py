"""Everything that a machine keeps, as texts to look through: a dump of the whole database, and every file of the data folder."""

import email
import email.policy
import subprocess
from pathlib import Path

import duckdb
from sqlalchemy import Engine, text

Haystack = dict[str, str]
"""By where it is, what is there, in lower case."""


def read(database: Engine, url: str, folder: Path) -> Haystack:
    """A dump by pg_dump, and the files under `folder`; of mails and Parquet also what they decode to."""
    with database.connect() as connection:
        programs = connection.scalar(text("select setting from pg_config where name = 'BINDIR'"))
    dump = subprocess.run([f"{programs}/pg_dump", "--dbname", url], capture_output=True, check=True).stdout
    found = {"the database": dump.decode()}
    for path in folder.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(folder))] = _content(path)
    return {place: what.lower() for place, what in found.items()}


def places(haystack: Haystack, needle: str) -> list[str]:
    """Where the needle is: as it is, or as bytes of it are dumped; also in the names of files."""
    plain, dumped = needle.lower(), needle.lower().encode().hex()
    return [place for place, what in haystack.items() if plain in what or plain in place.lower() or dumped in what]


def _content(path: Path) -> str:
    content = path.read_bytes()
    raw = content.decode("utf-8", "replace")
    if path.suffix == ".parquet":
        with duckdb.connect() as duck:
            rows = duck.execute("from read_parquet($path, hive_partitioning = false)", {"path": str(path)}).fetchall()
        return raw + repr(rows)
    if path.suffix == ".eml":
        mail = email.message_from_bytes(content, policy=email.policy.default)
        parts = [part.get_content() for part in mail.walk() if not part.is_multipart()]
        return "\n".join([raw, *map(str, mail.values()), *parts])
    return raw
