"""Ranks of methods over datasets, and their diagram."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from sample_results import write_experiment

from monai_tunevlseg.benchmark import read_results
from monai_tunevlseg.benchmark.critical_difference_figure import critical_difference_figure
from monai_tunevlseg.benchmark.method_ranks import build_method_ranks
from monai_tunevlseg.evaluation import rank_over_datasets


def build(folder):
    return build_method_ranks(read_results(folder).experiments, "dice")


def texts(svg):
    """Return the texts of a figure, which Matplotlib writes as comments before the glyphs."""
    ElementTree.fromstring(svg)
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", svg)]


def test_methods_are_ranked_by_their_mean_over_the_seeds(tmp_path):
    for dataset in ("kvasir", "bkai"):
        write_experiment(tmp_path, f"{dataset}/clipseg_zero_shot", [10, 20])
        write_experiment(tmp_path, f"{dataset}/clipseg_vpt-seed0", [90, 90])
        write_experiment(tmp_path, f"{dataset}/clipseg_vpt-seed1", [50, 50])  # a mean of 70
        write_experiment(tmp_path, f"{dataset}/clipseg_coop", [80, 70])
        write_experiment(tmp_path, f"{dataset}/clipseg_coop-no_upsampler", [99, 99])  # of another table
    write_experiment(tmp_path, "kvasir/clipseg_maple", [99, 99])  # not on both datasets
    (found,) = build(tmp_path)
    assert [found.titles[name] for name in found.ranks.mean_ranks] == [
        "CLIPSeg CoOp",
        "CLIPSeg VPT",
        "CLIPSeg zero-shot",
    ]
    assert list(found.ranks.mean_ranks.values()) == [1, 2, 3]
    assert (found.datasets, found.left_out) == (["bkai", "kvasir"], ["CLIPSeg MaPLe"])
    assert "CLIPSeg MaPLe" in found.text and "3 methods on 2 datasets" in found.text
    assert not found.ranks.can_differ and "any two" in found.text
    assert {"CLIPSeg CoOp  1.00", "critical difference 2.34"} <= set(texts(found.figure))


def test_every_number_of_images_has_its_ranks(tmp_path):
    for dataset in ("kvasir", "bkai", "busi"):
        write_experiment(tmp_path, f"{dataset}/clipseg_zero_shot", [10, 20])
        for shots, scores in (("", (80, 70)), ("-shots4", (60, 65))):
            for method, score in zip(("vpt", "coop"), scores, strict=True):
                write_experiment(tmp_path, f"{dataset}/clipseg_{method}{shots}", [score, score])
    full, few = build(tmp_path)
    assert (full.num_shots, few.num_shots, full.name, few.name) == (None, 4, "ranks", "ranks_shots4")
    assert [next(iter(each.titles.values())) for each in (full, few)] == ["CLIPSeg VPT", "CLIPSeg CoOp"]


@pytest.mark.parametrize("datasets", [["kvasir"], ["kvasir", "bkai"]])
def test_too_few_datasets_or_methods_are_not_ranked(datasets, tmp_path):
    for dataset in datasets:
        for method in ("vpt", "coop", "maple")[: 3 if len(datasets) == 1 else 2]:
            write_experiment(tmp_path, f"{dataset}/clipseg_{method}", [80, 70])
    assert build(tmp_path) == []


def test_the_diagram_has_all_methods_and_a_bar_for_each_group():
    titles = {f"m{place}": f"Method ${place}" for place in range(20)}
    ranks = rank_over_datasets({name: [100.0 - place] * 8 for place, name in enumerate(titles)})
    assert len(ranks.groups) > 5
    svg = critical_difference_figure(ranks, titles)
    assert {f"Method ${place}  {place + 1:.2f}" for place in range(20)} <= set(texts(svg))
    assert svg.count("stroke: #2c5a8c; stroke-width: 3") == len(ranks.groups)
    assert svg == critical_difference_figure(ranks, titles)
