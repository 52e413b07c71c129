"""A new major version of the embedded PostgreSQL: the old one's data, dumped by its own programs and restored into a new cluster.

pgdata          as it was, until the new cluster is whole
pgdata.next     the new cluster while it is made; what a killed attempt left there is removed
pgdata.next.dump    the dump, likewise
pgdata.16       the old cluster, untouched, in the end: yours to remove
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg

from storage import disk, embedded
from storage.embedded import EmbeddedServerError, Served

SPACE = 2
"""How many times the old cluster's size must be free: a dump and a new cluster, which are both smaller."""

Say = Callable[[str], object]
"""Told at the beginning of each stage, and of the end: BEGINS, DUMPS, MAKES, RESTORES, COMPARES, KEEPS, PUTS, then ENDS."""
BEGINS = "postgres: the data is of PostgreSQL {old}, and is brought to {new}; this takes a while, once"
DUMPS = "postgres: {databases} databases are dumped by the programs of PostgreSQL {old}"
MAKES = "postgres: dumped {rows} rows; a cluster of PostgreSQL {new} is made"
RESTORES = "postgres: the dump is restored"
COMPARES = "postgres: restored; the rows of every table are counted"
KEEPS = "postgres: every table has its rows; the old cluster is put aside"
PUTS = "postgres: the new cluster takes its place"
ENDS = "postgres: the data is of PostgreSQL {new}; the old is kept in {kept}, which you may remove"


def upgrade(data_dir: Path, say: Say) -> None:
    """Bring `data_dir`/pgdata to the newest version, where it is of an older one. It can be killed at any moment, and run again.

    The caller holds the data folder. Raises EmbeddedServerError, whose text says what to do; the old cluster is as it was then.
    """
    pgdata, new = data_dir / "pgdata", data_dir / "pgdata.next"
    if not pgdata.exists() and (new / "PG_VERSION").exists():  # killed between the two renames: all else had been done
        _put_in_place(new, pgdata)
    old_version = embedded.version_of(pgdata)
    if old_version is None or old_version == embedded.NEWEST:
        return
    kept = data_dir / f"pgdata.{old_version}"
    _require(data_dir, pgdata, kept, old_version)
    say(BEGINS.format(old=old_version, new=embedded.NEWEST))
    dump = data_dir / "pgdata.next.dump"
    _remove(new, dump)
    with embedded.served(pgdata, old_version) as old:
        names = _databases(old)
        say(DUMPS.format(databases=len(names), old=old_version))
        old.make_folder(dump)
        _dump(old, names, dump)
        before = {name: _counts(old, name) for name in names}
    say(MAKES.format(rows=sum(sum(counts.values()) for counts in before.values()), new=embedded.NEWEST))
    with embedded.served(new, embedded.NEWEST) as made:
        say(RESTORES)
        _restore(made, names, dump)
        say(COMPARES)
        if {name: _counts(made, name) for name in names} != before:
            raise EmbeddedServerError(f"the restored data is not what was dumped; {pgdata} is as it was")
    say(KEEPS)
    shutil.rmtree(dump)
    _put_in_place(pgdata, kept)
    say(PUTS)
    _put_in_place(new, pgdata)
    say(ENDS.format(new=embedded.NEWEST, kept=kept))


def _require(data_dir: Path, pgdata: Path, kept: Path, version: int) -> None:
    if version not in embedded.VERSIONS or version > embedded.NEWEST:
        here = " and ".join(map(str, embedded.VERSIONS))
        raise EmbeddedServerError(f"{pgdata} is of PostgreSQL {version}; this version of Debitum brings {here}: use another")
    if kept.exists():
        raise EmbeddedServerError(f"{kept} exists already, and the old data is to be kept there: move it away")
    needed = SPACE * sum(file.stat().st_size for file in _files(pgdata))
    if (free := shutil.disk_usage(data_dir).free) < needed:
        raise EmbeddedServerError(
            f"to bring the data to PostgreSQL {embedded.NEWEST} takes {needed / 2**20:.0f} MiB of room in {data_dir}, "
            f"and {free / 2**20:.0f} are free: make some"
        )


def _files(pgdata: Path) -> Iterator[Path]:
    """All but the write-ahead log, which a new cluster begins anew."""
    for file in pgdata.rglob("*"):
        if "pg_wal" not in file.relative_to(pgdata).parts and file.is_file():
            yield file


def _remove(new: Path, dump: Path) -> None:
    embedded.wait_for_initdb(new)
    if new.exists():
        embedded.halt(new, embedded.NEWEST)  # a killed attempt leaves its server running
        shutil.rmtree(new)
    shutil.rmtree(dump, ignore_errors=True)


def _databases(old: Served) -> list[str]:
    """Those that somebody made."""
    with psycopg.connect(old.url("postgres"), autocommit=True) as connection:
        found = connection.execute("select datname from pg_database where not datistemplate and datname <> 'postgres' order by 1")
        return [str(name) for (name,) in found]


def _dump(old: Served, names: list[str], dump: Path) -> None:
    old.execute("pg_dumpall", "--roles-only", "-d", old.url("postgres"), "-f", str(dump / "roles.sql"))
    for number, name in enumerate(names):
        old.execute("pg_dump", "-Fc", "-f", str(dump / f"{number}.dump"), "-d", old.url(name))


def _restore(made: Served, names: list[str], dump: Path) -> None:
    roles = (dump / "roles.sql").read_text().replace("CREATE ROLE postgres;\n", "")  # every cluster begins with that one
    (dump / "roles.sql").write_text(roles)
    made.execute("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump / "roles.sql"), "-d", made.url("postgres"))
    for number, name in enumerate(names):
        made.execute("pg_restore", "--create", "--exit-on-error", "-d", made.url("postgres"), str(dump / f"{number}.dump"))
        with psycopg.connect(made.url(name), autocommit=True) as connection:
            connection.execute("analyze")  # a dump has no statistics


def _counts(server: Served, name: str) -> dict[str, int]:
    """How many rows each table has."""
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        tables = connection.execute(
            "select format('%I.%I', nspname, relname) from pg_class c join pg_namespace n on n.oid = relnamespace"
            " where relkind = 'r' and nspname <> 'information_schema' and nspname not like 'pg\\_%' order by 1"
        ).fetchall()
        counts = {}
        for (table,) in tables:
            row = connection.execute(f"select count(*) from {table}").fetchone()  # noqa: S608 (Postgres has quoted it)
            counts[str(table)] = row[0] if row else 0
        return counts


def _put_in_place(source: Path, target: Path) -> None:
    """Rename, and have the disk know of it."""
    source.rename(target)
    disk.keep_names(target.parent)
