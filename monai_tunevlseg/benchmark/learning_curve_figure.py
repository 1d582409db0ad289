"""The figure of learning curves: Dice against the number of training images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from monai_tunevlseg.benchmark.figure_style import STYLE, escape_math, svg_of
from monai_tunevlseg.benchmark.learning_curves import Curve, DatasetCurves

__all__ = ["learning_curve_figure"]

MAX_COLUMNS = 4
PANEL_WIDTH, PANEL_HEIGHT = 3.4, 2.9  # inches
LEGEND_WIDTH, LABEL_HEIGHT = 2.2, 0.19  # inches
SINGLE_WIDTH = 5.2  # inches, of a panel alone
MARKERS = "osD^v<>PX*"
DASHES = ("--", ":", "-.")
GRAY = "#5a6069"
FEWEST_TICKS_APART = 0.04  # share of the axis below which the labels of two numbers would overlap


def learning_curve_figure(dataset: DatasetCurves) -> str | None:
    """Draw a panel for the mean, and one for each of several classes.

    A line is an experiment, its band the 95 % interval, and a dashed line an experiment without training.

    Returns:
        SVG; None where no number of training images is known.
    """
    curves = [curve for curve in dataset.with_shots if any(point.images for point in curve.points)]
    if not curves:
        return None
    panels: list[str | None] = [None, *dataset.class_names]
    columns = min(MAX_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    labels = len(dataset.untrained) + len(curves) + 1
    size = (max(PANEL_WIDTH * columns, SINGLE_WIDTH) + LEGEND_WIDTH, max(PANEL_HEIGHT * rows, LABEL_HEIGHT * labels))
    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        for number, (axis, class_name) in enumerate(zip(axes.flat, panels, strict=False)):
            _draw_panel(axis, class_name, dataset.untrained, curves)
            axis.set_title(escape_math(class_name or "all classes") if dataset.class_names else "")
            lowest = number + columns >= len(panels)
            axis.tick_params(labelbottom=lowest)
            axis.set(xlabel="training images" * lowest, ylabel="test Dice (%)" * (number % columns == 0))
        _label_images(axes.flat[0], curves)
        figure.legend(handles=_handles(dataset.untrained, curves), loc="outside right center")
        return svg_of(figure)


def _draw_panel(axis: Axes, class_name: str | None, untrained: Sequence[Curve], curves: Sequence[Curve]) -> None:
    for style, curve in zip(_untrained_styles(untrained), untrained, strict=True):
        measure = curve.most.dice_of(class_name)
        if measure is not None and measure.value is not None:
            axis.axhline(measure.value, **style)
    for style, curve in zip(_styles(curves), curves, strict=True):
        measured = [
            (point.images, measure.value, measure.interval)
            for point in curve.points
            if point.images and (measure := point.dice_of(class_name)) is not None and measure.value is not None
        ]
        images, values = [found[0] for found in measured], [found[1] for found in measured]
        axis.plot(images, values, **style)
        bands = [(number_of_images, *interval) for number_of_images, _, interval in measured if interval]
        places, lows, highs = ([band[part] for band in bands] for part in range(3))
        axis.fill_between(places, lows, highs, color=style["color"], alpha=0.12, linewidth=0)
    axis.set(xscale="log")


def _label_images(axis: Axes, curves: Sequence[Curve]) -> None:
    """Label the numbers of images of the points, without labels that would overlap; the panels share the axis."""
    numbers = sorted({point.images for curve in curves for point in curve.points if point.images}, reverse=True)
    width = math.log(numbers[0] / numbers[-1]) if len(numbers) > 1 else 1.0
    shown: list[float] = []
    for number in numbers:
        if not shown or math.log(shown[-1] / number) > FEWEST_TICKS_APART * width:
            shown.append(number)
    axis.xaxis.set_major_locator(FixedLocator(shown))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:.0f}"))


def _styles(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    palette = colormaps["tab10" if len(curves) <= 10 else "tab20"]
    return [
        {
            "color": palette(number % palette.N),
            "marker": MARKERS[number % len(MARKERS)],
            "linewidth": 1.4,
            "markersize": 3.5,
        }
        for number in range(len(curves))
    ]


def _untrained_styles(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    return [{"color": GRAY, "linewidth": 1, "linestyle": DASHES[n % len(DASHES)]} for n in range(len(curves))]


def _handles(untrained: Sequence[Curve], curves: Sequence[Curve]) -> list[Line2D]:
    styles = [*_untrained_styles(untrained), *_styles(curves)]
    named = zip((*untrained, *curves), styles, strict=True)
    return [Line2D([], [], label=escape_math(curve.title), **style) for curve, style in named]
