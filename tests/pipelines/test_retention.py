"""Retention as Dagster runs it: what went, in numbers and in words."""

import datetime

import dagster as dg
import pytest
from sqlalchemy import Engine, insert

from domain import retention as horizons
from pipelines.defs import resources
from pipelines.defs.retention import assets, runs
from storage import tables
from tests.pipelines import postings


def test_a_run_reports_what_it_removed(
    database: Engine, jobs: resources.Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=91)
    with database.begin() as connection:
        ledger = postings.ledger(connection)
        row = {"ledger_id": ledger, "event_id": ledger, "fingerprint": b"", "code": "invalid", "command": b"sealed", "at": old}
        connection.execute(insert(tables.rejections).values(**row))
    monkeypatch.setenv(horizons.SESSIONS.setting, "none")
    result = dg.materialize([assets.retention_report], instance=instance, resources={"database": jobs})
    (written,) = result.asset_materializations_for_node("retention_report")
    metadata = {name: value.value for name, value in written.metadata.items()}
    assert {kind.name: metadata[kind.name] for kind in horizons.KINDS if metadata[kind.name]} == {"rejections": 1}
    assert metadata["dagster/row_count"] == 1
    assert (metadata["dagster_runs_kept"], metadata["dagster_runs_left"]) == (0, 0)
    assert [kind.setting for kind in horizons.KINDS if kind.setting not in str(metadata["report"])] == []
    assert f"| 0 | {horizons.SESSIONS.what} | kept for ever | DEBITUM_RETAIN_SESSIONS_DAYS |" in str(metadata["report"])


def test_a_wrong_setting_fails_the_run_before_anything_is_removed(
    jobs: resources.Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(horizons.OUTBOX.setting, "3")
    with pytest.raises(horizons.HorizonError, match="DEBITUM_RETAIN_OUTBOX_DAYS"):
        dg.materialize([assets.retention_report], instance=instance, resources={"database": jobs})


def test_what_is_left_is_said(jobs: resources.Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "remove", lambda *_: runs.Pruned(removed=7, kept=3, left=2))
    result = dg.materialize([assets.retention_report], instance=instance, resources={"database": jobs})
    (written,) = result.asset_materializations_for_node("retention_report")
    metadata = {name: value.value for name, value in written.metadata.items()}
    assert [metadata[f"dagster_runs{which}"] for which in ("", "_kept", "_left")] == [7, 3, 2]
    assert f"| 7 (some are left to the next run) | {horizons.DAGSTER_RUNS.what} |" in str(metadata["report"])
