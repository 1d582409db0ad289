"""Checks of the arguments of several methods."""

from __future__ import annotations

__all__ = ["check_positive", "check_probability"]


def check_positive(**values: int) -> None:
    """Check that widths and numbers are whole and at least 1.

    Raises:
        ValueError: when one is not; names it.
    """
    for name, value in values.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1.")


def check_probability(dropout: float) -> None:
    """Check a dropout probability.

    Raises:
        ValueError: when it is outside 0..1, or 1.
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is {dropout}; it must be from 0 to below 1.")
