"""Settings: what goes over what, and what is said about values that cannot be used."""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import pytest

from debitum import cli, commands, parts, plans, settings
from notifications import channels
from pipelines.defs.reminders import schedules as reminders
from pipelines.defs.snapshots import schedules as snapshots
from storage import encryption, urls
from tests.fakes.fcm import new_private_key

KEY = base64.b64encode(b"0123456789abcdef" * 2).decode()


def load(
    folder: Path, environment: Mapping[str, str] | None = None, file: str = "", flags: Mapping[str, str] | None = None
) -> settings.Settings:
    (folder / ".env").write_text(file)
    return settings.load(environment or {}, folder / ".env", flags)


def account(file: Path) -> None:
    """Of the form that Google's have."""
    members = {"client_email": "d@example.org", "project_id": "d", "token_uri": "https://example.org/token"}
    file.write_text(json.dumps({**members, "private_key": new_private_key()}))


def test_flags_go_over_the_environment_which_goes_over_the_file(tmp_path: Path) -> None:
    file = "DEBITUM_PORT=1111\nDEBITUM_DAGSTER_PORT=1112\nDEBITUM_WORKERS=3\n"
    loaded = load(tmp_path, {"DEBITUM_DAGSTER_PORT": "2222", "DEBITUM_WORKERS": "4"}, file, {"DEBITUM_WORKERS": "5"})
    assert (loaded.port, loaded.dagster_port, loaded.workers) == (1111, 2222, 5)


def test_a_file_that_cannot_be_read_is_said_with_the_line(tmp_path: Path) -> None:
    """A line that is left out in silence may hold the keys."""
    file = tmp_path / ".env"
    for content, said in (
        (b"DEBITUM_PORT=1\nMAIL_FROM=\xe9\n", "line 2 is not UTF-8"),
        (b"DEBITUM_PORT=1\n\nnot a setting\n", "line 3 is not of the form NAME=value"),
        (b"DEBITUM_KEYS='hunter2\nDEBITUM_PORT=1\n", "line 1 is not of the form NAME=value"),
    ):
        file.write_bytes(content)
        with pytest.raises(settings.SettingsError) as caught:
            settings.load({}, file)
        assert str(caught.value) == f"{file}: {said}"
    file.write_bytes(b"\xef\xbb\xbfDEBITUM_PORT=1\r\n# a comment\r\nexport DEBITUM_WORKERS=2\r\n")
    loaded = settings.load({}, file)
    assert (loaded.port, loaded.workers) == (1, 2)


def test_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"DATABASE_URL": "", "DEBITUM_PORT": ""})
    assert loaded.data_dir == Path(".debitum").resolve()
    assert (loaded.host, loaded.port, loaded.dagster_port, loaded.workers) == ("127.0.0.1", 8000, 3000, 1)
    assert (loaded.database_url, loaded.parts, loaded.production) == (None, frozenset(parts.ALL), False)
    assert (loaded.dagster_host, loaded.dagster_exposed) == ("127.0.0.1", False)
    assert (loaded.daemon_ceiling_mib, loaded.dagster_ceiling_mib) == (256, 384)
    assert loaded.public_url == "http://127.0.0.1:8000"
    assert (loaded.reminder_cron, loaded.snapshot_cron) == ("*/5 * * * *", "0 * * * *")


def test_children_get_what_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    account(tmp_path / "fcm.json")
    loaded = load(tmp_path, {"DEBITUM_DATA_DIR": str(tmp_path)}, "SMTP_URL=smtp://u:p$w@mail\nFCM_CREDENTIALS=./fcm.json\n")
    environment = plans.environment(loaded, "postgresql://postgres@/debitum?host=/run/pg", "k1:AAAA")
    assert environment["SMTP_URL"] == "smtp://u:p$w@mail"
    assert environment["FCM_CREDENTIALS"] == "./fcm.json"
    assert environment["DATABASE_DIRECT_URL"] == environment["DATABASE_URL"] == "postgresql://postgres@/debitum?host=/run/pg"
    assert environment["DEBITUM_DAGSTER_DATABASE_URL"].startswith("postgresql+psycopg2://")
    assert environment["DAGSTER_HOME"] == str(tmp_path / "dagster")
    assert len(os.fsencode(environment["DEBITUM_CODE_SOCKET"])) < 100


