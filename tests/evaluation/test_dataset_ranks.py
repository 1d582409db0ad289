"""Ranks over datasets, against Demsar (2006) and numbers computed by hand."""

import math

import pytest

from monai_tunevlseg.evaluation import rank_over_datasets
from monai_tunevlseg.evaluation.dataset_ranks import nemenyi_difference

BY_HAND = {"first": [90, 80, 70, 60], "second": [89, 79, 60, 61], "third": [80, 70, 65, 50]}


def test_ranks_and_the_test_by_hand():
    """Ranks 1 1 1 2, 2 2 3 1 and 3 3 2 3: Friedman's statistic is 4.5, its F 27 / 7, its p 0.4375**3."""
    found = rank_over_datasets(BY_HAND)
    assert found.mean_ranks == {"first": 1.25, "second": 2, "third": 2.75}
    assert found.p_value == pytest.approx(0.4375**3)
    assert found.datasets == 4


def test_critical_values_are_those_of_demsar():
    """His table 5(a), and his example of 4 classifiers on 14 data sets with a critical difference of 1.25."""
    values = [nemenyi_difference(k, 1) / math.sqrt(k * (k + 1) / 6) for k in range(2, 11)]
    assert values == pytest.approx([1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164], abs=1.5e-3)
    assert nemenyi_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_equal_scores_share_their_ranks():
    found = rank_over_datasets({"a": [50, 50], "b": [50 + 1e-9, 50], "c": [40, 40]})
    assert found.mean_ranks == {"a": 1.5, "b": 1.5, "c": 3}


def test_groups_are_the_longest_without_a_difference():
    """Four methods in the same order on 30 datasets differ by 1 each, and 0.86 are critical."""
    scores = {name: [100.0 - 10 * place] * 30 for place, name in enumerate("abcd")}
    apart = rank_over_datasets(scores)
    assert apart.groups == [] and apart.p_value == 0 and apart.can_differ
    near = rank_over_datasets({name: of_method[:15] for name, of_method in scores.items()})
    assert 1 < near.critical_difference < 2
    assert near.groups == [["a", "b"], ["b", "c"], ["c", "d"]]


def test_too_few_datasets_are_known():
    found = rank_over_datasets({name: [100.0 - 10 * place] * 2 for place, name in enumerate("abc")})
    assert not found.can_differ and found.groups == [["a", "b", "c"]]


def test_equal_methods_have_no_p_value():
    found = rank_over_datasets(dict.fromkeys("abc", [50.0, 60.0]))
    assert found.p_value is None and set(found.mean_ranks.values()) == {2}


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"a": [1, 2], "b": [2, 3]}, "not 2 methods"),
        (dict.fromkeys("abc", [1]), "with 1 scores"),
        ({"a": [1, 2], "b": [2, 3], "c": [1]}, "with 1, 2 scores"),
        ({}, "not 0 methods"),
    ],
)
def test_too_few_scores_are_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        rank_over_datasets(scores)
