"""What `make soak` judges by, on numbers that are known. The soak itself takes its minutes."""

import random

import pytest

from tests import soak


def looks(mib_per_second: float, *, noise: float = 0.0, jump: float = 0.0) -> list[soak.Look]:
    dice = random.Random(1)
    found = []
    for at in range(0, 1000, 5):
        held = 100 + mib_per_second * at + dice.uniform(-noise, noise) + (jump if at == 500 else 0)
        found.append((float(at), {(part, 1): held for part in soak.GROWING}))
    return found


def test_what_grows_is_told_by_the_hundred_runs_whatever_the_noise() -> None:
    for mib_per_second, per_hundred in ((0.0, 0.0), (0.05, 25.0)):
        for grown in soak.growth(looks(mib_per_second, noise=2, jump=80), runs=200).values():
            assert grown == pytest.approx(per_hundred, abs=1)


def test_what_fills_while_warming_up_is_no_growth() -> None:
    filling = [(float(at), {(part, 1): float(min(at, 300)) for part in soak.GROWING}) for at in range(0, 1000, 5)]
    assert set(soak.growth(filling, runs=100).values()) == {0.0}


def test_runs_that_come_and_go_are_no_growth_and_a_part_that_was_started_anew_is_told() -> None:
    found = looks(0.0)
    for number, (_, held) in enumerate(found):
        held.update({("code-server", 1000 + number + run): 100.0 for run in range(number // 50)})
    assert set(soak.growth(found, runs=100).values()) == {0.0}
    for _, held in found[150:]:
        held["api", 2] = held.pop(("api", 1))
    with pytest.raises(AssertionError, match="started anew"):
        soak.growth(found, runs=100)
