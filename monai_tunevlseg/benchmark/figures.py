"""Figures 4 to 7 of the paper from stored results."""

from __future__ import annotations

import io
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
from monai_tunevlseg.benchmark.results import RATES
from monai_tunevlseg.benchmark.tables import ordered_datasets

__all__ = ["Line", "Point", "depth_figures", "embedding_figure", "fit_line", "rates_figure"]

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8f98",
    "axes.labelcolor": "#33373d",
    "xtick.color": "#5a6069",
    "ytick.color": "#5a6069",
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "tunevlseg",  # so that the same results give the same file
}
PANEL = 2.7  # inches
LEAST_POINTS = 5  # for a t-SNE
SEED = 0


@dataclass(frozen=True)
class Point:
    """A trial in a figure.

    Attributes:
        dataset: name of its dataset.
        title: of its model and method.
        textual: whether only the text encoder has prompts.
        dice: on the test split, in percent.
        hyperparameters: of the trial.
    """

    dataset: str
    title: str
    textual: bool
    dice: float
    hyperparameters: Mapping[str, float | str]

    def number(self, name: str) -> float | None:
        """Return a hyperparameter, or None where the trial has no number of that name."""
        value = self.hyperparameters.get(name)
        return value if isinstance(value, float) else None


@dataclass(frozen=True)
class Line:
    """A least-squares line and how much of the variance it explains.

    Attributes:
        slope: per unit of x.
        intercept: at x = 0.
        r2: coefficient of determination; 0 where all y are the same.
    """

    slope: float
    intercept: float
    r2: float


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line | None:
    """Fit y = slope * x + intercept; None where all x are the same, or there are fewer than three points."""
    if len(x) < 3 or np.ptp(x) == 0:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    residual = np.asarray(y) - (slope * np.asarray(x) + intercept)
    total = float(((np.asarray(y) - np.mean(y)) ** 2).sum())
    return Line(float(slope), float(intercept), 1 - float((residual**2).sum()) / total if total else 0.0)


def depth_figures(points: Sequence[Point], titles: Mapping[str, str]) -> dict[int, str]:
    """Draw Figure 5, the methods of text alone in one plot, and Figure 6, a plot for each method.

    Args:
        points: the trials.
        titles: of the datasets, by name.

    Returns:
        SVG by the figure's number; a figure without points is missing.
    """
    deep = [point for point in points if point.number("prompt_depth") is not None]
    textual = [point for point in deep if point.textual]
    figures = {}
    with rc_context(STYLE):
        if textual:
            figures[5] = _svg(_depth_overlay(textual))
        if deep:
            figures[6] = _svg(_depth_panels(deep, titles))
    return figures


