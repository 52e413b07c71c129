"""How long a guesser waits: laws of the rule, whoever guesses and however fast."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.throttling import ACCOUNT, ADDRESS, FORGOTTEN_AFTER, Rule

NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC)
rules = st.sampled_from([ACCOUNT, ADDRESS]) | st.builds(Rule, free=st.integers(1, 50), most_seconds=st.integers(1, 3_600))


def seconds(count: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=count)


@given(rules, st.integers(1, 10_000))
def test_the_first_ones_are_free_then_it_doubles_up_to_the_most(rule: Rule, failures: int) -> None:
    delay, after = rule.delay_seconds(failures), rule.delay_seconds(failures + 1)
    assert (delay == 0) == (failures < rule.free)
    assert delay <= after <= rule.most_seconds
    assert delay == 0 or after == min(2 * delay, rule.most_seconds)
    assert rule.delays_seconds[min(failures, len(rule.delays_seconds)) - 1] == delay
    assert rule.delays_seconds[-1] == rule.most_seconds


@given(rules, st.integers(1, 10_000), st.floats(0, 2 * FORGOTTEN_AFTER.total_seconds()))
def test_nobody_waits_longer_than_the_most_and_no_lock_is_for_ever(rule: Rule, failures: int, ago: float) -> None:
    wait = rule.wait_seconds(failures, NOW - seconds(ago), NOW)
    assert 0 <= wait <= rule.most_seconds
    assert rule.wait_seconds(failures, NOW - seconds(ago), NOW + seconds(wait + 0.001)) == 0
    assert rule.next_count(failures, NOW - seconds(ago), NOW) == (1 if seconds(ago) >= FORGOTTEN_AFTER else failures + 1)


@given(rules, st.integers(1, 10_000), st.floats(0, 1e9))
def test_a_clock_that_was_wrong_keeps_nobody_out(rule: Rule, failures: int, ahead: float) -> None:
    assert rule.wait_seconds(failures, NOW + seconds(ahead), NOW) <= 2 * rule.most_seconds


@pytest.mark.parametrize(("rule", "most_a_day"), [(ACCOUNT, 5 + 6 + 1_440), (ADDRESS, 30 + 10 + 96)])
def test_what_a_guesser_gets_in_a_day_who_asks_without_a_pause(rule: Rule, most_a_day: int) -> None:
    failures, last_at, now, looked_at = 0, NOW, NOW, 0
    while now < NOW + datetime.timedelta(days=1):
        if failures:
            now += seconds(rule.wait_seconds(failures, last_at, now))
        failures, last_at, looked_at = failures + 1, now, looked_at + 1
    assert rule.free < looked_at <= most_a_day


def test_the_figures() -> None:
    assert ACCOUNT.delays_seconds == (0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60)
    assert ADDRESS.delays_seconds[28:] == (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900)
