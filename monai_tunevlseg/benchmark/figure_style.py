"""The style of the report's figures, and their form as SVG."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

__all__ = ["STYLE", "escape_math", "svg_of"]

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
    "svg.hashsalt": "tunevlseg",  # makes files reproducible
}


def escape_math(text: str) -> str:
    """Escape dollar signs, which matplotlib would read as math."""
    return text.replace("$", r"\$")


def svg_of(figure: Figure) -> str:
    """Return a figure as SVG, the same for the same figure."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None}, facecolor="white")
    return stream.getvalue()
