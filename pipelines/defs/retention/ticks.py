"""Removes old ticks of schedules and sensors, in batches, but never the last of one: a schedule goes on from there."""

import datetime

import dagster as dg
from dagster._core.storage.schedules.schema import JobTickTable as ticks
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
from sqlalchemy import func, select

from storage import batching
from storage.batching import Drained


def remove(instance: dg.DagsterInstance, before: datetime.datetime) -> Drained:
    """Remove the ticks of before `before`; also of schedules and sensors that are no more, where Dagster itself never looks."""
    store = instance.schedule_storage
    if store is None:
        return batching.NOTHING
    assert isinstance(store, SqlScheduleStorage)
    with store.connect() as connection:
        newest = connection.execute(
            select(ticks.c.selector_id, func.max(ticks.c.id))
            .where(ticks.c.selector_id.is_not(None))
            .group_by(ticks.c.selector_id)
        ).all()
    done = batching.NOTHING
    for selector_id, last in newest:
        done += _of_one(store, selector_id, last, before)
    return done


def _of_one(store: SqlScheduleStorage, selector_id: str, last: int, before: datetime.datetime) -> Drained:
    is_old = (ticks.c.selector_id == selector_id, ticks.c.id != last, ticks.c.timestamp < before)

    def one(limit: int) -> int:
        old = select(ticks.c.id).where(*is_old).order_by(ticks.c.timestamp).limit(limit)
        with store.connect() as connection:
            return connection.execute(ticks.delete().where(ticks.c.id.in_(old.scalar_subquery()))).rowcount

    return batching.drain(one)