def test_a_pooler_needs_a_direct_way_beside_it(tmp_path: Path) -> None:
    pooled = "postgresql://u@p:6432/d?sslmode=require&pooler=transaction"
    for given in ({"DATABASE_URL": pooled}, {"DATABASE_URL": pooled, "DATABASE_DIRECT_URL": pooled}):
        with pytest.raises(settings.SettingsError, match=r"^DATABASE_DIRECT_URL: must lead to Postgres itself"):
            load(tmp_path, given)
    with pytest.raises(settings.SettingsError, match=r"^DATABASE_URL: pooler=session is none of transaction"):
        load(tmp_path, {"DATABASE_URL": "postgresql://u@p/d?pooler=session"})
    loaded = load(tmp_path, {"DATABASE_URL": pooled, "DATABASE_DIRECT_URL": "postgresql://u@h/d"})
    environment = plans.environment(loaded, pooled, "k1:AAAA")
    assert environment["DEBITUM_DAGSTER_DATABASE_URL"].startswith("postgresql+psycopg2://u@h/d?options=")
    assert urls.libpq_url(environment["DATABASE_URL"]) == "postgresql://u@p:6432/d?sslmode=require"


def test_some_parts_run_here_and_the_others_elsewhere(tmp_path: Path) -> None:
    elsewhere = {"DATABASE_URL": "postgresql://u@h/d", "DEBITUM_DATA_DIR": str(tmp_path)}
    loaded = load(tmp_path, {**elsewhere, "DEBITUM_PARTS": "api, daemon"})
    assert loaded.parts == {"api", "daemon"}
    assert list(plans.addresses(loaded)) == ["api"]
    assert load(tmp_path, {"DEBITUM_PARTS": "api,code-server,dagster,daemon"}).parts == set(parts.ALL)
    assert load(tmp_path, {"DEBITUM_NO_DAGSTER": "1"}).parts == {"api"}
    assert load(tmp_path, {"DEBITUM_NO_UI": "1"}).parts == {"api", "code-server", "daemon"}
    with pytest.raises(settings.SettingsError, match=r"^DEBITUM_PARTS: names dagster"):
        load(tmp_path, {**elsewhere, "DEBITUM_PARTS": "api,dagster", "DEBITUM_NO_UI": "1"})
    with pytest.raises(settings.SettingsError, match=r"^DEBITUM_PARTS: names parts of Dagster"):
        load(tmp_path, {**elsewhere, "DEBITUM_PARTS": "api,daemon", "DEBITUM_NO_DAGSTER": "1"})
    with pytest.raises(settings.SettingsError, match=r"^DEBITUM_PARTS: needs DATABASE_URL"):
        load(tmp_path, {"DEBITUM_PARTS": "daemon"})


def test_a_worker_is_a_part_where_celery_gives_it_something_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = {"DATABASE_URL": "postgresql://u@h/d", "DEBITUM_PARTS": "worker"}
    with pytest.raises(settings.SettingsError, match=r"^DEBITUM_PARTS: names worker, which has nothing to do unless"):
        load(tmp_path, elsewhere)
    celery = {"DEBITUM_EXECUTOR": "celery", "DEBITUM_CELERY_BROKER": "redis://:hunter2@broker"}
    with pytest.raises(settings.SettingsError, match=r"^DEBITUM_EXECUTOR: celery needs the package dagster-celery"):
        load(tmp_path, celery)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    loaded = load(tmp_path, {**elsewhere, **celery, "DEBITUM_DATA_DIR": str(tmp_path)})
    assert loaded.parts == {"worker"}
    plan = plans.worker(loaded, plans.environment(loaded, "postgresql://u@h/d", "k1:AAAA"))
    assert plan.environment["DEBITUM_CELERY_BROKER"] == celery["DEBITUM_CELERY_BROKER"]
    assert plan.stale == tmp_path / "dagster" / "worker.ready"
    assert "hunter2" not in " ".join(plan.command)
    with pytest.raises(settings.SettingsError, match=r"^DEBITUM_PARTS: needs DATABASE_URL"):
        load(tmp_path, {**celery, "DEBITUM_PARTS": "api,dagster,daemon,worker"})
    with pytest.raises(settings.SettingsError, match=r"^DEBITUM_CELERY_BROKER: must be a URL of redis"):
        load(tmp_path, {"DEBITUM_EXECUTOR": "celery"})


