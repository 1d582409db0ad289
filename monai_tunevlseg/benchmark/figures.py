"""Figures 4 to 7 of the paper and reliability diagrams, from stored results."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from monai_tunevlseg.benchmark.embeddings import Embeddings
from monai_tunevlseg.benchmark.experiment_order import ordered_datasets
from monai_tunevlseg.benchmark.figure_style import STYLE, escape_math, svg_of
from monai_tunevlseg.benchmark.results_folder import RATES

__all__ = [
    "LineFit",
    "ReliabilityPoint",
    "TrialPoint",
    "depth_figures",
    "embedding_figure",
    "fit_line",
    "rates_figure",
    "reliability_figure",
]

PANEL_SIZE = 2.7  # inches
MIN_TSNE_POINTS = 5
SEED = 0


@dataclass(frozen=True)
class TrialPoint:
    """A tested trial in a figure.

    Attributes:
        dataset: name of the dataset.
        title: titles of model and method.
        text_only: whether only the text encoder has prompts.
        dice: Dice on the test split, in percent.
        hyperparameters: hyperparameters of the trial.
    """

    dataset: str
    title: str
    text_only: bool
    dice: float
    hyperparameters: Mapping[str, float | str]

    def number(self, name: str) -> float | None:
        """Return a numeric hyperparameter; None if it is missing or not a number."""
        value = self.hyperparameters.get(name)
        return value if isinstance(value, float) else None


@dataclass(frozen=True)
class LineFit:
    """A least-squares line.

    Attributes:
        slope: change of y per unit of x.
        intercept: y at x = 0.
        r2: coefficient of determination; 0 if all y are equal.
    """

    slope: float
    intercept: float
    r2: float


@dataclass(frozen=True)
class ReliabilityPoint:
    """A bin of a reliability diagram.

    Attributes:
        probability: mean probability of its pixels, 0 to 1.
        share: share of foreground among them.
        pixels: their number.
    """

    probability: float
    share: float
    pixels: int


def fit_line(x: Sequence[float], y: Sequence[float]) -> LineFit | None:
    """Fit y = slope * x + intercept; None if all x are equal or there are fewer than three points."""
    if len(x) < 3 or np.ptp(x) == 0:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    residual = np.asarray(y) - (slope * np.asarray(x) + intercept)
    total = float(((np.asarray(y) - np.mean(y)) ** 2).sum())
    return LineFit(float(slope), float(intercept), 1 - float((residual**2).sum()) / total if total else 0.0)


def depth_figures(points: Sequence[TrialPoint], titles: Mapping[str, str]) -> dict[int, str]:
    """Draw Figure 5, one plot of the methods with text prompts only, and Figure 6, a plot for each method.

    Args:
        points: tested trials.
        titles: titles of the datasets by name.

    Returns:
        SVG by number of the figure, without figures that have no points.
    """
    deep = [point for point in points if point.number("prompt_depth") is not None]
    text_only = [point for point in deep if point.text_only]
    figures = {}
    with rc_context(STYLE):
        if text_only:
            figures[5] = svg_of(_depth_overlay(text_only))
        if deep:
            figures[6] = svg_of(_depth_panels(deep, titles))
    return figures


def _depth_overlay(points: Sequence[TrialPoint]) -> Figure:
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    for index, title in enumerate(_titles(points)):
        chosen = [point for point in points if point.title == title]
        color = colormaps["tab10"](index)
        depths, dice = _depths(chosen), [point.dice for point in chosen]
        shift = 0.08 * (index - len(_titles(points)) / 2)  # keeps the points of different methods apart
        line = _draw_line(axis, depths, dice, color)
        axis.scatter([x + shift for x in depths], dice, s=14, color=color, alpha=0.7, linewidths=0)
        axis.plot([], [], color=color, marker="o", markersize=4, label=escape_math(f"{title}  {_explained(line)}"))
    _label_depth(axis)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _depth_panels(points: Sequence[TrialPoint], dataset_titles: Mapping[str, str]) -> Figure:
    titles = _titles(points)
    columns = min(4, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = Figure(figsize=(PANEL_SIZE * columns + 1.2, PANEL_SIZE * rows * 0.9), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    colors = _dataset_colors(points)
    for axis in axes.flat[len(titles) :]:
        axis.set_axis_off()
    for axis, title in zip(axes.flat, titles, strict=False):
        chosen = [point for point in points if point.title == title]
        line = _draw_line(axis, _depths(chosen), [point.dice for point in chosen], "#33373d")
        axis.scatter(
            _depths(chosen), [p.dice for p in chosen], s=12, c=[colors[p.dataset] for p in chosen], linewidths=0
        )
        axis.set_title(escape_math(f"{title}  {_explained(line)}"))
        _label_depth(axis)
        axis.label_outer()
    _dataset_legend(figure, colors, dataset_titles)
    return figure


def _depths(points: Sequence[TrialPoint]) -> list[float]:
    return [depth for point in points if (depth := point.number("prompt_depth")) is not None]


def _draw_line(axis: Axes, x: Sequence[float], y: Sequence[float], color: Any) -> LineFit | None:
    line = fit_line(x, y)
    if line is not None:
        ends = np.array([min(x), max(x)])
        axis.plot(ends, line.slope * ends + line.intercept, color=color, linewidth=1.5)
    return line


def _explained(line: LineFit | None) -> str:
    return "R² –" if line is None else f"R² {line.r2:.2f}"


def _label_depth(axis: Axes) -> None:
    axis.set_xlabel("prompt depth")
    axis.set_ylabel("test Dice (%)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def rates_figure(points: Sequence[TrialPoint], titles: Mapping[str, str]) -> str | None:
    """Draw Figure 7: test Dice against learning rate and weight decay, together and separately.

    Args:
        points: tested trials.
        titles: titles of the datasets by name.

    Returns:
        SVG, or None if no trial has positive values of both, which the logarithmic axes require.
    """
    chosen = [p for p in points if all((p.number(name) or 0) > 0 for name in RATES)]
    if not chosen:
        return None
    rates, decays = ([p.number(name) or 0.0 for p in chosen] for name in RATES)
    dice = [point.dice for point in chosen]
    colors = _dataset_colors(chosen)
    with rc_context(STYLE):
        figure = Figure(figsize=(PANEL_SIZE * 4 + 1.4, PANEL_SIZE * 1.15), layout="constrained")
        first, second, third = figure.subplots(1, 3)
        shown = first.scatter(rates, decays, c=dice, s=16, cmap="viridis", linewidths=0)
        figure.colorbar(shown, ax=first, label="test Dice (%)")
        first.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="weight decay")
        first.set(xlim=_decades(rates), ylim=_decades(decays))
        first.yaxis.set_minor_formatter(NullFormatter())
        for axis, values, label in ((second, rates, "learning rate"), (third, decays, "weight decay")):
            axis.scatter(values, dice, s=12, c=[colors[point.dataset] for point in chosen], linewidths=0)
            axis.set(xscale="log", xlim=_decades(values), xlabel=label, ylabel="test Dice (%)")
        for axis in (first, second, third):
            axis.xaxis.set_minor_formatter(NullFormatter())
        _dataset_legend(figure, colors, titles)
        return svg_of(figure)


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """Return the limits of a logarithmic axis: the powers of ten around values, with a margin."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return 10.0 ** (low - 0.1), 10.0 ** (max(high, low + 1) + 0.1)


