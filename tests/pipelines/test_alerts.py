"""An operator learns of the first failure of a row, by mail and webhook, past the outbox; and hears when nobody looks."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import httpx
import pytest

from notifications import alerts
from pipelines.defs import resources
from pipelines.defs.alerts import sensors
from tests.fakes.http import Answer, FakeHttp
from tests.fakes.smtp import FakeSmtp
from tests.notifications.contract import NOW, parse

SECRET = "hana@example.org owes 42"
ALERT = alerts.Alert(what="the job x failed", text="More.", link="http://127.0.0.1:3000/runs/1", runbook="docs/operations.md#x")


@dg.op
def breaks() -> None:
    raise ValueError(SECRET)


@dg.op
def works() -> None:
    """Does nothing, well."""


@dg.job(name="dispatch")
def failing() -> None:
    breaks()


@dg.job(name="dispatch")
def working() -> None:
    works()


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHttp]:
    for name in ("SENDGRID_API_KEY", "SMTP_URL", "OPERATOR_EMAIL", "HEARTBEAT_URL"):
        monkeypatch.delenv(name, raising=False)
    with FakeHttp(lambda _: Answer(200, {})) as fake:
        monkeypatch.setenv("OPERATOR_WEBHOOK", f"{fake.url}/hook")
        yield fake


def run(job: dg.JobDefinition, instance: dg.DagsterInstance, folder: resources.DataFolder, **tags: str) -> None:
    """Runs it, and shows it to the sensor where it failed."""
    result = job.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
    if not result.success:
        show(result, instance, folder)


def show(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance, folder: resources.DataFolder) -> None:
    """Shows a run that failed to the sensor."""
    context = dg.build_run_status_sensor_context(
        sensor_name="tell_of_failed_runs",
        dagster_event=result.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()
    sensors.tell_of_failed_runs(context, data_folder=folder)


def test_the_first_failure_of_a_row_is_told(
    webhook: FakeHttp, instance: dg.DagsterInstance, data_folder: resources.DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEBITUM_DAGSTER_URL", "https://dagster.example")
    run(failing, instance, data_folder)
    [asked] = webhook.asked
    said = json.loads(asked.body)
    assert said["what"] == "the job dispatch failed"
    assert said["runbook"] == "docs/operations.md#a-run-failed"
    assert said["link"].startswith("https://dagster.example/runs/")
    assert SECRET not in asked.body.decode()
    run(failing, instance, data_folder)
    run(working, instance, data_folder)
    assert len(webhook.asked) == 1
    run(failing, instance, data_folder)
    assert len(webhook.asked) == 2


def test_what_dagster_starts_again_is_not_told(
    webhook: FakeHttp, instance: dg.DagsterInstance, data_folder: resources.DataFolder
) -> None:
    tags = {sensors.WILL_RETRY: "true"}
    run(failing, instance, data_folder, **tags)
    assert webhook.asked == []
    run(failing, instance, data_folder)
    run(failing, instance, data_folder, **tags)
    run(failing, instance, data_folder)
    assert len(webhook.asked) == 1


def test_failures_that_follow_each_other_between_two_looks_are_told_once(
    webhook: FakeHttp, instance: dg.DagsterInstance, data_folder: resources.DataFolder
) -> None:
    working.execute_in_process(instance=instance)
    failed = [failing.execute_in_process(instance=instance, raise_on_error=False) for _ in range(3)]
    working.execute_in_process(instance=instance)
    for one in failed:
        show(one, instance, data_folder)
    assert len(webhook.asked) == 1


def test_one_look_at_many_runs_tells_what_began_in_any_of_them(
    webhook: FakeHttp, instance: dg.DagsterInstance, data_folder: resources.DataFolder
) -> None:
    """As Dagster does it: whatever stands beside a failure, it is told once, and the next look begins behind all of them."""

    def look(cursor: str | None) -> str:
        context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"data_folder": data_folder})
        seen = sensors.tell_of_failed_runs.evaluate_tick(context)
        assert [reaction.error for reaction in seen.dagster_run_reactions or () if reaction.error] == []
        assert seen.cursor is not None
        return str(seen.cursor)

    begin = look(None)
    for tags in ({sensors.WILL_RETRY: "true"}, {}, {}):
        failing.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
    after = look(begin)
    assert len(webhook.asked) == 1
    assert look(after) == after
    assert len(webhook.asked) == 1


def test_the_first_failure_of_a_check_is_told(
    webhook: FakeHttp, instance: dg.DagsterInstance, data_folder: resources.DataFolder
) -> None:
    passing = {"messages_leave": True, "providers_are_up": True}

    @dg.asset
    def outbox() -> None:
        """What is checked."""

    def check(name: str) -> dg.AssetChecksDefinition:
        @dg.asset_check(asset=outbox, name=name)
        def look() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=passing[name])

        return look

    def look() -> None:
        result = dg.materialize([outbox, *map(check, passing)], instance=instance)
        assert result.success
        context = dg.build_run_status_sensor_context(
            sensor_name="tell_of_failed_checks",
            dagster_event=result.get_run_success_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        )
        sensors.tell_of_failed_checks(context, data_folder=data_folder)

    look()
    passing["messages_leave"] = False
    look()
    look()
    passing["providers_are_up"] = False
    look()
    passing["messages_leave"] = True
    look()
    passing["messages_leave"] = False
    look()
    assert [json.loads(asked.body)["what"] for asked in webhook.asked] == [
        "the check messages_leave failed",
        "the check providers_are_up failed",
        "the check messages_leave failed",
    ]


def test_a_mail_goes_by_the_first_provider_that_takes_it(tmp_path: Path) -> None:
    with FakeHttp(lambda _: Answer(401, {})) as sendgrid, FakeSmtp() as server:
        environ = {
            "SENDGRID_API_KEY": "SG.revoked",
            "SENDGRID_HOST": sendgrid.url,
            "SMTP_URL": f"smtp://127.0.0.1:{server.port}",
            "OPERATOR_EMAIL": "Ops <ops@example.org>",
        }
        assert alerts.tell(ALERT, environ, tmp_path, now=NOW) == {"mail": True}
        assert len(sendgrid.asked) == 1
        [mail] = server.mails
        assert mail.rcpt_tos == ["ops@example.org"]
        content = mail.content
        read = parse(content if isinstance(content, bytes) else str(content).encode())
        assert read["Subject"] == "Debitum: the job x failed"
        assert "What to do: docs/operations.md#x" in read.as_string()


def test_who_cannot_be_told_is_known(tmp_path: Path) -> None:
    with FakeHttp(lambda _: Answer(500, {})) as hook:
        assert alerts.tell(ALERT, {"OPERATOR_WEBHOOK": hook.url}, tmp_path, now=NOW) == {"webhook": False}
    assert alerts.tell(ALERT, {"OPERATOR_WEBHOOK": hook.url}, tmp_path, now=NOW) == {"webhook": False}  # nobody is there any more
    assert alerts.tell(ALERT, {}, tmp_path, now=NOW) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"MAIL_FROM": "nobody"},
        {"OPERATOR_EMAIL": "nobody"},
        {"SMTP_URL": "smtp://x?ca=/nowhere"},
        {"SENDGRID_API_KEY": "SG.x", "SENDGRID_HOST": "api.sendgrid.com"},
        {"SENDGRID_API_KEY": "SG.\u2026"},
    ],
)
def test_a_way_that_is_not_set_up_right_keeps_nobody_from_the_other(tmp_path: Path, wrong: dict[str, str]) -> None:
    with FakeHttp(lambda _: Answer(200, {})) as hook:
        environ = {"OPERATOR_EMAIL": "ops@example.org", "OPERATOR_WEBHOOK": hook.url, **wrong}
        assert alerts.tell(ALERT, environ, tmp_path, now=NOW) == {"mail": False, "webhook": True}
    assert not alerts.posted("https://[::1", {})
    assert not alerts.reached("https://[::1")
    assert not alerts.posted("https://a..b", {})
    assert not alerts.reached("https://a..b")


def test_a_provider_that_is_not_set_up_right_keeps_no_other_from_the_mail(tmp_path: Path) -> None:
    with FakeSmtp() as server:
        environ = {
            "SENDGRID_API_KEY": "SG.x",
            "SENDGRID_HOST": "api.sendgrid.com",
            "SMTP_URL": f"smtp://127.0.0.1:{server.port}",
            "OPERATOR_EMAIL": "ops@example.org",
        }
        assert alerts.tell(ALERT, environ, tmp_path, now=NOW) == {"mail": True}
        assert len(server.mails) == 1


def test_whatever_a_way_raises_the_other_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(httpx, "post", fail)
    with FakeSmtp() as server:
        environ = {
            "OPERATOR_WEBHOOK": "http://localhost",
            "SMTP_URL": f"smtp://127.0.0.1:{server.port}",
            "OPERATOR_EMAIL": "ops@example.org",
        }
        assert alerts.tell(ALERT, environ, tmp_path, now=NOW) == {"mail": True, "webhook": False}


def test_without_an_operator_nobody_is_told(
    webhook: FakeHttp, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance, data_folder: resources.DataFolder
) -> None:
    monkeypatch.delenv("OPERATOR_WEBHOOK")
    run(failing, instance, data_folder)
    assert webhook.asked == []


def test_a_heart_beats_where_somebody_listens(webhook: FakeHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    def beat() -> object:
        return sensors.heartbeat(dg.build_sensor_context())

    assert beat() == dg.SkipReason("HEARTBEAT_URL is not set.")
    monkeypatch.setenv("HEARTBEAT_URL", f"{webhook.url}/beat")
    assert beat() == dg.SkipReason("It was heard.")
    assert [(asked.method, asked.path) for asked in webhook.asked] == [("GET", "/beat")]
    webhook.answer = lambda _: Answer(503, {})
    assert beat() == dg.SkipReason("HEARTBEAT_URL did not answer well.")


def test_a_run_that_a_check_has_stopped_says_which(
    webhook: FakeHttp, instance: dg.DagsterInstance, data_folder: resources.DataFolder
) -> None:
    @dg.asset
    def outbox() -> None:
        """What is checked."""

    @dg.asset(deps=[outbox])
    def downstream() -> None:
        """What must not be made of it."""

    @dg.asset_check(asset=outbox, blocking=True)
    def messages_leave() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    result = dg.materialize([outbox, downstream, messages_leave], instance=instance, raise_on_error=False)
    show(result, instance, data_folder)
    said = json.loads(webhook.asked[0].body)
    assert said["text"].endswith("It was stopped by what it checks: messages_leave.")
    assert said["runbook"] == "docs/operations.md#messages_leave"