def test_a_part_that_serves_no_pages_may_be_given_any_address_for_them(tmp_path: Path) -> None:
    given = {"DATABASE_URL": "postgresql://u@h/d", "DEBITUM_DAGSTER_HOST": "0.0.0.0", "DEBITUM_DAGSTER_PORT": "8000"}
    assert not settings.offers_dagster(load(tmp_path, {**given, "DEBITUM_PARTS": "code-server,api"}))
    assert settings.offers_dagster(load(tmp_path, {**given, "DEBITUM_PARTS": "dagster"}))


def test_parts_elsewhere_find_the_code_server_by_its_socket(tmp_path: Path) -> None:
    socket = str(tmp_path / "code.sock")
    given = {"DEBITUM_DATA_DIR": str(tmp_path / "data"), "DEBITUM_CODE_SOCKET": socket}
    loaded = load(tmp_path, given)
    environment = plans.environment(loaded, "postgresql:///debitum", "k1:AAAA")
    assert environment["DEBITUM_CODE_SOCKET"] == socket
    assert socket in plans.code(loaded, environment).command
    settings.require_place(loaded)


def test_the_socket_of_a_code_server_has_a_folder(tmp_path: Path) -> None:
    """Only where one is to listen: others wait for whoever serves the code, and `debitum migrate` needs none."""
    data, later = tmp_path / "data", tmp_path / "later" / "code.sock"
    given = {"DEBITUM_DATA_DIR": str(data), "DEBITUM_CODE_SOCKET": str(later)}
    with pytest.raises(settings.SettingsError, match=f"DEBITUM_CODE_SOCKET: there is no folder {later.parent}"):
        settings.require_place(load(tmp_path, given))
    settings.require_place(load(tmp_path, {**given, "DEBITUM_CODE_SOCKET": str(data / "dagster" / "code.sock")}))
    settings.require_place(load(tmp_path, {**given, "DATABASE_URL": "postgresql:///debitum", "DEBITUM_PARTS": "daemon"}))
    later.parent.mkdir()
    settings.require_place(load(tmp_path, given))


