"""Takes ledgers out of snapshots and of the copy of the log: a file that has rows of theirs is replaced by one without them."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

import duckdb

from storage.snapshots import files
from storage.snapshots.schema import COPY, SNAPSHOTS

FOLDERS: Final = (SNAPSHOTS, COPY)
ANY_FILE: Final = "**/*.parquet"
ANY_WORKSHOP: Final = "**/.building-*"
"""Where a file is being made, or where a run that was killed left what it had."""


def erase(root: Path, ledgers: Collection[UUID]) -> Mapping[UUID, int]:
    """Re-write every snapshot under the data folder `root` that has rows of `ledgers`; how many files that were, of each.

    A file keeps its columns, the order of its rows and what its footer says. Whoever reads sees the old file or the new one.
    Not while snapshots are written: what a run has not put in its place yet is thrown away. Safe to kill at any point, and
    to repeat.
    """
    for left in (left for folder in FOLDERS for left in (root / folder).glob(ANY_WORKSHOP)):
        shutil.rmtree(left, ignore_errors=True)
    names = {str(ledger): ledger for ledger in ledgers}
    found = _found(root, list(names)) if names else []
    for path in sorted({path for path, _ in found}):
        _rewrite(path, list(names))
    return Counter(names[name] for _, name in found)


def _found(root: Path, names: list[str]) -> list[tuple[Path, str]]:
    """Each file with a ledger that it has rows of. Files are sorted by ledger: of most, only the footers are read."""
    there = [str(root / folder / ANY_FILE) for folder in FOLDERS if any((root / folder).glob(ANY_FILE))]
    if not there:
        return []
    with duckdb.connect(config={"memory_limit": files.MEMORY}) as duck:
        rows = duck.execute(_FIND, {"files": there, "ledgers": names}).fetchall()
    return [(Path(path), name) for path, name in rows]


def _rewrite(path: Path, names: list[str]) -> None:
    footer = files.footers(path)[str(path)]
    # The keys of a footer cannot be bound values: they are our own words, and quoted.
    marks = ", ".join(f'"{key}": $mark_{number}' for number, key in enumerate(footer))
    bound = {f"mark_{number}": value for number, value in enumerate(footer.values())}
    with tempfile.TemporaryDirectory(prefix=".building-", dir=path.parent) as work:
        built = Path(work, path.name)
        with files.builder(built.parent) as duck:
            duck.execute(_COPY.format(marks=marks), {"path": str(path), "built": str(built), "ledgers": names, **bound})
        files.put(built, path)


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
