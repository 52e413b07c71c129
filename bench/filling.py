"""Ledgers with many postings, made by Postgres itself, in the order in which people would have recorded them."""

import datetime
from typing import Final, NamedTuple

import psycopg

from storage import urls

BEGIN: Final = datetime.date(2026, 1, 1)
"""The first day."""
CONTACTS: Final = 4
"""Of each ledger, one after the other: something is lent, and the next time repaid."""
CURRENCIES: Final = ("EUR", "USD", "JPY")


class Size(NamedTuple):
    """So many ledgers, and postings on each of `days` whole UTC days, in turn through all ledgers."""

    ledgers: int
    day_postings: tuple[int, ...]

    @property
    def postings(self) -> int:
        """Of all days."""
        return sum(self.day_postings)

    def day(self, number: int) -> datetime.date:
        """The UTC day of that number, from 0."""
        return BEGIN + datetime.timedelta(days=number)


def fill(url: str, size: Size, *, facts: bool = False) -> None:
    """Put them into an empty database; every ledger is dirty. The index is made in the end, and the statistics are fresh.

    `facts`: with the events that recorded them, a debt each, as far as the fold of debts reads them.
    """
    with psycopg.connect(urls.libpq_url(url), autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        connection.execute(_USERS, {"ledgers": size.ledgers})
        connection.execute("alter table debitum.postings drop constraint postings_pkey")
        done = 0
        for number, count in enumerate(size.day_postings):
            bound = {"first": done, "last": done + count - 1, "count": count, "ledgers": size.ledgers, "day": size.day(number)}
            connection.execute(_POSTINGS, bound)
            done += count
        connection.execute("alter table debitum.postings add constraint postings_pkey primary key (ledger_id, seq, line)")
        if facts:
            connection.execute(_EVENTS)
        connection.execute(_LEDGERS, {"ledgers": size.ledgers, "postings": size.postings, "begin": BEGIN})
        settle(connection)


def settle(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """What is written lies on the disk, and the statistics are fresh: nothing of it goes on while somebody measures."""
    connection.execute("vacuum analyze")
    connection.execute("checkpoint")


_USERS: Final = """
    insert into debitum.users (id, ledger_id, email, password_hash, time_zone, locale, default_currency, reminder_settings,
                               created_at)
    select md5('user ' || n)::uuid, md5('ledger ' || n)::uuid, n || '@example.org', '', 'UTC', 'en', 'EUR', '{}', now()
    from generate_series(0, %(ledgers)s - 1) n
"""
_POSTINGS: Final = f"""
    insert into debitum.postings (ledger_id, seq, line, contact_id, transaction_id, currency, amount, effective_date, recorded_at)
    select md5('ledger ' || n %% %(ledgers)s)::uuid, n / %(ledgers)s + 1, 0,
           md5(n %% %(ledgers)s || ' ' || n / %(ledgers)s %% {CONTACTS})::uuid, gen_random_uuid(),
           (array['EUR', 'USD', 'JPY'])[1 + n %% %(ledgers)s %% {len(CURRENCIES)}],
           (1 + n %% %(ledgers)s %% 997) * (1 - 2 * (n / %(ledgers)s / {CONTACTS} %% 2)), %(day)s::date - (n %% 20)::integer,
           (%(day)s::date + (n - %(first)s) * interval '1 day' / %(count)s) at time zone 'UTC'
    from generate_series(%(first)s::bigint, %(last)s::bigint) n
"""  # numbers of ours
_EVENTS: Final = """
    insert into debitum.events (ledger_id, seq, event_id, aggregate_type, aggregate_id, event_type, status, recorded_at,
                                fingerprint, hash, fact)
    select ledger_id, seq, transaction_id, 'transaction', transaction_id, 'CREATED', 'accepted', recorded_at, '\\x00',
           sha256(uuid_send(transaction_id)),
           json_build_object('changes', json_build_array(json_build_object(
               'aggregate_type', 'transaction', 'aggregate_id', transaction_id, 'op', 'create', 'fields', json_build_object(
                   'amount', json_build_array(null, abs(amount)), 'contact_id', json_build_array(null, contact_id),
                   'currency', json_build_array(null, currency),
                   'direction', json_build_array(null, case when amount > 0 then 'lent' else 'owed' end),
                   'due_date', json_build_array(null, effective_date + 30), 'type', json_build_array(null, 'money'),
                   'transaction_date', json_build_array(null, effective_date)))))::text
    from debitum.postings
"""
_LEDGERS: Final = """
    insert into debitum.ledgers (id, owner_id, version, head_hash, recorded_at, dirty, data_key, created_at)
    select md5('ledger ' || n)::uuid, md5('user ' || n)::uuid, version, '\\x00', now(), true, '\\x00', %(begin)s
    from generate_series(0, %(ledgers)s - 1) n
    cross join lateral (select (%(postings)s - 1 - n) / %(ledgers)s + 1 as version) counted
"""
