"""Takes ledgers out of snapshots and of the copy of the log: a file that has rows of theirs is replaced by one without them."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

import duckdb

from storage.snapshots import files, places
from storage.snapshots.places import File, Root
from storage.snapshots.schema import FOLDERS

ANY_FILE: Final = "**/*.parquet"


def erase(root: Root, ledgers: Collection[UUID]) -> Mapping[UUID, int]:
    """Re-write every snapshot, and file of the copy of the log, that has rows of `ledgers`; how many that were, of each.

    A file keeps its columns, the order of its rows and what its footer says. Whoever reads sees the old file or the new one.
    Not while snapshots are written: what a run has not put in its place yet is thrown away. Safe to kill at any point, and
    to repeat.
    """
    places.sweep(root)
    names = {str(ledger): ledger for ledger in ledgers}
    found = _found(root, list(names)) if names else []
    for path in sorted({path for path, _ in found}):
        _rewrite(root, root.at(path), list(names))
    return Counter(names[name] for _, name in found)


def _found(root: Root, names: list[str]) -> list[tuple[str, str]]:
    """The name of each file with a ledger that it has rows of. Files are sorted by ledger: of most, only the footers are read.

    Raises files.Damaged: whose rows such a file has cannot be said.
    """
    folders = [folder for folder in map(root.folder, FOLDERS) if any(folder.glob(ANY_FILE))]
    there = [places.location(folder / ANY_FILE) for folder in folders]
    if not there:
        return []
    with places.connect(root, memory_limit=files.MEMORY) as duck:
        try:
            rows = duck.execute(_FIND, {"files": there, "ledgers": names}).fetchall()
        except duckdb.Error:
            files.refuse(files.damaged(root, [path for folder in folders for path in folder.glob(ANY_FILE)]))
            raise
    return [(path, name) for path, name in rows]


def _rewrite(root: Root, path: File, names: list[str]) -> None:
    footer = files.footers(root, [path])[places.location(path)]
    # The keys of a footer cannot be bound values: they are our own words, and quoted.
    marks = ", ".join(f'"{key}": $mark_{number}' for number, key in enumerate(footer))
    bound: dict[str, object] = {f"mark_{number}": value for number, value in enumerate(footer.values())}
    with places.workshop(root, path) as work:
        built = work / path.name
        with files.builder(root, work) as duck:
            bound |= {"path": places.location(path), "built": str(built), "ledgers": names}
            duck.execute(_COPY.format(marks=marks), bound)
        places.put(built, path)


_FIND: Final = """
    select distinct filename, ledger_id
    from read_parquet($files, filename = true, hive_partitioning = false, union_by_name = true)
    where ledger_id in (select unnest($ledgers::varchar[]))
    order by all
"""

_COPY: Final = """
    copy (
        select * from read_parquet($path, hive_partitioning = false)
        where ledger_id is null or ledger_id not in (select unnest($ledgers::varchar[]))
    ) to $built (format parquet, compression zstd, kv_metadata {{{marks}}})
"""
