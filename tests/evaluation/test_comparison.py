from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from monai_tunevlseg.evaluation import (
    Bootstrap,
    PairScores,
    compare,
    compare_runs,
    compare_tables,
    crossed_mean,
    tabulate,
)

FEW = Bootstrap(resamples=500)


def run(scores, **common):
    """Return one pair for each {image: Dice}."""
    defaults = {"label_pixels": 1, "label_pixels_original": 4}
    return [PairScores(image, None, "x", "x", dice=dice, **defaults | common) for image, dice in scores.items()]


def test_differences_agree_with_scipy_by_hand():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(50, 90, 12), rng.uniform(55, 95, 12)
    names = [f"{number}.png" for number in range(12)]
    shuffled = list(zip(names, b, strict=True))
    rng.shuffle(shuffled)
    result = compare(
        run(dict(zip(names, a.tolist(), strict=True))), run({str(n): float(d) for n, d in shuffled}), bootstrap=FEW
    )
    assert (result.pairs, result.clusters) == (12, 12)
    assert result.difference == pytest.approx((b - a).mean())
    assert (result.mean_a, result.mean_b) == pytest.approx((a.mean(), b.mean()))
    expected = stats.wilcoxon(b, a)
    assert (result.wilcoxon_statistic, result.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    order = np.argsort(names)  # as the clusters are put in order
    drawn = stats.bootstrap(
        ((b - a)[order],), np.mean, n_resamples=500, batch=1000, method="BCa", rng=np.random.default_rng(0)
    )
    assert result.interval == pytest.approx(tuple(drawn.confidence_interval))


def test_signed_ranks_by_hand():
    first = run({"a": 50.0, "b": 50.0, "c": 50.0, "d": 50.0})
    second = run({"a": 51.0, "b": 52.0, "c": 53.0, "d": 46.0})
    result = compare(first, second, bootstrap=FEW)
    assert result.difference == 0.5
    assert result.wilcoxon_statistic == 4  # the ranks 1 + 2 + 3 against 4
    assert result.p_value == 14 / 16  # 7 of the 16 signs give a rank sum this small or smaller


def test_pairs_of_one_image_count_as_one_in_the_test():
    first = run({"a": 50.0}) + [replace(case, class_name="y") for case in run({"a": 50.0, "b": 50.0})]
    second = run({"a": 60.0}) + [replace(case, class_name="y") for case in run({"a": 80.0, "b": 45.0})]
    result = compare(first, second, bootstrap=FEW)
    assert (result.pairs, result.clusters) == (3, 2)
    assert result.difference == pytest.approx((10 + 30 - 5) / 3)  # of the pairs
    expected = stats.wilcoxon([20, -5])
    assert (result.wilcoxon_statistic, result.p_value) == (expected.statistic, expected.pvalue)


def test_slices_and_groups_are_clusters():
    def volume(scores, group):
        return [
            PairScores(f"{patient}{number}.nii.gz", number, "x", "x", group=patient if group else None, dice=score)
            for patient, values in scores.items()
            for number, score in enumerate(values)
        ]

    scores = {"p": [50.0, 60.0], "q": [70.0, 80.0]}
    better = {"p": [55.0, 70.0], "q": [71.0, 85.0]}
    assert compare(volume(scores, False), volume(better, False), bootstrap=FEW).clusters == 4
    assert compare(volume(scores, True), volume(better, True), bootstrap=FEW).clusters == 2


def test_pairs_of_one_run_only_are_named_and_left_out():
    result = compare(run({"a": 50.0, "b": 60.0, "only": 0.0}), run({"b": 70.0, "a": 50.0, "extra": 9.0}), bootstrap=FEW)
    assert (result.pairs, result.difference) == (2, 5)
    assert (result.only_in_a, result.only_in_b, result.unmeasured) == (["only 'x'"], ["extra 'x'"], [])


def test_pairs_without_the_score_are_named_and_left_out():
    first = [replace(case, hd95=hd95) for case, hd95 in zip(run(dict.fromkeys("abc", 50.0)), (4, None, 4), strict=True)]
    second = [
        replace(case, hd95=hd95) for case, hd95 in zip(run(dict.fromkeys("abc", 60.0)), (3, 3, None), strict=True)
    ]
    result = compare(first, second, "hd95", bootstrap=FEW)
    assert (result.pairs, result.difference, result.unmeasured) == (1, -1, ["b 'x'", "c 'x'"])
    assert result.interval is None


def test_foreground_only():
    first = run({"a": 50.0}) + run({"empty": 100.0}, label_pixels=0, label_pixels_original=0)
    second = run({"a": 60.0}) + run({"empty": 0.0}, label_pixels=0, label_pixels_original=0)
    assert compare(first, second, bootstrap=FEW).difference == -45
    result = compare(first, second, foreground_only=True, bootstrap=FEW)
    assert (result.pairs, result.difference) == (1, 10)
    with pytest.raises(ValueError, match="1 common pairs with foreground.*'dice'"):
        compare(first[1:], second[1:], foreground_only=True)


def test_a_run_against_itself_has_no_difference_and_no_test():
    result = compare(run({"a": 50.0, "b": 60.0}), run({"a": 50.0, "b": 60.0}), bootstrap=FEW)
    assert (result.difference, result.interval, result.p_value) == (0, None, None)


def test_swapping_the_runs_changes_the_sign_only():
    first, second = run({"a": 50.0, "b": 61.0, "c": 70.0}), run({"a": 53.0, "b": 60.0, "c": 78.0})
    there, back = compare(first, second, bootstrap=FEW), compare(second, first, bootstrap=FEW)
    assert there.difference == -back.difference
    assert there.p_value == back.p_value


@pytest.mark.parametrize(
    ("second", "metric", "message"),
    [
        (run({"z": 50.0}), "dice", "a 'x'.* z 'x'"),
        (run({"a": 50.0}), "quality", "metric 'quality'.*dice, iou"),
        (run({"a": 50.0}, label_pixels_original=5), "dice", "1 of 1 .*masks.*a 'x'"),
        (run({"a": 50.0}), "hd95", "1 common pairs.*'hd95'"),
    ],
)
def test_what_cannot_be_compared_is_refused(second, metric, message):
    with pytest.raises(ValueError, match=message):
        compare(run({"a": 50.0}), second, metric)


@pytest.mark.parametrize("size", [1e-10, 9e-10, 1e-8])
def test_interval_and_test_agree_on_rounding_errors(size):
    scores = {f"{number}": 50.0 + number for number in range(8)}
    other = {name: score + size * (-1) ** int(name) for name, score in scores.items()}
    result = compare(run(scores), run(other), bootstrap=FEW)
    assert (result.interval is None) == (result.p_value is None) == (size < 1e-9)


def test_rounding_takes_no_rank():
    scores = {"a": 50.0, "b": 50.0, "c": 50.0, "d": 50.0}
    exact = compare(run(scores), run({"a": 51.0, "b": 52.0, "c": 47.0, "d": 50.0}), bootstrap=FEW)
    rounded = compare(run(scores), run({"a": 51.0, "b": 52.0, "c": 47.0, "d": 50.0 + 1e-12}), bootstrap=FEW)
    assert (rounded.wilcoxon_statistic, rounded.p_value) == (exact.wilcoxon_statistic, exact.p_value)


def test_a_metric_that_one_run_lacks_is_refused_with_those_of_both():
    first = [replace(pair, dice_original=40.0, iou_original=30.0) for pair in run({"a": 50.0, "b": 60.0})]
    second = [replace(pair, dice=None) for pair in first]
    with pytest.raises(ValueError, match=r"'dice'.* dice_original, iou_original\."):
        compare(first, second)
    assert compare(first, second, "dice_original").difference == 0


def runs_of(scores):
    """Return runs of scores (S, P)."""
    return [run({f"{number:02}": float(dice) for number, dice in enumerate(of_run)}) for of_run in scores]


@pytest.fixture
def scores():
    """Two sets of three runs on 20 images, with effects of the seed and of the image."""
    rng = np.random.default_rng(5)
    images = rng.uniform(50, 90, 20)
    return [images + shift + rng.normal(0, 1, (3, 1)) + rng.normal(0, 1, (3, 20)) for shift in (0, 3)]


def test_runs_with_the_same_seeds_are_compared_seed_by_seed(scores):
    first, second = scores
    result = compare_runs(runs_of(first), runs_of(second), bootstrap=FEW)
    names = [f"{number:02}" for number in range(20)]
    expected = crossed_mean([second - first], names, FEW)
    assert result.difference == pytest.approx(second.mean() - first.mean())
    assert (result.interval, result.p_value_seeds) == (
        pytest.approx(expected.interval),
        pytest.approx(expected.p_value),
    )
    wilcoxon = stats.wilcoxon(second.mean(axis=0) - first.mean(axis=0))  # the seeds as they are
    assert (result.wilcoxon_statistic, result.p_value) == pytest.approx((wilcoxon.statistic, wilcoxon.pvalue))
    assert (result.runs_a, result.runs_b) == (3, 3)
    assert (result.std_a, result.std_b) == pytest.approx(tuple(np.std(s.mean(axis=1), ddof=1) for s in scores))


def test_another_seed_counts_as_luck(scores):
    """Differences of +1 and -1 with two seeds: over the images they are sure, over the seeds they are not."""
    first = scores[0][:2]
    second = first + np.array([[4.0], [-1.0]])
    result = compare_runs(runs_of(first), runs_of(second), bootstrap=FEW)
    assert result.p_value < 1e-4 and result.p_value_seeds > 0.5
    low, high = result.interval
    assert low < 0 < high


def test_seeds_that_differ_are_independent(scores):
    first, second = (
        tabulate(runs[0], "dice").stack([tabulate(r, "dice") for r in runs[1:]]) for runs in map(runs_of, scores)
    )
    paired, apart = (compare_tables(first, second, bootstrap=FEW, same_seeds=same) for same in (True, False))
    expected = crossed_mean([scores[1], -scores[0]], first.clusters, FEW)
    assert apart.p_value_seeds == pytest.approx(expected.p_value) != paired.p_value_seeds
    assert apart.difference == pytest.approx(paired.difference)
    assert compare_runs(runs_of(scores[0]), runs_of(scores[1][:2]), bootstrap=FEW).p_value_seeds is not None


def test_a_single_run_is_compared_with_each_of_several(scores):
    result = compare_runs(runs_of(scores[0][:1]), runs_of(scores[1]), bootstrap=FEW)
    expected = crossed_mean([scores[1] - scores[0][:1]], [f"{number:02}" for number in range(20)], FEW)
    assert result.p_value_seeds == pytest.approx(expected.p_value)
    assert (result.runs_a, result.std_a) == (1, None)
    assert compare_runs(runs_of(scores[0][:1]), runs_of(scores[1][:1]), bootstrap=FEW).p_value_seeds is None


def test_runs_of_a_set_on_other_pairs_are_refused(scores):
    runs = runs_of(scores[0])
    runs[1] = runs[1][:-1]
    with pytest.raises(ValueError, match="19 'x'"):
        compare_runs(runs, runs_of(scores[1]), bootstrap=FEW)
