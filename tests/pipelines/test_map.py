"""The map of the code location: whoever adds, renames or stops something changes this page too."""

import re
from pathlib import Path

import dagster as dg
import pytest

from pipelines import definitions
from pipelines.defs.alerts import runbook

ASSETS = """
delivery/deliveries
delivery/outbox
ledger/balances
ledger/contacts
ledger/events
ledger/postings
ledger/reminders
ledger/transactions
reminders/due_reminders
reporting/activity_daily
reporting/analytics
reporting/balances_daily
reporting/delivery_daily
reporting/postings_daily
reporting/reminders_daily
reporting/restatements_daily
reporting/transactions_daily
upkeep/backup
upkeep/erasure_report
upkeep/ledger_audit
upkeep/rehearsal_report
upkeep/retention_report
"""
CHECKS = """
backup:backup_is_recent
balances:sample_adds_up
balances_daily:history_agrees
balances_daily:newest_file_adds_up
deliveries:messages_arrive
deliveries:providers_are_up
ledger_audit:the_log_explains_everything
outbox:messages_leave
postings:everything_adds_up
rehearsal_report:last_backup_restores
"""
SCHEDULES = """
audit_schedule: 0 4 * * * -> audit
check_backups_schedule: 45 */6 * * * -> check_backups
check_balances_schedule: 0 3 * * * -> check_balances
erasure_schedule: 30 2 * * * -> erasure
finish_snapshots_schedule: 5 * * * * -> finish_snapshots
nightly_backup_schedule: 30 3 * * * -> nightly_backup
remind_schedule: */5 * * * * -> remind
restore_rehearsal_schedule: 0 5 1 * * -> restore_rehearsal
retention_schedule: 0 2 * * * -> retention
snapshot_today_schedule: 0 * * * * -> snapshot_today
"""
SENSORS = """
heartbeat: 60 s -> nothing
ledgers_changed: 10 s -> materialise_balances
messages_are_ready: 5 s -> dispatch
tell_of_failed_checks: 30 s -> nothing
tell_of_failed_runs: 30 s -> nothing
"""
POOLS = """
activity_daily: snapshots
analytics: snapshots
backup: backups
balances: balances
balances_daily: snapshots
delivery_daily: snapshots
due_reminders: due_reminders
erasure_report: snapshots
ledger_audit: snapshots
postings_daily: snapshots
rehearsal_report: rehearsals
reminders_daily: snapshots
restatements_daily: snapshots
retention_report: retention
send: dispatch
transactions_daily: snapshots
"""


@pytest.fixture
def repository() -> dg.RepositoryDefinition:
    """Everything that Dagster finds."""
    return definitions.defs.get_repository_def()


def lines(found: list[str]) -> str:
    return "\n" + "\n".join(sorted(found)) + "\n"


def test_assets_by_group(repository: dg.RepositoryDefinition) -> None:
    specs = repository.asset_graph.get_all_asset_keys()
    nodes = [repository.asset_graph.get(key) for key in specs]
    assert lines([f"{node.group_name}/{node.key.to_user_string()}" for node in nodes]) == ASSETS


def test_checks(repository: dg.RepositoryDefinition) -> None:
    keys = repository.asset_graph.asset_check_keys
    assert lines([f"{key.asset_key.to_user_string()}:{key.name}" for key in keys]) == CHECKS


def test_schedules(repository: dg.RepositoryDefinition) -> None:
    assert lines([f"{each.name}: {each.cron_schedule} -> {each.job_name}" for each in repository.schedule_defs]) == SCHEDULES


def test_whoever_materialises_an_asset_asks_its_checks(repository: dg.RepositoryDefinition) -> None:
    """Dagster shows what a check found only until its asset is materialised again: it would turn grey with nothing mended."""
    checks = repository.asset_graph.asset_check_keys
    for job in repository.get_all_jobs():
        if job.name.startswith("__"):
            continue
        made, asked = job.asset_layer.selected_asset_keys, job.asset_layer.asset_graph.asset_check_keys
        made = {key for key in made if repository.asset_graph.get(key).is_materializable}
        hidden = {key for key in checks if key.asset_key in made} - asked
        assert hidden == set(), job.name


def test_what_ticks_may_not_grow_old(repository: dg.RepositoryDefinition) -> None:
    """All that Dagster writes has a limit of age, but what is only written when something changed."""
    nodes = [repository.asset_graph.get(key) for key in repository.asset_graph.get_all_asset_keys()]
    without = {node.key.to_user_string() for node in nodes if node.is_materializable and node.freshness_policy is None}
    assert without == {"balances"}


def test_a_run_says_to_which_group_it_belongs(repository: dg.RepositoryDefinition) -> None:
    groups = {node.partition("/")[0] for node in ASSETS.split()}
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    assert {job.name for job in jobs if job.tags.get("group") not in groups} == set()


def test_sensors(repository: dg.RepositoryDefinition) -> None:
    found = [
        f"{each.name}: {each.minimum_interval_seconds} s -> {each.job_name if each.has_jobs else 'nothing'}"
        for each in repository.sensor_defs
    ]
    assert lines(found) == SENSORS


def test_the_runbook_has_a_section_for_every_check_and_for_jobs_that_want_one(repository: dg.RepositoryDefinition) -> None:
    page = (Path(__file__).parents[2] / runbook.PAGE).read_text()
    sections = {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in re.findall(r"^### (.+)$", page, re.MULTILINE)}
    checks = {key.name for key in repository.asset_graph.asset_check_keys}
    assert checks | runbook.JOBS | {runbook.RUN_FAILED} <= sections
    assert set(repository.job_names) >= runbook.JOBS
    for key in repository.asset_graph.asset_check_keys:
        said = repository.asset_graph.get_check_spec(key).description
        assert said is not None
        assert said.endswith(f": {runbook.PAGE}#{key.name}"), "its page shows the description"


def test_nothing_is_stopped(repository: dg.RepositoryDefinition) -> None:
    assert {each.default_status for each in repository.schedule_defs} == {dg.DefaultScheduleStatus.RUNNING}
    assert {each.default_status for each in repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}


def test_every_tick_is_in_utc(repository: dg.RepositoryDefinition) -> None:
    assert {each.execution_timezone for each in repository.schedule_defs} == {"UTC"}


def test_pools(repository: dg.RepositoryDefinition) -> None:
    """Whatever writes is never at it twice at once."""
    nodes = {node.name: node.definition.pools for job in repository.get_all_jobs() for node in job.nodes}
    assert lines([f"{name}: {', '.join(pools)}" for name, pools in nodes.items() if pools]) == POOLS


def test_an_operator_can_read_it(repository: dg.RepositoryDefinition) -> None:
    """Plain words, somebody to ask, and what it is made of, at everything that the UI shows."""
    for key in repository.asset_graph.get_all_asset_keys():
        node = repository.asset_graph.get(key)
        assert node.description, key
        assert node.owners, key
        assert node.kinds, key
    for schedule in repository.schedule_defs:
        assert schedule.description, schedule.name
    for sensor in repository.sensor_defs:
        assert sensor.description, sensor.name
    for name in repository.job_names:
        if not name.startswith("__"):
            assert repository.get_job(name).description, name
