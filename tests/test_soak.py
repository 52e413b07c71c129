"""What `make soak` judges by, on numbers that are known. The soak itself takes its minutes."""

import random

import pytest

from tests import soak


def looks(mib_per_second: float, *, noise: float = 0.0, jump: float = 0.0) -> list[soak.Look]:
    dice = random.Random(1)
    found = []
    for at in range(0, 1000, 5):
        held = 100 + mib_per_second * at + dice.uniform(-noise, noise) + (jump if at == 500 else 0)
        found.append((float(at), dict.fromkeys(soak.GROWING, held)))
    return found


def test_what_grows_is_told_by_the_hundred_runs_whatever_the_noise() -> None:
    for mib_per_second, per_hundred in ((0.0, 0.0), (0.05, 25.0)):
        for grown in soak.growth(looks(mib_per_second, noise=2, jump=80), runs=200).values():
            assert grown == pytest.approx(per_hundred, abs=1)


def test_what_fills_while_warming_up_is_no_growth() -> None:
    filling = [(float(at), dict.fromkeys(soak.GROWING, float(min(at, 300)))) for at in range(0, 1000, 5)]
    assert set(soak.growth(filling, runs=100).values()) == {0.0}