def test_a_long_data_folder_has_its_socket_elsewhere(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"DEBITUM_DATA_DIR": str(tmp_path / ("x" * 100))})
    socket = Path(plans.environment(loaded, "postgresql:///debitum", "k1:AAAA")["DEBITUM_CODE_SOCKET"])
    assert len(os.fsencode(socket)) < 100
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    socket.parent.rmdir()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBITUM_PORT", "http"),
        ("DEBITUM_PORT", "0"),
        ("DEBITUM_PORT", "65536"),
        ("DEBITUM_PORT", "-1"),
        ("DEBITUM_PORT", "8_000"),
        ("DEBITUM_DAGSTER_PORT", "8000"),
        ("DEBITUM_WORKERS", "0"),
        ("DEBITUM_NO_DAGSTER", "maybe"),
        ("DEBITUM_NO_UI", "maybe"),
        ("DEBITUM_DAEMON_CEILING_MIB", "64"),
        ("DEBITUM_DAGSTER_CEILING_MIB", "much"),
        ("DEBITUM_PARTS", "api,webserver"),
        ("DEBITUM_BALANCE_BUCKETS", "0"),
        ("DEBITUM_EXECUTOR", "threads"),
        ("DEBITUM_PARTS", "api,"),
        ("DEBITUM_PARTS", "api"),
        ("DEBITUM_CODE_SOCKET", f"/run/{'x' * 100}.sock"),
        ("DEBITUM_ENV", "prod"),
        ("DEBITUM_HOST", "a b"),
        ("DEBITUM_PUBLIC_URL", "debitum.example"),
        ("DEBITUM_PUBLIC_URL", "https://["),
        ("DEBITUM_DAGSTER_URL", "dagster.example"),
        ("DEBITUM_PUBLIC_URL", "https://debitum.example:http"),
        ("DEBITUM_REMINDER_CRON", "every day"),
        ("DEBITUM_SNAPSHOT_CRON", "0 25 * * *"),
        ("OPERATOR_WEBHOOK", "https://["),
        ("DATABASE_URL", "mysql://root@localhost/x"),
        ("DATABASE_URL", "not a url: hunter2"),
        ("DEBITUM_RATE_AUTH_PER_MINUTE", "-1"),
        ("DEBITUM_RATE_USER_PER_SECOND", "many"),
        ("DEBITUM_TRUSTED_PROXIES", "10.0.0.1"),
        ("DEBITUM_CORS_ORIGINS", "*"),
        ("DEBITUM_METRICS_TOKEN", "hunter2"),
        ("DEBITUM_CORS_ORIGINS", "https://app.example.org/"),
        ("DEBITUM_SNAPSHOT_URL", "/mnt/hunter2"),
        ("DEBITUM_SNAPSHOT_URL", "nowhere://me:hunter2@bucket/x"),
        ("DEBITUM_SNAPSHOT_URL", "file://hunter2/x"),
        ("DEBITUM_SNAPSHOT_URL", "memory://"),
        ("DEBITUM_SNAPSHOT_URL", "memory://bucket/x?key=hunter2"),
        ("DEBITUM_SNAPSHOT_URL", "memory://me:hunter2@bucket/x"),
        ("DEBITUM_SNAPSHOT_URL", "simplecache::memory://hunter2"),
        ("DEBITUM_LOG_FORMAT", "yaml"),
        ("DEBITUM_LOG_LEVEL", "info,storage=loud"),
        ("DEBITUM_DAGSTER_HOST", "a b"),
        ("DEBITUM_DAGSTER_EXPOSED", "perhaps"),
        ("DEBITUM_DAGSTER_READ_ONLY", "perhaps"),
        ("DEBITUM_KEYS", "hunter2"),
        ("DEBITUM_KEYS", "k1:***"),
        ("MAIL_FROM", "nobody"),
        ("OPERATOR_EMAIL", "nobody"),
        ("SMTP_URL", "nonsense"),
        ("SMTP_URL", "smtp://me:hunter2@"),
        ("SENDGRID_API_KEY", "SG.hunter2\u00e9"),
        ("SENDGRID_API_KEY", "SG.hunter2 \r\nX: y"),
        ("SENDGRID_HOST", "api.sendgrid.com"),
        ("SENDGRID_HOST", "https://me:hunter2@api.sendgrid.com"),
        ("FCM_ENDPOINT", "fcm.googleapis.com"),
        ("FCM_CREDENTIALS", "/nowhere/key.json"),
        ("FCM_CREDENTIALS", "/"),
        ("FCM_CREDENTIALS", __file__),
        ("SENDGRID_WEBHOOK_KEY", "hunter2"),
        ("DEBITUM_RETAIN_SESSIONS_DAYS", "a week"),
        ("DEBITUM_RETAIN_OUTBOX_DAYS", "1"),
        ("DEBITUM_RETAIN_OUTBOXES_DAYS", "30"),
    ],
)
def test_a_wrong_value_is_named_and_secrets_are_not_repeated(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(settings.SettingsError, match=f"^{name}: ") as caught:
        load(tmp_path, {name: value})
    assert "hunter2" not in str(caught.value)


def test_what_only_senders_need_is_wanted_of_nobody_else(tmp_path: Path) -> None:
    given = {"FCM_CREDENTIALS": "/nowhere/key.json", "DATABASE_URL": "postgresql:///debitum"}
    assert load(tmp_path, {**given, "DEBITUM_PARTS": "api"}).parts == {"api"}
    for part in ("code-server", "worker"):
        with pytest.raises(settings.SettingsError, match="FCM_CREDENTIALS"):
            load(tmp_path, {**given, "DEBITUM_PARTS": part, "DEBITUM_EXECUTOR": ""})


def test_a_driver_that_is_not_installed_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    def missing(_: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)  # somebody may have it
    monkeypatch.setenv("DEBITUM_SNAPSHOT_URL", "s3://me:hunter2@bucket/debitum")
    assert cli.main(["up", "--data-dir", str(tmp_path / "data")]) == commands.USAGE
    said = capsys.readouterr().err
    assert "DEBITUM_SNAPSHOT_URL: s3:// needs a package that is not installed: Install s3fs to access S3" in said
    assert "hunter2" not in said
    assert not (tmp_path / "data").exists()


def test_children_learn_where_snapshots_lie(tmp_path: Path) -> None:
    for url in ("", "memory://bucket/debitum", "ftp://me:hunter2@localhost/debitum"):
        loaded = load(tmp_path, {"DEBITUM_SNAPSHOT_URL": url})
        assert loaded.snapshot_url == (url or None)
        assert plans.environment(loaded, "postgresql:///debitum", "k1:AAAA")["DEBITUM_SNAPSHOT_URL"] == url
        assert "hunter2" not in repr(loaded)


def test_all_wrong_values_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(settings.SettingsError) as caught:
        load(tmp_path, {"DEBITUM_PORT": "x", "DEBITUM_WORKERS": "y"})
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["DEBITUM_PORT", "DEBITUM_WORKERS"]


@pytest.mark.parametrize("environment", ["development", "production"])
def test_short_keys_are_refused(tmp_path: Path, environment: str) -> None:
    short, whole = (f"k{size}:{base64.b64encode(os.urandom(size)).decode()}" for size in (31, 32))
    assert load(tmp_path, {"DEBITUM_KEYS": whole, "DEBITUM_ENV": environment}).keys == whole
    with pytest.raises(settings.SettingsError, match="keys of 32 bytes"):
        load(tmp_path, {"DEBITUM_KEYS": f"{whole},{short}", "DEBITUM_ENV": environment})
    assert load(tmp_path, {"DEBITUM_ENV": environment}).keys is None


WRITTEN = {
    "zeros": bytes(32),
    "one byte": b"\xaa" * 32,
    "counted": bytes(range(200, 232)),
    "a sentence": b"please change me before you go !",
    "a word again and again": b"\x00\xffdebitum" * 3 + b"\x00\xffdeb",
}


def ring(key: bytes) -> str:
    return f"k1:{base64.b64encode(key).decode()}"


@pytest.mark.parametrize("key", WRITTEN.values(), ids=WRITTEN)
def test_production_refuses_keys_that_somebody_wrote(tmp_path: Path, key: bytes) -> None:
    random = encryption.new_ring()
    for written in (ring(key), f"{random},{ring(key).replace('k1', 'k0')}"):
        assert load(tmp_path, {"DEBITUM_KEYS": written}).keys == written
        with pytest.raises(settings.SettingsError, match=r"^DEBITUM_KEYS: the key 'k[01]' is not random") as caught:
            load(tmp_path, {"DEBITUM_KEYS": written, "DEBITUM_ENV": "production"})
        assert base64.b64encode(key).decode() not in str(caught.value)


def test_production_takes_keys_that_were_drawn(tmp_path: Path) -> None:
    for drawn in (encryption.new_ring() for _ in range(1_000)):
        settings.require_keys(load(tmp_path, {"DEBITUM_KEYS": drawn, "DEBITUM_ENV": "production"}))


@pytest.mark.parametrize(
    ("url", "host", "taken"),
    [
        ("https://debitum.example.org", "0.0.0.0", True),
        ("http://localhost:8000", "127.0.0.1", True),
        ("http://127.0.0.2:8000/debitum", "127.0.0.1", True),
        ("http://[::1]:8000", "::", True),
        ("", "127.0.0.1", True),
        ("", "::1", True),
        ("http://debitum.example.org", "127.0.0.1", False),
        ("http://192.168.1.7:8000", "127.0.0.1", False),
        ("http://localhost.example.org", "127.0.0.1", False),
        ("http://127.0.0.1@debitum.example.org", "127.0.0.1", False),
        ("", "0.0.0.0", False),
        ("", "::", False),
        ("", "192.168.1.7", False),
    ],
)
def test_production_needs_https_beyond_this_machine(tmp_path: Path, url: str, host: str, taken: bool) -> None:
    given = {"DEBITUM_PUBLIC_URL": url, "DEBITUM_HOST": host}
    load(tmp_path, given)
    if taken:
        load(tmp_path, {**given, "DEBITUM_ENV": "production"})
    else:
        with pytest.raises(settings.SettingsError, match=r"^DEBITUM_PUBLIC_URL: "):
            load(tmp_path, {**given, "DEBITUM_ENV": "production"})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "dagster.internal"])
