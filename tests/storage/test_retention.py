"""Retention: one second either side of each horizon, batches, and what must never go."""

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, Table, select, update

from domain import retention as horizons
from domain.retention import Kind
from storage import retention, tables
from storage.engine import Begin
from tests.pipelines import postings
from tests.storage.overdue import DEFAULT, NOW, SECOND, attempt, count, message, personal_token, plant, rejection, report, session

TABLES: dict[Kind, tuple[Table, ...]] = {
    horizons.OUTBOX: (tables.outbox, tables.delivery_attempts),
    horizons.ATTEMPTS: (tables.delivery_attempts,),
    horizons.SESSIONS: (tables.sessions, tables.refresh_tokens),
    horizons.REFRESH_TOKENS: (tables.refresh_tokens,),
    horizons.ONE_TIME_TOKENS: (tables.one_time_tokens,),
    horizons.REJECTIONS: (tables.rejections,),
    horizons.LOGIN_ATTEMPTS: (tables.login_attempts,),
    horizons.INVITES: (tables.invites,),
    horizons.PERSONAL_TOKENS: (tables.personal_tokens,),
    horizons.MAIL_EVENTS: (tables.mail_events,),
}


@pytest.mark.parametrize("kind", horizons.ROWS, ids=lambda kind: kind.name)
def test_one_second_either_side_of_the_horizon(database: Engine, begin: Begin, kind: Kind) -> None:
    horizon = timedelta(days=kind.default_days)
    with database.begin() as connection:
        plant(connection, kind, NOW - horizon - SECOND)
        plant(connection, kind, NOW - horizon + SECOND)
        plant(connection, kind, NOW - horizon)
    assert report(retention.remove(begin, DEFAULT, NOW)) == {kind.name: 1}
    assert [count(database, table) for table in TABLES[kind]] == [2] * len(TABLES[kind])
    assert report(retention.remove(begin, DEFAULT, NOW)) == {}


@pytest.mark.parametrize("kind", horizons.ROWS, ids=lambda kind: kind.name)
def test_no_horizon_keeps_for_ever(database: Engine, begin: Begin, kind: Kind) -> None:
    with database.begin() as connection:
        plant(connection, kind, NOW - timedelta(days=3650))
    keep = horizons.horizons({kind.setting: "none"})
    removed = {each.kind: each for each in retention.remove(begin, {**DEFAULT, kind: keep[kind]}, NOW)}
    if kind is not horizons.OUTBOX:  # its attempts have a horizon of their own
        assert [count(database, table) for table in TABLES[kind]] == [1] * len(TABLES[kind])
    assert (count(database, TABLES[kind][0]), removed[kind].before) == (1, None)


def test_batches_until_a_short_one(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        for _ in range(7):
            plant(connection, horizons.ONE_TIME_TOKENS, NOW - timedelta(days=8))
    removed = {each.kind: each for each in retention.remove(begin, DEFAULT, NOW, most_rows=3)}
    assert (removed[horizons.ONE_TIME_TOKENS].rows, removed[horizons.ONE_TIME_TOKENS].batches) == (7, 3)
    assert count(database, tables.one_time_tokens) == 0


def test_what_waits_to_be_sent_stays_however_old(database: Engine, begin: Begin) -> None:
    long_ago = NOW - timedelta(days=3650)
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        waiting = message(connection, ledger, None)
        connection.execute(update(tables.outbox).values(created_at=long_ago, next_at=long_ago))
        attempt(connection, ledger, waiting, long_ago)
    assert report(retention.remove(begin, DEFAULT, NOW)) == {}


def test_a_personal_token_without_an_end_stays(database: Engine, begin: Begin) -> None:
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        owner = connection.execute(select(tables.ledgers.c.owner_id).where(tables.ledgers.c.id == ledger)).scalar_one()
        personal_token(connection, owner, None)
    assert report(retention.remove(begin, DEFAULT, NOW + timedelta(days=3650))) == {}
    assert count(database, tables.personal_tokens) == 1


@pytest.mark.parametrize(
    ("others", "is_silent"),
    [
        ([], True),
        ([("live", NOW + SECOND)], False),
        ([("ended", NOW + SECOND)], True),
        ([("live", NOW - timedelta(days=9))], True),
    ],
)
def test_where_the_last_session_expired_nothing_is_pushed(
    database: Engine, begin: Begin, others: list[tuple[str, datetime]], is_silent: bool
) -> None:
    its, sessions = tables.devices.c, tables.sessions
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        owner = connection.execute(select(tables.ledgers.c.owner_id).where(tables.ledgers.c.id == ledger)).scalar_one()
        first = session(connection, owner, NOW - timedelta(days=8))
        session(connection, owner, NOW + SECOND)  # on another device
        connection.execute(update(tables.devices).values(push_kind="token", push_value=b"sealed", push_fingerprint=b"print"))
        device = connection.execute(select(sessions.c.device_id).where(sessions.c.id == first)).scalar_one()
        for state, expires_at in others:
            other = session(connection, owner, expires_at)
            revoked_at = NOW if state == "ended" else None
            connection.execute(update(sessions).where(sessions.c.id == other).values(device_id=device, revoked_at=revoked_at))
    retention.remove(begin, DEFAULT, NOW)
    with database.begin() as connection:
        silent = connection.scalars(select(its.id).where(its.push_value.is_(None), its.id == device)).all()
        takes_pushes = connection.scalars(select(its.id).where(its.push_value.is_not(None))).all()
    assert (silent == [device]) == is_silent
    assert len(takes_pushes) == (1 if is_silent else 2)


@pytest.mark.parametrize("ledgers", [1, 2, 100])
def test_of_one_ledger_the_latest_rejections_stay(
    database: Engine, begin: Begin, monkeypatch: pytest.MonkeyPatch, ledgers: int
) -> None:
    monkeypatch.setattr(horizons, "REJECTIONS_PER_LEDGER", 3)
    monkeypatch.setattr(retention, "LEDGERS", ledgers)
    with database.begin() as connection:
        crowded, quiet = [postings.ledger(connection) for _ in range(2)], [postings.ledger(connection) for _ in range(2)]
        for age in range(8):
            for ledger in crowded:
                rejection(connection, ledger, NOW - timedelta(hours=age))
        for age in range(3):
            for ledger in quiet:
                rejection(connection, ledger, NOW - timedelta(hours=age))
    assert report(retention.remove(begin, DEFAULT, NOW, most_rows=2)) == {"rejections": 10}
    kept = select(tables.rejections.c.at).order_by(tables.rejections.c.at)
    with database.connect() as connection:
        for ledger in (*crowded, *quiet):
            found: Any = connection.scalars(kept.where(tables.rejections.c.ledger_id == ledger)).all()
            assert found == [NOW - timedelta(hours=2), NOW - timedelta(hours=1), NOW]


def test_a_message_revived_meanwhile_is_not_removed(database: Engine, begin: Begin) -> None:
    """Its key came again after the batch was chosen: what was finished is pending once more."""
    old = NOW - timedelta(days=31)
    with database.begin() as connection:
        message(connection, postings.ledger(connection), old, "suppressed")
    with database.begin() as reviver:
        reviver.execute(update(tables.outbox).values(state="pending", finished_at=None))
        removal = threading.Thread(target=retention.remove, args=(begin, DEFAULT, NOW))
        removal.start()
        postings.until(lambda: postings.waiting(database) == 1)
    removal.join(timeout=10)
    assert count(database, tables.outbox) == 1
