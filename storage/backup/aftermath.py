"""What lies outside Postgres and knows more than a backup that is put back: files of days, and of ledgers that are not there."""

import datetime
from uuid import UUID

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from storage.audit.log import LOG
from storage.engine import Begin
from storage.snapshots import erasure, files, places
from storage.snapshots.places import Root
from storage.snapshots.tables import TABLES


def forget_days(root: Root, first: datetime.date) -> int:
    """Throw away the files of the days from `first` on, which hold what the backup does not: they are made anew by the jobs.

    Returns how many. Files that tell what was sent stay: that has happened, and Postgres does not know it any more. The copy of
    the log goes: an audit would take what the backup lacks for a loss, and no erasure would remove whoever is not in the backup.
    To be done before the database is replaced: should that fail, everything is made again as it was.
    """
    made_anew = [*(table for table in TABLES if not table.keeps), LOG]
    gone = [files.path_of(root, table, day) for table in made_anew for day in files.there(root, table) if day >= first]
    for path in gone:
        path.unlink()
    return len(gone)


def forget_strangers(begin: Begin, root: Root) -> int:
    """Take ledgers that the database does not know out of the files that stayed: nothing could erase them later. How many."""
    found = [UUID(name) for name in _ledgers(root)]
    if not found:
        return 0
    with begin() as connection:
        strangers = list(connection.scalars(_STRANGERS, {"found": found}))
    erasure.erase(root, strangers)
    return len(strangers)


def _ledgers(root: Root) -> list[str]:
    kept = [root.folder(table.folder) / table.name for table in TABLES if table.keeps]
    patterns = [places.location(folder / "**/*.parquet") for folder in kept if any(folder.glob("**/*.parquet"))]
    if not patterns:
        return []
    with places.connect(root, memory_limit=files.MEMORY) as duck:
        rows = duck.execute(_LEDGERS, {"files": patterns}).fetchall()
    return [ledger for (ledger,) in rows]


_LEDGERS = """
select distinct ledger_id from read_parquet($files, hive_partitioning = false, union_by_name = true) where ledger_id is not null
"""
_STRANGERS = (
    text("select id from unnest(:found) as found (id) where not exists (select from debitum.ledgers where ledgers.id = found.id)")
    .bindparams(bindparam("found", type_=ARRAY(Uuid)))
    .columns(id=Uuid)
)