def _depth_overlay(points: Sequence[Point]) -> Figure:
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    for index, title in enumerate(_titles(points)):
        chosen = [point for point in points if point.title == title]
        color = colormaps["tab10"](index)
        depths, dice = _depths(chosen), [point.dice for point in chosen]
        shift = 0.08 * (index - len(_titles(points)) / 2)  # so that the methods do not hide one another
        line = _draw_line(axis, depths, dice, color)
        axis.scatter([x + shift for x in depths], dice, s=14, color=color, alpha=0.7, linewidths=0)
        axis.plot([], [], color=color, marker="o", markersize=4, label=_plain(f"{title}  {_explained(line)}"))
    _label_depth(axis)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _depth_panels(points: Sequence[Point], dataset_titles: Mapping[str, str]) -> Figure:
    titles = _titles(points)
    columns = min(4, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = Figure(figsize=(PANEL * columns + 1.2, PANEL * rows * 0.9), layout="constrained")
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
        axis.set_title(_plain(f"{title}  {_explained(line)}"))
        _label_depth(axis)
        axis.label_outer()
    _dataset_legend(figure, colors, dataset_titles)
    return figure


def _depths(points: Sequence[Point]) -> list[float]:
    return [depth for point in points if (depth := point.number("prompt_depth")) is not None]


def _draw_line(axis: Axes, x: Sequence[float], y: Sequence[float], color: Any) -> Line | None:
    line = fit_line(x, y)
    if line is not None:
        ends = np.array([min(x), max(x)])
        axis.plot(ends, line.slope * ends + line.intercept, color=color, linewidth=1.5)
    return line


def _explained(line: Line | None) -> str:
    return "R² –" if line is None else f"R² {line.r2:.2f}"


def _label_depth(axis: Axes) -> None:
    axis.set_xlabel("prompt depth")
    axis.set_ylabel("test Dice (%)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def rates_figure(points: Sequence[Point], titles: Mapping[str, str]) -> str | None:
    """Draw Figure 7: test Dice against learning rate and weight decay, and against each of them alone.

    Args:
        points: the trials.
        titles: of the datasets, by name.

    Returns:
        SVG, or None when no trial has both above 0, as the logarithmic axes need.
    """
    chosen = [p for p in points if all((p.number(name) or 0) > 0 for name in RATES)]
    if not chosen:
        return None
    rates, decays = ([p.number(name) or 0.0 for p in chosen] for name in RATES)
    dice = [point.dice for point in chosen]
    colors = _dataset_colors(chosen)
    with rc_context(STYLE):
        figure = Figure(figsize=(PANEL * 4 + 1.4, PANEL * 1.15), layout="constrained")
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
        return _svg(figure)


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """Return the powers of ten around values, with a little room."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return 10.0 ** (low - 0.1), 10.0 ** (max(high, low + 1) + 0.1)


def embedding_figure(embeddings: Sequence[Embeddings], titles: Mapping[str, str], title: str) -> str:
    """Draw Figure 4 for one base model: t-SNE of its text and image embeddings, colored by dataset.

    Args:
        embeddings: of one model, one for each dataset.
        titles: of the datasets, by name.
        title: of the model.
    """
    colors = _colors(ordered_datasets(item.dataset for item in embeddings))
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(PANEL * 3.4, PANEL * 1.35), layout="constrained")
        for axis, kind in zip(figure.subplots(1, 2), ("text", "image"), strict=True):
            _scatter_embedded(axis, [(item.dataset, getattr(item, kind)) for item in embeddings], colors)
            axis.set_title(_plain(f"{title}: {kind} embeddings"))
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(visible=True, color="#dfe2e6")
        _dataset_legend(figure, colors, titles)
        return _svg(figure)


def _scatter_embedded(axis: Axes, parts: Sequence[tuple[str, np.ndarray]], colors: Mapping[str, Any]) -> None:
    names = [name for name, vectors in parts for _ in vectors]
    vectors = np.concatenate([part for _, part in parts]).astype(np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    distinct, inverse = np.unique(vectors.round(6), axis=0, return_inverse=True)
    if len(distinct) < LEAST_POINTS:
        message = f"too few for a t-SNE\n(different vectors: {len(distinct)})"
        axis.text(0.5, 0.5, message, ha="center", va="center", transform=axis.transAxes, color="#5a6069")
        return
    places = _tsne(distinct)[inverse]
    axis.scatter(places[:, 0], places[:, 1], s=12, c=[colors[name] for name in names], alpha=0.85, linewidths=0)


def _tsne(vectors: np.ndarray) -> np.ndarray:
    """Place vectors, (N, D), in the plane: (N, 2)."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(vectors) - 1) / 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)  # of thread pools, which differ between machines
        tsne = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", metric="cosine", random_state=SEED)
        placed: np.ndarray = tsne.fit_transform(vectors)
    return placed


def _plain(text: str) -> str:
    """Return a text that matplotlib draws letter by letter, and not as a formula between two dollar signs."""
    return text.replace("$", r"\$")


def _titles(points: Sequence[Point]) -> list[str]:
    return list(dict.fromkeys(point.title for point in points))


def _dataset_colors(points: Sequence[Point]) -> dict[str, Any]:
    return _colors(ordered_datasets(point.dataset for point in points))


def _colors(names: Sequence[str]) -> dict[str, Any]:
    palette = colormaps["tab10" if len(names) <= 10 else "tab20"]
    return {name: palette(index % palette.N) for index, name in enumerate(names)}


def _dataset_legend(figure: Figure, colors: Mapping[str, Any], titles: Mapping[str, str]) -> None:
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=5, color=color, label=_plain(titles.get(name, name)))
        for name, color in colors.items()
    ]
    figure.legend(handles=handles, loc="outside right center")


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None}, facecolor="white")
    return stream.getvalue()
