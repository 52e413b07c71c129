"""Plots are pictures that Dagster can show."""

import base64
import datetime
import struct

import pytest

from pipelines.defs.snapshots import plots
from storage.snapshots.trends import Trend

DAYS = [datetime.date(2026, 3, day) for day in range(1, 29)]
TREND = Trend(DAYS, {"EUR": [float(day.day) for day in DAYS], "JPY": [-100.0 * day.day for day in DAYS]})


@pytest.mark.parametrize(("draw", "panels"), [(plots.lines, 2), (plots.bars, 1)])
def test_a_trend_is_a_png_in_markdown(draw: object, panels: int) -> None:
    assert callable(draw)
    text = str(draw(TREND, "Owed by currency").value)
    assert text.startswith("![Owed by currency](data:image/png;base64,")
    png = base64.b64decode(text.removesuffix(")").partition("base64,")[2])
    assert png.startswith(b"\x89PNG")
    size = struct.unpack(">II", png[16:24])
    inches = (plots.WIDTH, plots.HEIGHT * panels)
    assert size == tuple(round(inch * plots.DOTS_PER_INCH) for inch in inches)
    assert len(png) < 60_000


@pytest.mark.parametrize("draw", [plots.lines, plots.bars])
def test_nothing_is_said_in_words(draw: object) -> None:
    assert callable(draw)
    assert draw(Trend([], {}), "Attempts").value == "Attempts: nothing to draw yet."
