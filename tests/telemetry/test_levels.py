"""DEBITUM_LOG_LEVEL and DEBITUM_LOG_FORMAT: what they mean, and what is said about values that mean nothing."""

import logging

import pytest

from api.settings import Settings, SettingsError
from storage.encryption import new_ring
from telemetry import levels, output


def test_levels_hold_for_a_package_and_what_is_below_it() -> None:
    wanted = levels.parse(" warning, storage=debug,sanic.error=ERROR ")
    assert [wanted.of(name) for name in ("api", "storage", "storage.ledgers", "storages", "sanic", "sanic.error.x")] == [
        logging.WARNING,
        logging.DEBUG,
        logging.DEBUG,
        logging.WARNING,
        logging.WARNING,
        logging.ERROR,
    ]


@pytest.mark.parametrize(("text", "default"), [("", logging.INFO), ("api=debug", logging.INFO), ("debug", logging.DEBUG)])
def test_without_a_default_it_is_info(text: str, default: int) -> None:
    assert levels.parse(text).of("anything") == default


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (output.FORMAT, "yaml"),
        (output.FORMAT, "JSON"),
        (output.LEVEL, "loud"),
        (output.LEVEL, "info,debug"),
        (output.LEVEL, "api=debug,api=info"),
        (output.LEVEL, "=debug"),
        (output.LEVEL, "a b=debug"),
        (output.LEVEL, "storage=10"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(name: str, value: str) -> None:
    enough = {"DATABASE_URL": "postgresql://u@h/d", "DEBITUM_KEYS": new_ring()}
    assert Settings.from_environment(enough).log == output.Choice()
    with pytest.raises(SettingsError, match=f"^{name}: "):
        Settings.from_environment({**enough, name: value})
