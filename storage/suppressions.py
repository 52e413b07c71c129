"""Addresses that mails come back from, and whose readers complained: nothing but mails about the account goes there."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import tables

Kind = Literal["bounced", "complained"]
_users = tables.users.c


@dataclass(frozen=True)
class Report:
    """What a provider says of an address (as domain.addresses keeps it), under an id of its own: the same may come often."""

    id: str
    email: str
    kind: Kind


async def take(connection: AsyncConnection, reports: Sequence[Report], *, now: datetime.datetime) -> None:
    """Believe what has not been told before. An address that nobody has is nobody's."""
    if not reports:
        return
    by_id = {report.id: report for report in reports}
    owners = select(_users.email, _users.id).where(_users.email.in_({report.email for report in reports}))
    user_ids = {row.email: row.id for row in await connection.execute(owners)}
    rows = [
        {"id": report.id, "user_id": user_ids[report.email], "kind": report.kind, "at": now}
        for _, report in sorted(by_id.items())
        if report.email in user_ids
    ]
    if not rows:
        return
    new = insert(tables.mail_events).values(rows).on_conflict_do_nothing().returning(tables.mail_events.c.id)
    for report_id in (await connection.scalars(new)).all():
        report = by_id[report_id]
        unknown = and_(_users.id == user_ids[report.email], _users.mail_problem_at.is_(None))
        await connection.execute(update(tables.users).where(unknown).values(mail_problem=report.kind, mail_problem_at=now))


def suppressed(connection: Connection) -> dict[str, int]:
    """How many addresses get nothing, by why."""
    counted = select(_users.mail_problem, func.count()).where(_users.mail_problem.is_not(None)).group_by(_users.mail_problem)
    return {row[0]: row[1] for row in connection.execute(counted)}
