"""Horizons: the defaults, what a setting may be, and how a wrong one is refused."""

import datetime

import pytest

from domain import retention

NOW = datetime.datetime(2026, 11, 22, 2, 0, tzinfo=datetime.UTC)


def test_the_defaults_by_their_settings() -> None:
    assert {kind.setting: retention.horizons({})[kind] for kind in retention.KINDS} == {
        "DEBITUM_RETAIN_OUTBOX_DAYS": datetime.timedelta(days=30),
        "DEBITUM_RETAIN_ATTEMPTS_DAYS": datetime.timedelta(days=90),
        "DEBITUM_RETAIN_SESSIONS_DAYS": datetime.timedelta(days=7),
        "DEBITUM_RETAIN_REFRESH_TOKENS_DAYS": datetime.timedelta(days=7),
        "DEBITUM_RETAIN_ONE_TIME_TOKENS_DAYS": datetime.timedelta(days=7),
        "DEBITUM_RETAIN_REJECTIONS_DAYS": datetime.timedelta(days=90),
        "DEBITUM_RETAIN_LOGIN_ATTEMPTS_DAYS": datetime.timedelta(days=1),
        "DEBITUM_RETAIN_INVITES_DAYS": datetime.timedelta(days=7),
        "DEBITUM_RETAIN_PERSONAL_TOKENS_DAYS": datetime.timedelta(days=7),
        "DEBITUM_RETAIN_MAIL_EVENTS_DAYS": datetime.timedelta(days=30),
        "DEBITUM_RETAIN_DAGSTER_RUNS_DAYS": datetime.timedelta(days=30),
        "DEBITUM_RETAIN_DAGSTER_TICKS_DAYS": datetime.timedelta(days=14),
    }


@pytest.mark.parametrize(("value", "days"), [("7", 7), (" 45 ", 45), ("", None), ("none", None), ("None", None)])
def test_a_setting_in_days(value: str, days: int | None) -> None:
    horizon = retention.horizons({"DEBITUM_RETAIN_OUTBOX_DAYS": value})[retention.OUTBOX]
    assert horizon == (None if days is None else datetime.timedelta(days=days))


@pytest.mark.parametrize("value", ["6", "-1", "1.5", "a week", "٧", "36501"])
def test_a_wrong_setting_is_named(value: str) -> None:
    with pytest.raises(retention.HorizonError, match=f"^DEBITUM_RETAIN_OUTBOX_DAYS: '?{value}'? is not "):
        retention.horizons({"DEBITUM_RETAIN_OUTBOX_DAYS": value})


def test_before_is_the_horizon_ago() -> None:
    horizons = retention.horizons({"DEBITUM_RETAIN_REJECTIONS_DAYS": "none"})
    assert retention.before(retention.OUTBOX, horizons, NOW) == datetime.datetime(2026, 10, 23, 2, 0, tzinfo=datetime.UTC)
    assert retention.before(retention.REJECTIONS, horizons, NOW) is None
