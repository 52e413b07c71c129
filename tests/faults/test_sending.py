"""What the senders endure, in its short form; `make faults` runs it long, and with the whole of Debitum."""

import statistics
from pathlib import Path

from tests.faults import sending


def test_senders_are_killed(tmp_path: Path, database_url: str) -> None:
    figures = sending.processes_are_killed(tmp_path, database_url, messages=60, kills=1, seed=1)
    assert (figures.messages, figures.lost, figures.kills) == (60, 0, 1)
    assert figures.kills_while_sending > 0
    assert figures.duplicates == figures.duplicates_counted


def test_providers_misbehave(tmp_path: Path, database_url: str) -> None:
    figures, endured = sending.providers_misbehave(
        tmp_path, database_url, messages=120, senders=8, timeout_seconds=0.8, waits=(1,), seed=1
    )
    assert (figures.messages, figures.lost) == (120, 0)
    assert figures.duplicates == figures.duplicates_counted
    assert endured.calls > 120
    assert endured.growth_mb < 50


def test_a_provider_that_hangs_does_not_hold_up_the_other(tmp_path: Path, database_url: str) -> None:
    alone, beside = sending.a_provider_hangs(tmp_path, database_url, pushes=10, timeout_seconds=0.5)
    assert statistics.median(beside) - statistics.median(alone) < 1, (alone, beside)  # single ones the machine may have held up