def test_production_keeps_the_pages_without_login_on_this_machine(tmp_path: Path, host: str) -> None:
    strict = {"DEBITUM_ENV": "production", "DEBITUM_PUBLIC_URL": "https://debitum.example", "DEBITUM_DAGSTER_HOST": host}
    with pytest.raises(settings.SettingsError, match=r"^DEBITUM_DAGSTER_HOST: .* no login; set DEBITUM_DAGSTER_EXPOSED=1"):
        load(tmp_path, strict)
    for meant in ({"DEBITUM_DAGSTER_EXPOSED": "1"}, {"DEBITUM_NO_DAGSTER": "1"}):
        assert not settings.offers_dagster(load(tmp_path, {**strict, **meant}))
    assert settings.offers_dagster(load(tmp_path, {"DEBITUM_DAGSTER_HOST": host})), "a warning on a developer's machine"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_a_host_of_this_machine_alone_needs_no_flag(tmp_path: Path, host: str) -> None:
    loaded = load(tmp_path, {"DEBITUM_ENV": "production", "DEBITUM_DAGSTER_HOST": host})
    assert not settings.offers_dagster(loaded)
    assert plans.addresses(loaded)["dagster"] == f"http://{f'[{host}]' if ':' in host else host}:3000"


def test_the_pages_without_login_listen_on_loopback_wherever_the_api_listens(tmp_path: Path) -> None:
    def listens_on(given: Mapping[str, str]) -> str:
        loaded = load(tmp_path, {"DEBITUM_HOST": "0.0.0.0", "DEBITUM_DATA_DIR": str(tmp_path), **given})
        command = plans.webserver(loaded, plans.environment(loaded, "postgresql:///debitum", "k1:AAAA")).command
        return command[command.index("-h") + 1]

    assert listens_on({}) == "127.0.0.1"
    assert listens_on({"DEBITUM_DAGSTER_HOST": "10.0.0.7"}) == "10.0.0.7"


