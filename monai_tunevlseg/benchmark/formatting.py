"""Numbers, sizes and durations as the report and the progress lines show them."""

from __future__ import annotations

from monai_tunevlseg.benchmark.measure import Measure

__all__ = [
    "MISSING",
    "bytes_text",
    "count_text",
    "measure_text",
    "number_text",
    "p_text",
    "seconds_text",
    "shots_text",
    "signed_text",
]

MISSING = "–"


def count_text(value: int | None) -> str:
    """Return a count with separators, or a dash for None."""
    return MISSING if value is None else f"{value:,}"


def number_text(value: float | None, decimals: int = 2) -> str:
    """Return a number, or a dash for None."""
    return MISSING if value is None else f"{value:.{decimals}f}"


def measure_text(measure: Measure | None, decimals: int = 1) -> str:
    """Return a number with its spread over seeds and its interval, or a dash for None."""
    if measure is None:
        return MISSING
    spread = "" if measure.std is None else f" ± {measure.std:.{decimals}f}"
    interval = "" if measure.interval is None else " ({:.{d}f} to {:.{d}f})".format(*measure.interval, d=decimals)
    return number_text(measure.value, decimals) + spread + interval


def signed_text(value: float | None, decimals: int = 2) -> str:
    """Return a difference with its sign, or a dash for None."""
    return MISSING if value is None else f"{value:+.{decimals}f}".replace("-", "−")


def p_text(value: float | None) -> str:
    """Return a p-value, or a dash for None."""
    return MISSING if value is None else f"{value:.2g}"


def shots_text(num_shots: int | None) -> str:
    """Return a number of training images per class, or that of all of them for None."""
    return "all images" if num_shots is None else f"{num_shots} image{'s' if num_shots > 1 else ''} per class"


def bytes_text(value: float | None) -> str:
    """Return a size in decimal units, or a dash for None."""
    if value is None:
        return MISSING
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def seconds_text(value: float | None) -> str:
    """Return a duration in one unit or in its two largest ones, or a dash for None."""
    if value is None:
        return MISSING
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"
