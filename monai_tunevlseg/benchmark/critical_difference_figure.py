"""The critical-difference diagram: mean ranks of methods on a line, and bars over those that do not differ."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monai_tunevlseg.benchmark.figure_style import STYLE, escape_math, svg_of
from monai_tunevlseg.evaluation import DatasetRanks

__all__ = ["critical_difference_figure"]

WIDTH = 8.4  # inches
ROW_HEIGHT = 0.24  # inches
GROUP_STEP = 0.4  # rows
INK, SOFT, BAR = "#33373d", "#8a8f98", "#2c5a8c"


def critical_difference_figure(ranks: DatasetRanks, titles: Mapping[str, str]) -> str:
    """Draw the diagram of Demsar (2006), figure 1: the best method is on the left.

    Args:
        ranks: ranks by the names of the methods.
        titles: titles of the methods by name.

    Returns:
        SVG.
    """
    names, highest = list(ranks.mean_ranks), len(ranks.mean_ranks)
    left = (highest + 1) // 2  # methods whose titles are on the left
    top = 0.6 + GROUP_STEP * len(ranks.groups)  # rows from the line to the first title
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, ROW_HEIGHT * (top + left + 3.2)), layout="constrained")
        axis = figure.subplots()
        margin = 0.55 * (highest - 1)
        axis.set(xlim=(1 - margin, highest + margin), ylim=(top + left, -2.9))
        axis.set_axis_off()
        _draw_scale(axis, highest, ranks.critical_difference)
        for number, name in enumerate(names):
            on_left = number < left
            row = top + (number if on_left else highest - 1 - number)
            _draw_method(axis, ranks.mean_ranks[name], row, on_left, highest, escape_math(titles[name]))
        for number, group in enumerate(ranks.groups):
            ends = [ranks.mean_ranks[group[0]] - 0.03, ranks.mean_ranks[group[-1]] + 0.03]
            axis.plot(ends, [0.45 + GROUP_STEP * number] * 2, color=BAR, linewidth=3, solid_capstyle="butt")
        return svg_of(figure)


def _draw_scale(axis: Axes, highest: int, difference: float) -> None:
    axis.plot([1, highest], [0, 0], color=INK, linewidth=1)
    for rank in range(1, highest + 1):
        axis.plot([rank, rank], [0, -0.25], color=INK, linewidth=1)
        axis.text(rank, -0.4, str(rank), ha="center", va="bottom", color=SOFT, fontsize=8)
    if difference < highest - 1:
        axis.plot([1, 1 + difference], [-1.9, -1.9], color=BAR, linewidth=1.5, marker="|", markersize=6)
    axis.text(1, -2.2, f"critical difference {difference:.2f}", ha="left", va="bottom", color=INK, fontsize=8)


def _draw_method(axis: Axes, rank: float, row: float, on_left: bool, highest: int, title: str) -> None:
    """Draw a line from the rank down and to the side, and the title at its end."""
    gap = 0.02 * (highest - 1)
    end = 1 - 2 * gap if on_left else highest + 2 * gap
    axis.plot([rank, rank, end], [0, row, row], color=SOFT, linewidth=0.8)
    side = "right" if on_left else "left"
    place = end - gap if on_left else end + gap
    axis.text(place, row, f"{title}  {rank:.2f}", ha=side, va="center", color=INK, fontsize=8)
