"""The correction of p-values for the number of tests."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["holm_adjusted"]


def holm_adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values with the step-down correction of Holm (1979); None stays None and does not count.

    Below a level such as 0.05, the probability of one or more false rejections among all tests is at most the level,
    whatever the dependence between the tests.
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        corrected[index] = highest
    return corrected
