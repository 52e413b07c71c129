"""Plots for the page of an asset: PNG inside Markdown, which is how Dagster shows a picture."""

import base64
import datetime
import io
from typing import TYPE_CHECKING, Final

import dagster as dg

from storage.snapshots.trends import Trend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, DOTS_PER_INCH = 7.0, 2.2, 80
"""Inches of a panel: a picture is some 15 kB, and stays in Dagster's event log."""
DAY: Final = datetime.timedelta(days=1)
COLOURS: Final = ("#2f6f8f", "#e0a030", "#c0504d", "#6b8e4e", "#7a5c99", "#808080")


def lines(trend: Trend, what: str) -> dg.MetadataValue:
    """A panel for each name: what has units of its own shares no axis with others."""
    if not trend.days:
        return dg.MetadataValue.md(f"{what}: nothing to draw yet.")
    figure = _figure(len(trend.values))
    for number, (name, values) in enumerate(trend.values.items(), 1):
        axis = figure.add_subplot(len(trend.values), 1, number)
        axis.plot(trend.days, values, color=COLOURS[0], marker="o", markersize=3)  # type: ignore[arg-type]  # dates are fine
        axis.set_ylabel(name, fontsize=8)
        _tidy(axis, trend)
    return _picture(figure, what)


def bars(trend: Trend, what: str) -> dg.MetadataValue:
    """The names' values of each day, one upon the other."""
    if not trend.days:
        return dg.MetadataValue.md(f"{what}: nothing to draw yet.")
    figure = _figure(1)
    axis = figure.add_subplot()
    below = [0.0] * len(trend.days)
    for number, (name, values) in enumerate(trend.values.items()):
        colour = COLOURS[number % len(COLOURS)]
        axis.bar(trend.days, values, bottom=below, color=colour, label=name, width=0.8)  # type: ignore[arg-type]  # dates are fine
        below = [lower + value for lower, value in zip(below, values, strict=True)]
    axis.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    _tidy(axis, trend)
    return _picture(figure, what)


def _figure(panels: int) -> "Figure":
    # Not above: the code server need not hold it, nor a run that draws nothing.
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, HEIGHT * panels), dpi=DOTS_PER_INCH, layout="constrained")


def _tidy(axis: "Axes", trend: Trend) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axis.set_xlim(trend.days[0] - DAY, trend.days[-1] + DAY)  # type: ignore[arg-type]  # dates are fine
    locator = AutoDateLocator(maxticks=8, interval_multiples=False)  # type: ignore[no-untyped-call]  # it says nothing of its types
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # likewise
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def _picture(figure: "Figure", what: str) -> dg.MetadataValue:
    figure.suptitle(what, fontsize=9)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return dg.MetadataValue.md(f"![{what}](data:image/png;base64,{base64.b64encode(png.getvalue()).decode()})")
