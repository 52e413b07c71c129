"""One audit: the copy of the log brought up to date, everything read in one snapshot of Postgres, the replay, the comparison."""

import datetime
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import duckdb
from sqlalchemy import Connection, Date, text

from storage import days, erasure
from storage.audit import log, replay
from storage.audit.log import LOG
from storage.audit.shapes import CONTACTS, SHAPES, TIME, Shape
from storage.encryption import Cipher, KeyRing, KeyRingError
from storage.engine import Begin
from storage.snapshots import files, places, progress, transfer, writing
from storage.snapshots.places import Root
from storage.snapshots.schema import COPY

Snapshot = Callable[[], AbstractContextManager[Connection]]
"""Opens a transaction of the jobs role that sees one moment as long as it lasts (repeatable read)."""
_PAGE: Final = 1_000


@dataclass(frozen=True, order=True)
class Finding:
    """In `table` something of the ledger is not what the log says: first of what happened at `seq`, or the event itself."""

    ledger_id: str
    seq: int
    table: str


@dataclass(frozen=True)
class Audited:
    """What was held against what: `copied` days went into the copy, `facts` of `ledgers` were replayed."""

    copied: list[datetime.date]
    ledgers: int
    facts: int
    findings: list[Finding]


def audit(begin: Begin, snapshot: Snapshot, data: Path, keys: KeyRing, *, patience_seconds: float = 60.0) -> Audited:
    """Replay the log from the first fact and compare; `data` is the data folder, `keys` open what is sealed.

    Leaves out ledgers that may be erased from now on. Not while somebody is erased. Raises Unsettled and CannotTell, as a
    snapshot does. Work files hold what was sealed: they are its owner's only, and gone at the end.
    """
    root = Root(data)
    copied = _copy(begin, root, patience_seconds)
    through = progress.newest_final(root, LOG)
    with places.workshop(root, root.folder(COPY) / "replay" / "facts") as work, files.builder(root, work) as duck:
        with snapshot() as connection:
            leaving = {str(ledger_id) for ledger_id in erasure.leaving(connection)}
            _load(duck, connection, work, root, through)
            findings = _not_as_copied(duck, connection, work, through)
        _open_facts(duck, work, keys)
        _open_contacts(duck, work, keys)
        for statement in replay.statements():
            duck.execute(statement)
        for table, question in replay.questions():
            findings += [Finding(ledger, seq, table) for ledger, seq in duck.execute(question).fetchall()]
        ledgers, facts = duck.execute("select count(distinct ledger_id), count(*) from facts").fetchall()[0]
    return Audited(copied, ledgers, facts, sorted(one for one in set(findings) if one.ledger_id not in leaving))


def _copy(begin: Begin, root: Root, patience_seconds: float) -> list[datetime.date]:
    """Every day that is over and is not in the copy yet; which those were. Raises files.Damaged."""
    files.refuse(files.damaged(root, files.of_table(root, LOG)))
    with begin() as connection:
        first, today = progress.first_day(connection), connection.execute(_TODAY).scalar_one()
    missing = progress.unfinished(root, first, today, tables=[LOG]) if first else []
    for day in missing:
        writing.write(begin, root, LOG, day, patience_seconds=patience_seconds)
    return missing


# --- reading --------------------------------------------------------------------------------------------------------


def _load(duck: duckdb.DuckDBPyConnection, connection: Connection, work: Path, root: Root, through: datetime.date | None) -> None:
    kinds = LOG.taken_columns
    tail = f"select {log.COLUMNS} from debitum.events where recorded_at >= coalesce(%(start)s::timestamptz, '-infinity')"  # noqa: S608 - ours
    bound = {"start": None if through is None else days.end(through)}
    _take(duck, connection, work, "tail", kinds, tail, bound)
    copy = files.nothing(kinds)
    if through is not None:
        names = ", ".join(kinds)
        of_days = files.parquet(root.folder(COPY) / LOG.name / "day=*" / "*.parquet", "hive_types = {'day': DATE}")
        copy = f"select {names} from {of_days} where day <= date '{through}'"  # noqa: S608 - our own names
    duck.execute(f"create view copy as {copy}")
    duck.execute("create view log as from copy union all from tail")
    for shape in SHAPES:
        columns = {"ledger_id": "VARCHAR", "id": "VARCHAR"} | dict.fromkeys(shape.columns, "VARCHAR")
        statement = f"select ledger_id, id, {shape.in_postgres} from debitum.{shape.table}"  # noqa: S608 - our own names
        _take(duck, connection, work, f"found_{shape.table}", columns, statement)
    for name, (columns, statement) in _FOUND.items():
        _take(duck, connection, work, f"found_{name}", columns, statement)


