"""Fits and labels of the figures."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from monai_tunevlseg.benchmark.embeddings import Embeddings
from monai_tunevlseg.benchmark.figures import (
    ReliabilityPoint,
    TrialPoint,
    depth_figures,
    embedding_figure,
    fit_line,
    rates_figure,
    reliability_figure,
)


def texts(svg):
    """Return the texts of a figure, which Matplotlib writes as comments before the glyphs."""
    ElementTree.fromstring(svg)
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", svg)]


def point(dice, title="CLIPSeg CoOp", text_only=True, dataset="kvasir", **hyperparameters):
    return TrialPoint(dataset, title, text_only, dice, hyperparameters)


def test_line_by_hand():
    line = fit_line([1, 2, 3, 4], [1, 3, 2, 4])
    assert (line.slope, line.intercept) == pytest.approx((0.8, 0.5))
    assert line.r2 == pytest.approx(0.64)  # 1 - 1.8 / 5


@pytest.mark.parametrize(("x", "y"), [([2, 2, 2], [1, 2, 3]), ([1, 2], [1, 2]), ([], [])])
def test_no_line(x, y):
    assert fit_line(x, y) is None


def test_a_level_line_explains_nothing():
    assert fit_line([1, 2, 3], [5, 5, 5]).r2 == 0


def test_depth_figures_have_a_line_with_r2_for_each_method():
    points = [point(dice, prompt_depth=float(depth)) for depth, dice in zip([1, 2, 3, 4], [1, 3, 2, 4], strict=True)]
    points += [point(50, "CLIPSeg VPT", text_only=False, prompt_depth=2.0)]
    figures = depth_figures(points, {"kvasir": "Kvasir-SEG"})
    assert set(figures) == {5, 6}
    assert "CLIPSeg CoOp  R² 0.64" in texts(figures[5])
    assert not any("VPT" in text for text in texts(figures[5]))
    assert {"CLIPSeg CoOp  R² 0.64", "CLIPSeg VPT  R² –", "Kvasir-SEG"} <= set(texts(figures[6]))


def test_figures_without_points_are_left_out():
    assert depth_figures([], {}) == {}
    assert depth_figures([point(50, learning_rate=0.1)], {}) == {}
    assert rates_figure([point(50, prompt_depth=2.0)], {}) is None


def test_rates_figure():
    svg = rates_figure([point(50, learning_rate=1e-3, weight_decay=1e-4)], {"kvasir": "Kvasir-SEG"})
    assert {"learning rate", "weight decay", "test Dice (%)", "Kvasir-SEG"} <= set(texts(svg))


def embeddings(dataset, center, count=10, texts_of=3):
    rng = np.random.default_rng(center)
    images = rng.normal(size=(count, 8)) * 0.01 + np.eye(8)[center]
    return Embeddings(dataset, "clipseg", "CLIPSeg", rng.normal(size=(texts_of, 8)), images, ["a"] * texts_of)


def test_embedding_figure_is_reproducible_and_names_datasets():
    items = [embeddings("kvasir", 0), embeddings("busi", 1)]
    svg = embedding_figure(items, {"busi": "BUSI"}, "CLIPSeg")
    assert svg == embedding_figure(items, {"busi": "BUSI"}, "CLIPSeg")
    assert {"CLIPSeg: text embeddings", "CLIPSeg: image embeddings", "BUSI", "kvasir"} <= set(texts(svg))


def test_too_few_texts_for_a_t_sne():
    items = [embeddings("kvasir", 0, texts_of=1), embeddings("busi", 1, texts_of=1)]
    assert "too few for a t-SNE" in texts(embedding_figure(items, {}, "CLIPSeg"))


def test_reliability_diagrams_have_a_panel_for_each_experiment_and_a_dot_for_each_bin():
    points = [ReliabilityPoint(0.1, 0.2, 100), ReliabilityPoint(0.6, 0.5, 10), ReliabilityPoint(0.9, 1.0, 1)]
    svg = reliability_figure({"CLIPSeg VPT": points, "CRIS $x$": points[:1]})
    assert {"CLIPSeg VPT", "CRIS $x$", "mean probability", "share of foreground"} <= set(texts(svg))
    fewer = reliability_figure({"CLIPSeg VPT": points[:2], "CRIS $x$": points[:1]})
    assert svg.count("<path ") - fewer.count("<path ") == 1