def embedding_figure(embeddings: Sequence[Embeddings], titles: Mapping[str, str], title: str) -> str:
    """Draw Figure 4 for one base model: t-SNE of its text and image embeddings, colored by dataset.

    Args:
        embeddings: embeddings of one model, one item per dataset.
        titles: titles of the datasets by name.
        title: title of the model.
    """
    colors = _colors(ordered_datasets(item.dataset for item in embeddings))
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(PANEL_SIZE * 3.4, PANEL_SIZE * 1.35), layout="constrained")
        for axis, kind in zip(figure.subplots(1, 2), ("text", "image"), strict=True):
            _scatter_embedded(axis, [(item.dataset, getattr(item, kind)) for item in embeddings], colors)
            axis.set_title(escape_math(f"{title}: {kind} embeddings"))
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(visible=True, color="#dfe2e6")
        _dataset_legend(figure, colors, titles)
        return svg_of(figure)


def _scatter_embedded(axis: Axes, parts: Sequence[tuple[str, np.ndarray]], colors: Mapping[str, Any]) -> None:
    names = [name for name, vectors in parts for _ in vectors]
    vectors = np.concatenate([part for _, part in parts]).astype(np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    distinct, inverse = np.unique(vectors.round(6), axis=0, return_inverse=True)
    if len(distinct) < MIN_TSNE_POINTS:
        message = f"too few for a t-SNE\n(distinct vectors: {len(distinct)})"
        axis.text(0.5, 0.5, message, ha="center", va="center", transform=axis.transAxes, color="#5a6069")
        return
    places = _tsne(distinct)[inverse]
    axis.scatter(places[:, 0], places[:, 1], s=12, c=[colors[name] for name in names], alpha=0.85, linewidths=0)


def _tsne(vectors: np.ndarray) -> np.ndarray:
    """Return the 2D coordinates (N, 2) of vectors (N, D)."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)  # from thread pools of some machines
        tsne = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", metric="cosine", random_state=SEED)
        placed: np.ndarray = tsne.fit_transform(vectors)
    return placed


def reliability_figure(panels: Mapping[str, Sequence[ReliabilityPoint]]) -> str:
    """Draw a reliability diagram for each experiment: the share of foreground against the probability.

    Args:
        panels: bins that are not empty, by the titles of model and method.

    Returns:
        SVG.
    """
    columns = min(5, len(panels))
    rows = math.ceil(len(panels) / columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(2.2 * columns + 0.4, 2.3 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        for axis, (title, points) in zip(axes.flat, panels.items(), strict=False):
            axis.plot([0, 1], [0, 1], color="#8a8f98", linewidth=0.8, linestyle="--")
            probabilities, shares = [point.probability for point in points], [point.share for point in points]
            axis.plot(probabilities, shares, color="#2c5a8c", linewidth=1.2)
            sizes = [4 + 3 * math.log10(point.pixels) for point in points]
            axis.scatter(probabilities, shares, s=sizes, color="#2c5a8c", linewidths=0)
            axis.set_title(escape_math(title), fontsize=8)
            axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        figure.supxlabel("mean probability", fontsize=9)
        figure.supylabel("share of foreground", fontsize=9)
        return svg_of(figure)


def _titles(points: Sequence[TrialPoint]) -> list[str]:
    return list(dict.fromkeys(point.title for point in points))


def _dataset_colors(points: Sequence[TrialPoint]) -> dict[str, Any]:
    return _colors(ordered_datasets(point.dataset for point in points))


def _colors(names: Sequence[str]) -> dict[str, Any]:
    palette = colormaps["tab10" if len(names) <= 10 else "tab20"]
    return {name: palette(index % palette.N) for index, name in enumerate(names)}


def _dataset_legend(figure: Figure, colors: Mapping[str, Any], titles: Mapping[str, str]) -> None:
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=5, color=color, label=escape_math(titles.get(name, name)))
        for name, color in colors.items()
    ]
    figure.legend(handles=handles, loc="outside right center")