def _take(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    work: Path,
    name: str,
    columns: dict[str, str],
    statement: str,
    bound: Mapping[str, object] | None = None,
) -> None:
    """A table of DuckDB with what a select of Postgres gives."""
    path = work / f"{name}.csv"
    transfer.download(connection, statement, path, bound or {})
    duck.execute(f"create table {name} as from {transfer.csv(columns, path)}")
    path.unlink()


def _not_as_copied(
    duck: duckdb.DuckDBPyConnection, connection: Connection, work: Path, through: datetime.date | None
) -> list[Finding]:
    """Events that Postgres holds otherwise than it did when their day was copied, or not any more; of a ledger the first."""
    if through is None:
        return []
    bound: dict[str, object] = {"end": days.end(through)}
    columns = {"ledger_id": "VARCHAR", "events": "BIGINT", "digest": "VARCHAR"}
    _take(duck, connection, work, "digests", columns, _DIGESTS, bound)
    differing = [ledger for (ledger,) in duck.execute(_DIGESTS_DIFFER).fetchall()]
    columns = {"ledger_id": "VARCHAR", "seq": "BIGINT", "digest": "VARCHAR"}
    _take(duck, connection, work, "events", columns, _EVENTS, bound | {"ledgers": [UUID(ledger) for ledger in differing]})
    found = duck.execute(_EVENTS_DIFFER, {"ledgers": differing}).fetchall()
    return [Finding(ledger, seq, "events") for ledger, seq in found]


# --- opening --------------------------------------------------------------------------------------------------------


def _open_facts(duck: duckdb.DuckDBPyConnection, work: Path, keys: KeyRing) -> None:
    """The view `facts`: the log with every fact in clear, null where it does not open."""
    lines = (
        (ledger, str(seq), _opened(cipher, "event", event_id, "fact", sealed))
        for cipher, (ledger, seq, event_id, sealed) in _with_ciphers(duck, keys, _SEALED_FACTS)
    )
    _put(duck, work, "opened", {"ledger_id": "VARCHAR", "seq": "BIGINT", "fact": "VARCHAR"}, lines)
    duck.execute("""
        create view facts as
        select log.* replace (coalesce(log.fact, opened.fact) as fact) from log left join opened using (ledger_id, seq)
    """)


def _open_contacts(duck: duckdb.DuckDBPyConnection, work: Path, keys: KeyRing) -> None:
    """The same of contacts: in `found_contacts` their private fields are in clear, null where one does not open."""
    lines = (
        (ledger, contact, *(_opened(cipher, "contact", contact, *one) for one in zip(CONTACTS.private, sealed, strict=True)))
        for cipher, (ledger, contact, *sealed) in _with_ciphers(duck, keys, _sealed(CONTACTS))
    )
    _put(duck, work, "opened_contacts", dict.fromkeys(("ledger_id", "id", *CONTACTS.private), "VARCHAR"), lines)
    sets = ", ".join(f"{name} = opened.{name}" for name in CONTACTS.private)
    duck.execute(f"""
        update found_contacts set {sets} from opened_contacts opened
        where opened.ledger_id = found_contacts.ledger_id and opened.id = found_contacts.id
    """)  # noqa: S608 - our own names


def _with_ciphers(duck: duckdb.DuckDBPyConnection, keys: KeyRing, question: str) -> Iterator[tuple[Cipher | None, list[str]]]:
    """Rows after their first column, the ledger's sealed key, and what opens them; rows of a ledger stand together."""
    known: tuple[str, Cipher | None] = ("", None)
    with duck.cursor() as cursor:
        rows = cursor.execute(question)
        while page := rows.fetchmany(_PAGE):
            for key, ledger, *rest in page:
                if known[0] != ledger:
                    known = (ledger, _cipher(keys, ledger, key))
                yield known[1], [ledger, *rest]


def _cipher(keys: KeyRing, ledger: str, key: str | None) -> Cipher | None:
    try:
        return keys.cipher(ledger, bytes.fromhex(key or ""))
    except KeyRingError:
        return None


def _opened(cipher: Cipher | None, aggregate: str, aggregate_id: str, field: str, sealed: str | None) -> str | None:
    if cipher is None or sealed is None:
        return None
    try:
        return cipher.open(aggregate, aggregate_id, field, bytes.fromhex(sealed))
    except KeyRingError:
        return None


