import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_tunevlseg.evaluation import holm_adjusted


def test_holm_by_hand():
    """0.01 * 3; 0.03 * 2; 0.04 * 1, which is raised to the one before; None does not count."""
    assert holm_adjusted([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert holm_adjusted([0.5, 0.9]) == [1.0, 1.0]
    assert holm_adjusted([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_lowers(p_values):
    corrected = holm_adjusted(p_values)
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    ranked = sorted(zip(p_values, corrected, strict=True))
    assert [c for _, c in ranked] == sorted(c for _, c in ranked)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_as_many_as_stepping_down(p_values):
    """Holm's own description: from the smallest, reject while p is at most the level over the number of tests left."""
    level, rejected = 0.05, 0
    for left, p in zip(range(len(p_values), 0, -1), sorted(p_values), strict=True):
        if p * left > level:
            break
        rejected += 1
    assert sum(p <= level for p in holm_adjusted(p_values)) == rejected
