import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_tunevlseg.evaluation import Bootstrap


def naive_percentile_interval(values, clusters, resamples=4000, seed=1):
    """Draw clusters with replacement, one draw after the other, and cut off 2.5 % of the means on each side."""
    rng = np.random.default_rng(seed)
    names = sorted(set(clusters))
    means = []
    for _ in range(resamples):
        drawn = [
            value
            for number in rng.integers(len(names), size=len(names))
            for value, cluster in zip(values, clusters, strict=True)
            if cluster == names[number]
        ]
        means.append(np.mean(drawn))
    return np.quantile(means, [0.025, 0.975])


def test_the_interval_is_near_that_of_a_naive_bootstrap():
    rng = np.random.default_rng(0)
    values = rng.uniform(40, 90, 40)  # symmetric, so that the correction for bias and skewness is small
    clusters = [str(number) for number in range(40)]
    low, high = Bootstrap(resamples=4000).interval(values, clusters)
    expected = naive_percentile_interval(values, clusters)
    width = expected[1] - expected[0]
    assert abs(low - expected[0]) < 0.1 * width
    assert abs(high - expected[1]) < 0.1 * width
    assert low < values.mean() < high


def test_pairs_of_one_image_are_drawn_together():
    rng = np.random.default_rng(0)
    image_effect = rng.normal(60, 15, 30)
    counts = rng.integers(1, 4, 30)
    clusters = [f"{number}" for number, count in enumerate(counts) for _ in range(count)]
    values = np.concatenate([np.full(count, effect) for count, effect in zip(counts, image_effect, strict=True)])
    low, high = Bootstrap(resamples=4000).interval(values, clusters)
    expected = naive_percentile_interval(values, clusters)
    assert high - low == pytest.approx(expected[1] - expected[0], rel=0.1)
    alone = Bootstrap(resamples=4000).interval(values, [str(number) for number in range(len(values))])
    assert alone[1] - alone[0] < 0.85 * (high - low)  # as if pairs were independent: too narrow


def test_of_many_intervals_95_percent_hold_the_true_mean():
    rng = np.random.default_rng(0)
    bootstrap = Bootstrap(resamples=400)
    clusters = [str(number) for number in range(30)]
    held = 0
    for _ in range(300):
        low, high = bootstrap.interval(100 * rng.beta(4, 2, 30), clusters)
        held += low <= 100 * 4 / 6 <= high
    assert 0.90 <= held / 300 <= 0.98


@pytest.mark.parametrize(
    ("values", "clusters"),
    [
        ([], []),
        ([50.0], ["a"]),
        ([50.0, 60.0, 70.0], ["a", "a", "a"]),
        ([50.0, 50.0], ["a", "b"]),
        ([0.1, 0.1, 0.1, 0.1], ["a", "a", "a", "b"]),
    ],
)
def test_an_undefined_interval_is_none(values, clusters):
    assert Bootstrap(resamples=100).interval(values, clusters) is None


def test_the_interval_depends_on_the_seed_and_on_nothing_else():
    values, clusters = [10.0, 40.0, 80.0, 90.0], list("abcd")
    first = Bootstrap(resamples=500, seed=3).interval(values, clusters)
    assert first == Bootstrap(resamples=500, seed=3).interval(values, clusters)
    assert first == Bootstrap(resamples=500, seed=3).interval(values[::-1], clusters[::-1])
    assert first != Bootstrap(resamples=500, seed=4).interval(values, clusters)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.sampled_from("abcde")), max_size=12))
def test_an_interval_lies_among_the_clusters_means(pairs):
    values, clusters = [value for value, _ in pairs], [cluster for _, cluster in pairs]
    interval = Bootstrap(resamples=50).interval(values, clusters)
    if interval is not None:
        means = [np.mean([value for value, of in pairs if of == cluster]) for cluster in set(clusters)]
        assert min(means) - 1e-9 <= interval[0] <= interval[1] <= max(means) + 1e-9


@pytest.mark.parametrize(("name", "value"), [("resamples", 0), ("level", 0), ("level", 1)])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value};"):
        Bootstrap(**{name: value})