def _put(
    duck: duckdb.DuckDBPyConnection, work: Path, name: str, columns: dict[str, str], lines: Iterator[tuple[str | None, ...]]
) -> None:
    path = work / f"{name}.csv"
    with path.open("w", newline="") as file:
        for line in lines:
            file.write(",".join("" if one is None else '"' + one.replace('"', '""') + '"' for one in line) + "\n")
    duck.execute(f"create table {name} as from {transfer.csv(columns, path)}")
    path.unlink()


def _sealed(shape: Shape) -> str:
    private = ", ".join(shape.private)
    return f"""
        select data_key, ledger_id, id, {private} from found_{shape.table} left join found_ledgers using (ledger_id)
        where coalesce({private}) is not null order by ledger_id
    """  # noqa: S608 - our own names


_SEALED_FACTS: Final = """
    select data_key, ledger_id, seq, event_id, sealed from log left join found_ledgers using (ledger_id)
    where sealed is not null order by ledger_id
"""
_FOUND: Final[dict[str, tuple[dict[str, str], str]]] = {
    "ledgers": (
        {
            "ledger_id": "VARCHAR",
            "version": "BIGINT",
            "hash": "VARCHAR",
            "recorded_at": "TIMESTAMP WITH TIME ZONE",
            "dirty": "BOOLEAN",
            "turnover": "HUGEINT",
            "data_key": "VARCHAR",
            "covered_seq": "BIGINT",
        },
        """
        select id, version, encode(head_hash, 'hex'), recorded_at, dirty, turnover, encode(data_key, 'hex'), covered_seq
        from debitum.ledgers left join debitum.projection_marks on ledger_id = id
        """,
    ),
    "postings": (
        {
            "ledger_id": "VARCHAR",
            "seq": "BIGINT",
            "contact_id": "VARCHAR",
            "transaction_id": "VARCHAR",
            "currency": "VARCHAR",
            "amount": "BIGINT",
            "effective_date": "VARCHAR",
            "recorded_at": "VARCHAR",
        },
        f"""
        select ledger_id, seq, contact_id, transaction_id, currency, amount, effective_date::text,
               {TIME.format("recorded_at")}
        from debitum.postings
        """,  # noqa: S608 - our own words
    ),
    "conflicts": (
        {
            "ledger_id": "VARCHAR",
            "event_id": "VARCHAR",
            "seq": "BIGINT",
            "aggregate_type": "VARCHAR",
            "aggregate_id": "VARCHAR",
            "kind": "VARCHAR",
            "with_seq": "BIGINT",
            "resolved_by": "VARCHAR",
        },
        "select ledger_id, event_id, seq, aggregate_type, aggregate_id, kind, with_seq, resolved_by from debitum.conflicts",
    ),
    "balances": (
        {"ledger_id": "VARCHAR", "contact_id": "VARCHAR", "currency": "VARCHAR", "amount": "BIGINT"},
        "select ledger_id, contact_id, currency, amount from debitum.balances",
    ),
}
_DIGESTS: Final = f"""
    select ledger_id, count(*), md5(string_agg(md5(concat_ws('|', {log.IN_POSTGRES})), '' order by seq))
    from debitum.events where recorded_at < %(end)s group by ledger_id
"""  # noqa: S608 - our own words
_DIGESTS_DIFFER: Final = f"""
    with copied as (
        select ledger_id, count(*) as events, md5(string_agg(md5(concat_ws('|', {log.IN_DUCKDB})), '' order by seq)) as digest
        from copy group by ledger_id
    )
    select ledger_id from copied full join digests using (ledger_id)
    where copied.digest is distinct from digests.digest or copied.events is distinct from digests.events
"""  # noqa: S608 - our own words
_EVENTS: Final = f"""
    select ledger_id, seq, md5(concat_ws('|', {log.IN_POSTGRES})) from debitum.events
    where ledger_id = any(%(ledgers)s::uuid[]) and recorded_at < %(end)s
"""  # noqa: S608 - our own words
_EVENTS_DIFFER: Final = f"""
    with copied as (
        select ledger_id, seq, md5(concat_ws('|', {log.IN_DUCKDB})) as digest
        from copy where ledger_id in (select unnest($ledgers::varchar[]))
    )
    select ledger_id, min(seq) from copied full join events using (ledger_id, seq)
    where copied.digest is distinct from events.digest group by ledger_id
"""  # noqa: S608 - our own words
_TODAY = text("select (clock_timestamp() at time zone 'UTC')::date as day").columns(day=Date)
