"""Settings: what goes over what, and what is said about values that cannot be used."""

import base64
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from debitum import cli, plans, settings

KEY = base64.b64encode(b"0123456789abcdef" * 2).decode()


def load(
    folder: Path, environment: Mapping[str, str] | None = None, file: str = "", flags: Mapping[str, str] | None = None
) -> settings.Settings:
    (folder / ".env").write_text(file)
    return settings.load(environment or {}, folder / ".env", flags)


def test_flags_go_over_the_environment_which_goes_over_the_file(tmp_path: Path) -> None:
    file = "DEBITUM_PORT=1111\nDEBITUM_DAGSTER_PORT=1112\nDEBITUM_WORKERS=3\n"
    loaded = load(tmp_path, {"DEBITUM_DAGSTER_PORT": "2222", "DEBITUM_WORKERS": "4"}, file, {"DEBITUM_WORKERS": "5"})
    assert (loaded.port, loaded.dagster_port, loaded.workers) == (1111, 2222, 5)


def test_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"DATABASE_URL": "", "DEBITUM_PORT": ""})
    assert loaded.data_dir == Path(".debitum").resolve()
    assert (loaded.host, loaded.port, loaded.dagster_port, loaded.workers) == ("127.0.0.1", 8000, 3000, 1)
    assert (loaded.database_url, loaded.no_dagster, loaded.production) == (None, False, False)
    assert loaded.public_url == "http://127.0.0.1:8000"
    assert (loaded.reminder_cron, loaded.snapshot_cron) == ("*/5 * * * *", "0 * * * *")


def test_children_get_what_the_file_says(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"DEBITUM_DATA_DIR": str(tmp_path)}, "SMTP_URL=smtp://u:p$w@mail\nFCM_CREDENTIALS=./fcm.json\n")
    environment = plans.environment(loaded, "postgresql://postgres@/debitum?host=/run/pg", "k1:AAAA")
    assert environment["SMTP_URL"] == "smtp://u:p$w@mail"
    assert environment["FCM_CREDENTIALS"] == "./fcm.json"
    assert environment["DATABASE_DIRECT_URL"] == environment["DATABASE_URL"] == "postgresql://postgres@/debitum?host=/run/pg"
    assert environment["DEBITUM_DAGSTER_DATABASE_URL"].startswith("postgresql+psycopg2://")
    assert environment["DAGSTER_HOME"] == str(tmp_path / "dagster")
    assert len(os.fsencode(environment["DEBITUM_CODE_SOCKET"])) < 100


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
        ("DEBITUM_ENV", "prod"),
        ("DEBITUM_HOST", "a b"),
        ("DEBITUM_PUBLIC_URL", "debitum.example"),
        ("DEBITUM_REMINDER_CRON", "every day"),
        ("DATABASE_URL", "mysql://root@localhost/x"),
        ("DATABASE_URL", "not a url: hunter2"),
        ("DEBITUM_KEYS", "hunter2"),
        ("DEBITUM_KEYS", "k1:***"),
    ],
)
def test_a_wrong_value_is_named_and_secrets_are_not_repeated(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(settings.SettingsError, match=f"^{name}: ") as caught:
        load(tmp_path, {name: value})
    assert "hunter2" not in str(caught.value)


def test_all_wrong_values_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(settings.SettingsError) as caught:
        load(tmp_path, {"DEBITUM_PORT": "x", "DEBITUM_WORKERS": "y"})
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["DEBITUM_PORT", "DEBITUM_WORKERS"]


@pytest.mark.parametrize("environment", ["development", "production"])
def test_short_keys_are_refused(tmp_path: Path, environment: str) -> None:
    short, whole = (f"k{size}:{base64.b64encode(bytes(size)).decode()}" for size in (31, 32))
    assert load(tmp_path, {"DEBITUM_KEYS": whole, "DEBITUM_ENV": environment}).keys == whole
    with pytest.raises(settings.SettingsError, match="keys of 32 bytes"):
        load(tmp_path, {"DEBITUM_KEYS": f"{whole},{short}", "DEBITUM_ENV": environment})
    assert load(tmp_path, {"DEBITUM_ENV": environment}).keys is None


def test_secrets_do_not_show_in_the_representation(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"DATABASE_URL": "postgresql://u:hunter2@h/d", "DEBITUM_KEYS": f"k1:{KEY}"})
    assert "hunter2" not in repr(loaded)
    assert KEY not in repr(loaded)


def test_wrong_settings_end_a_command_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["up", "--port", "many"]) == cli.USAGE
    assert "DEBITUM_PORT" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        cli.main(["dance"])
    assert left.value.code == cli.USAGE
