"""Which entries are planned, and the estimate of the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_tunevlseg.benchmark import VARIANTS, Entry
from monai_tunevlseg.benchmark.planning import all_entries, estimate_seconds, plan_entries, titles_of
from monai_tunevlseg.bundles import experiment_names

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS, BUNDLES = REPOSITORY / "configs", REPOSITORY / "bundles"


def names(patterns, variants=()):
    return [entry.name for entry in plan_entries(CONFIGS, patterns, variants, BUNDLES)]


def test_all_experiments_and_zero_shot_are_entries():
    entries = all_entries(CONFIGS)
    assert len(set(entries)) == len(entries)
    assert {entry.name for entry in entries if entry.method != "zero_shot"} == set(experiment_names(CONFIGS))
    assert {entry.experiment for entry in entries} == set(experiment_names(CONFIGS))
    datasets = {entry.dataset for entry in entries}
    assert sum(entry.method == "zero_shot" for entry in entries) == 2 * len(datasets)


def test_patterns():
    assert names(["kvasir/clipseg_vpt"]) == ["kvasir/clipseg_vpt"]
    assert len(names(["kvasir/*"])) == 12  # eight combinations, fine-tuning and zero-shot of two models
    assert names(["kvasir/*", "kvasir/cris_*"]) == names(["kvasir/*"])
    assert names(["kvasir/*"])[:2] == ["kvasir/clipseg_zero_shot", "kvasir/cris_zero_shot"]


def test_variants_are_added_where_they_change_something():
    added = names(["kvasir/*"], list(VARIANTS))[12:]
    gaussian = [name for name in added if name.endswith("-gaussian")]
    assert [name.removesuffix("-gaussian") for name in gaussian] == [
        "kvasir/clipseg_cocoop",
        "kvasir/clipseg_coop",
        "kvasir/clipseg_maple",
        "kvasir/cris_cocoop",
        "kvasir/cris_coop",
    ]
    assert sum(name.endswith("-no_upsampler") for name in added) == 8


@pytest.mark.parametrize(
    ("patterns", "variants", "message"),
    [
        (["kvasir/clipseg_vtp"], [], "no experiment matches 'kvasir/clipseg_vtp'; near to it are kvasir/clipseg_vpt"),
        (["kvasir/*", "kwasir/*"], [], r"no experiment matches 'kwasir/\*'; near to it are .*kvasir/"),
        (["kvasir/*"], ["gausian"], "no variant 'gausian'; known are gaussian, no_upsampler"),
    ],
)
def test_what_does_not_exist_is_named(patterns, variants, message):
    with pytest.raises(ValueError, match=message):
        names(patterns, variants)


def test_another_folder_is_no_repository(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no experiments"):
        plan_entries(tmp_path, ["*"], [], BUNDLES)


def test_titles():
    assert titles_of(CONFIGS, Entry("kvasir", "clipseg", "vpt")) == (
        {"dataset": "Kvasir-SEG", "model": "CLIPSeg", "method": "VPT"},
        ["vision"],
    )
    assert titles_of(CONFIGS, Entry("ultrasound", "cris", "zero_shot"))[0]["dataset"] == "Ultrasound"


def test_estimate_takes_what_is_most_alike():
    taken = {
        Entry("a", "clipseg", "vpt"): 100.0,
        Entry("b", "clipseg", "vpt"): 200.0,
        Entry("a", "clipseg", "coop"): 60.0,
        Entry("a", "clipseg", "zero_shot"): 5.0,
    }
    assert estimate_seconds([Entry("c", "clipseg", "vpt")], taken) == pytest.approx(150)  # the same bundle
    assert estimate_seconds([Entry("c", "cris", "coop")], taken) == pytest.approx(60)  # the same method
    assert estimate_seconds([Entry("c", "clipseg", "maple")], taken) == pytest.approx(120)  # any that trains
    assert estimate_seconds([Entry("c", "cris", "zero_shot")], taken) == pytest.approx(5)
    assert estimate_seconds([], taken) == 0
    assert estimate_seconds([Entry("c", "clipseg", "vpt")], {}) is None
    only_quick = {Entry("a", "clipseg", "zero_shot"): 5.0}
    assert estimate_seconds([Entry("c", "clipseg", "vpt")], only_quick) is None
