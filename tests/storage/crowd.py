"""Many rows that are long over, and somebody who keeps asking for one of them while they are removed."""

import datetime
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection, text

from storage import urls
from storage.engine import Begin

CROWDED = uuid.UUID(int=1)
"""A ledger with far more rejections than are kept."""
REST_SECONDS = 0.001
"""Of the prober between two looks."""

_OUTBOX = text("""
    insert into debitum.outbox (ledger_id, id, dedupe_key, kind, channel, payload, state, next_at, created_at, finished_at)
    select md5((n % 100)::text)::uuid, gen_random_uuid(), n::text, 'due', 'email', '{"note": "of the size of a usual one"}',
           'sent', :at, :at, cast(:at as timestamptz) + make_interval(secs => n)
    from generate_series(1, :rows) n
""")
_ATTEMPTS = text("""
    insert into debitum.delivery_attempts (ledger_id, outbox_id, attempt, provider, started_at, finished_at, outcome)
    select ledger_id, id, attempt, 'files', finished_at, finished_at, 'sent' from debitum.outbox, generate_series(1, 2) attempt
""")
_REJECTIONS = text("""
    insert into debitum.rejections (ledger_id, event_id, fingerprint, code, command, at)
    select case when :is_crowded then cast(:ledger as uuid) else md5((n % 100)::text)::uuid end, gen_random_uuid(), '\\x00',
           'invalid', decode(repeat('00', 300), 'hex'), cast(:at as timestamptz) + make_interval(secs => n)
    from generate_series(1, :rows) n
""")
_LEDGER = text("""
    with owner as (
        insert into debitum.users (id, ledger_id, email, password_hash, time_zone, locale, default_currency, reminder_settings,
                                   created_at)
        values (:ledger, :ledger, 'crowded@example.org', '', 'UTC', 'en', 'EUR', '{}', :at)
        on conflict do nothing returning id
    )
    insert into debitum.ledgers (id, owner_id, data_key, created_at) select id, id, '\\x00', :at from owner
""")
_ASK = "select from debitum.outbox where ledger_id = %s and id = %s for update"


def fill(connection: Connection, *, rows: int, over_at: datetime.datetime, now: datetime.datetime) -> None:
    """So many messages with two attempts each, so many rejections, over from `over_at` on; and of one ledger so many of now."""
    connection.execute(_LEDGER, {"ledger": CROWDED, "at": over_at})
    connection.execute(_OUTBOX, {"rows": rows, "at": over_at})
    connection.execute(_ATTEMPTS)
    connection.execute(_REJECTIONS, {"rows": rows, "at": over_at, "is_crowded": False, "ledger": CROWDED})
    young = now - datetime.timedelta(seconds=rows)
    connection.execute(_REJECTIONS, {"rows": rows, "at": young, "is_crowded": True, "ledger": CROWDED})


@contextmanager
def asking(database_url: str) -> Iterator[list[float]]:
    """How long, in seconds, each of those waited that asked for the lock of a message, one after the other."""
    waited, done = list[float](), threading.Event()
    with psycopg.connect(urls.libpq_url(database_url), autocommit=True) as connection:
        keys = connection.execute("select ledger_id, id from debitum.outbox").fetchall()
        random.Random(7).shuffle(keys)

        def ask() -> None:
            for key in keys:
                began = time.perf_counter()
                connection.execute(_ASK, key)
                waited.append(time.perf_counter() - began)
                if done.wait(REST_SECONDS):
                    return

        prober = threading.Thread(target=ask)
        prober.start()
        try:
            yield waited
        finally:
            done.set()
            prober.join()


@contextmanager
def _timed(begin: Begin, took: list[float]) -> Iterator[Connection]:
    began = time.perf_counter()
    with begin() as connection:
        yield connection
    took.append(time.perf_counter() - began)


def timing(begin: Begin, took: list[float]) -> Begin:
    """`begin`, which notes how long each transaction took, commit included, in seconds."""
    return lambda: _timed(begin, took)