def test_what_nobody_sets_is_what_dagster_alone_would_take(tmp_path: Path) -> None:
    loaded = load(tmp_path, {})
    assert loaded.mail_from == channels.DEFAULT_SENDER
    assert (loaded.reminder_cron, loaded.snapshot_cron) == (reminders.DEFAULT_CRON, snapshots.DEFAULT_CRON)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:3000"),
        ({"DEBITUM_DAGSTER_HOST": "0.0.0.0", "DEBITUM_DAGSTER_PORT": "3001"}, "http://127.0.0.1:3001"),
        ({"DEBITUM_DAGSTER_HOST": "::1"}, "http://[::1]:3000"),
        ({"DEBITUM_DAGSTER_URL": "https://dagster.example.org/"}, "https://dagster.example.org"),
    ],
)
def test_alerts_know_where_operators_reach_the_pages(tmp_path: Path, given: dict[str, str], url: str) -> None:
    loaded = load(tmp_path, {"DEBITUM_DATA_DIR": str(tmp_path), **given})
    assert plans.environment(loaded, "postgresql:///debitum", "k1:AAAA")["DEBITUM_DAGSTER_URL"] == url


def test_production_makes_no_new_keys_for_a_database_that_may_have_some(tmp_path: Path) -> None:
    own = {"DATABASE_URL": "postgresql://u@h/d", "DEBITUM_DATA_DIR": str(tmp_path)}
    settings.require_keys(load(tmp_path, own))
    settings.require_keys(load(tmp_path, {"DEBITUM_ENV": "production", "DEBITUM_DATA_DIR": str(tmp_path)}))
    strict = load(tmp_path, {**own, "DEBITUM_ENV": "production"})
    with pytest.raises(settings.SettingsError, match=r"^DEBITUM_KEYS: not set"):
        settings.require_keys(strict)
    (tmp_path / "secrets").write_text(ring(bytes(32)))
    with pytest.raises(settings.SettingsError, match=r"^/.*secrets: .* not random"):
        settings.require_keys(strict)
    (tmp_path / "secrets").write_text("hunter2")
    with pytest.raises(settings.SettingsError, match=r"^/.*secrets: is not of the form") as caught:
        settings.require_keys(strict)
    assert "hunter2" not in str(caught.value)
    (tmp_path / "secrets").write_text(f"{encryption.new_ring()}\n")
    settings.require_keys(strict)


def test_secrets_do_not_show_in_the_representation(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"DATABASE_URL": "postgresql://u:hunter2@h/d", "DEBITUM_KEYS": f"k1:{KEY}"})
    assert "hunter2" not in repr(loaded)
    assert KEY not in repr(loaded)


def test_wrong_settings_end_a_command_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["up", "--port", "many"]) == commands.USAGE
    assert "DEBITUM_PORT" in capsys.readouterr().err
    for name, value in {"DEBITUM_ENV": "production", "DATABASE_URL": "postgresql://u@h/d"}.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["up"]) == commands.USAGE
    assert "DEBITUM_KEYS: not set" in capsys.readouterr().err
    monkeypatch.setenv("DEBITUM_DAGSTER_HOST", "0.0.0.0")
    assert cli.main(["up"]) == commands.USAGE
    assert "DEBITUM_DAGSTER_HOST: '0.0.0.0'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        cli.main(["dance"])
    assert left.value.code == commands.USAGE
