"""Selection of experiments, and the estimate of their time."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from monai_tunevlseg.benchmark import VARIANTS, ExperimentSpec, Group
from monai_tunevlseg.benchmark.benchmark_runner import estimate_seconds
from monai_tunevlseg.benchmark.experiment_selection import (
    all_experiments,
    check_hyperparameters,
    select_experiments,
    titles_of,
)
from monai_tunevlseg.benchmark.presets import PRESETS
from monai_tunevlseg.bundles import experiment_names, read_facts
from monai_tunevlseg.data.absent_texts import POOL_FILE
from monai_tunevlseg.methods import METHODS, Adapter, PromptLearner, TextContextLearner
from monai_tunevlseg.networks import IMAGE_ONLY_NETWORKS, VLSMS

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS, BUNDLES = REPOSITORY / "configs", REPOSITORY / "bundles"


def names(patterns, variants=()):
    return names_in(CONFIGS, patterns, variants)


def names_in(configs, patterns, variants=()):
    return [spec.name for spec in select_experiments(configs, patterns, variants, BUNDLES)]


def test_all_experiments():
    specs = all_experiments(CONFIGS)
    assert len(set(specs)) == len(specs)
    assert {spec.name for spec in specs} == {spec.experiment for spec in specs} == set(experiment_names(CONFIGS))
    assert {spec.method for spec in specs if not spec.trains} == {"zero_shot"}
    assert {spec.method for spec in specs if spec.group is Group.FINE_TUNING} == {"decoder", "finetune"}


def test_the_group_follows_from_the_class_of_the_method():
    groups = {spec.method: spec.group for spec in all_experiments(CONFIGS)}
    for name in METHODS:
        assert (groups[name] is Group.ADAPTERS) == issubclass(METHODS[name], Adapter)
        assert (groups[name] is Group.PROMPTS) == issubclass(METHODS[name], PromptLearner)
    for name, group in groups.items():
        facts = read_facts(CONFIGS / "methods" / f"{name}.yaml")
        assert facts.get("baseline", False) == (group not in (Group.PROMPTS, Group.ADAPTERS))


def test_networks_that_read_no_text_are_image_only():
    models = {spec.model for spec in all_experiments(CONFIGS) if spec.group is Group.IMAGE_ONLY}
    assert models == set(IMAGE_ONLY_NETWORKS)


def test_patterns():
    assert names(["kvasir/clipseg_vpt"]) == ["kvasir/clipseg_vpt"]
    assert set(names(["kvasir/*"])) == {name for name in experiment_names(CONFIGS) if name.startswith("kvasir/")}
    assert names(["kvasir/*", "kvasir/cris_*"]) == names(["kvasir/*"])
    assert names(["kvasir/*"])[: len(VLSMS)] == [f"kvasir/{model}_zero_shot" for model in sorted(VLSMS)]
    assert names(["kvasir/*"])[-2:] == [f"kvasir/{max(VLSMS)}_finetune", "kvasir/unet_scratch"]


def test_variants_are_added_to_the_methods_that_they_change():
    plain = names(["kvasir/*"])
    added = names(["kvasir/*"], list(VARIANTS))[len(plain) :]
    methods = [name for name in plain if name.partition("_")[2] in set(METHODS)]
    assert [name for name in added if name.endswith("-decoder")] == [f"{name}-decoder" for name in methods]
    initialized = [name for name in methods if issubclass(METHODS[name.partition("_")[2]], TextContextLearner)]
    assert {"kvasir/clipseg_maple", "kvasir/cris_coop", "kvasir/sam3_cocoop"} <= set(initialized)
    assert [name for name in added if name.endswith("-gaussian")] == [f"{name}-gaussian" for name in initialized]
    with_upsampler = [name for name in methods if issubclass(METHODS[name.partition("_")[2]], PromptLearner)]
    assert [name for name in added if name.endswith("-no_upsampler")] == [f"{n}-no_upsampler" for n in with_upsampler]


def test_the_preset_obedience_trains_without_and_with_negative_texts():
    preset = PRESETS["obedience"]
    specs = select_experiments(CONFIGS, preset.patterns, preset.variants, BUNDLES, preset.seeds)
    trained = Counter((spec.dataset, spec.method, spec.seed) for spec in specs if spec.trains)
    assert len(trained) == 3 * 4 * 3 and set(trained.values()) == {3}  # datasets, methods, seeds; variants
    assert {spec.variant for spec in specs} == {None, "negative_texts", "robust"}
    pool = [text for kind in json.loads(POOL_FILE.read_text()).values() for text in kind["texts"]]
    assert set(preset.fixed["negative_source"]) < set(pool)  # the others are those that no training draws


def test_the_preset_curves_has_every_number_of_images_with_every_seed():
    preset = PRESETS["curves"]
    specs = select_experiments(CONFIGS, preset.patterns, preset.variants, BUNDLES, preset.seeds, preset.shots)
    trained = [spec for spec in specs if spec.trains]
    assert len(set(trained)) == len(trained) == 3 * 5 * 4 * 3  # datasets, bundles, shots, seeds
    assert {spec.num_shots for spec in trained} == {4, 16, 64, None} and {spec.seed for spec in trained} == {0, 1, 2}
    assert {spec.method for spec in trained} == {"vpt", "maple", "coop", "lora", "scratch"}
    assert len(specs) == len(trained) + 3  # zero-shot, for comparison
    check_hyperparameters(specs, preset.fixed, CONFIGS, BUNDLES)
    assert 0.75 * preset.num_images > 64  # training images, more than the most shots


def test_the_recipe_of_a_variant_is_read_from_the_configs(tmp_path):
    written = yaml.safe_load((CONFIGS / "recipes" / "robust.yaml").read_text())
    assert VARIANTS["robust"].changes(CONFIGS) == written and written["negative_texts"] > 0
    assert names(["kvasir/clipseg_lora", "kvasir/unet_*"], ["robust"])[-1] == "kvasir/clipseg_lora-robust"
    configs = shutil.copytree(CONFIGS, tmp_path / "configs")
    recipe = configs / "recipes" / "robust.yaml"
    recipe.write_text("negative_texts: 7\n")
    assert VARIANTS["robust"].changes(configs) == {"negative_texts": 7}
    recipe.write_text("negative_texts: 0\n")  # that of every bundle
    assert names_in(configs, ["kvasir/clipseg_lora"], ["robust"]) == ["kvasir/clipseg_lora"]
    recipe.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(recipe))):
        names_in(configs, ["kvasir/clipseg_lora"], ["robust"])


def test_every_seed_is_a_run_of_what_trains():
    patterns = ["kvasir/clipseg_vpt", "kvasir/clipseg_zero_shot", "kvasir/clipseg_finetune"]
    specs = select_experiments(CONFIGS, patterns, ["decoder"], BUNDLES, seeds=[0, 7])
    trained = ["clipseg_vpt", "clipseg_finetune", "clipseg_vpt-decoder"]
    seeded = [f"kvasir/{name}-seed{seed}" for seed in (0, 7) for name in trained]
    assert [spec.name for spec in specs] == ["kvasir/clipseg_zero_shot", *seeded]
    assert {spec.seed for spec in specs if spec.trains} == {0, 7}


def test_shots_and_seeds_are_runs_of_what_trains():
    patterns, shots = ["kvasir/clipseg_vpt", "kvasir/clipseg_zero_shot"], [4, None]
    alone = select_experiments(CONFIGS, patterns, [], BUNDLES, shots=shots)
    assert [spec.name for spec in alone] == [f"kvasir/clipseg_{name}" for name in ("zero_shot", "vpt-shots4", "vpt")]
    specs = select_experiments(CONFIGS, patterns, ["decoder"], BUNDLES, seeds=[0, 7], shots=shots)
    assert [spec.name for spec in specs[:3]] == [
        "kvasir/clipseg_zero_shot",
        "kvasir/clipseg_vpt-shots4-seed0",
        "kvasir/clipseg_vpt-decoder-shots4-seed0",
    ]
    assert len(set(specs)) == len(specs) == 1 + 2 * 2 * 2
    assert {spec.searched.name for spec in specs if spec.trains} == {"kvasir/clipseg_vpt", "kvasir/clipseg_vpt-decoder"}


@pytest.mark.parametrize(
    ("num_shots", "seed", "expected"),
    [
        (None, None, {}),
        (None, 7, {"seed": 7}),
        (4, None, {"num_shots": 4}),
        (4, 0, {"num_shots": 4, "seed": 0, "subset_seed": 0}),
    ],
)
def test_each_seed_draws_other_shots(num_shots, seed, expected):
    assert ExperimentSpec("kvasir", "clipseg", "vpt", None, num_shots, seed).run_hyperparameters == expected


@pytest.mark.parametrize(
    ("patterns", "variants", "message"),
    [
        (["kvasir/clipseg_vtp"], [], "'kvasir/clipseg_vtp'.* kvasir/clipseg_vpt"),
        (["kvasir/*", "kwasir/*"], [], r"'kwasir/\*'.* kvasir/"),
        (["kvasir/*"], ["gausian"], "'gausian'.* decoder, .*gaussian, no_upsampler"),
    ],
)
def test_unknown_names_are_refused(patterns, variants, message):
    with pytest.raises(ValueError, match=message):
        names(patterns, variants)


def test_folder_without_configs(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path))):
        select_experiments(tmp_path, ["*"], [], BUNDLES)


@pytest.mark.parametrize("experiment", ["kvasir/clipseg_zero_shot", "kvasir/clipseg_vpt"])
def test_hyperparameters_of_bundles_with_and_without_training(experiment):
    specs = select_experiments(CONFIGS, [experiment], [], BUNDLES)
    check_hyperparameters(specs, ["pretrained"], CONFIGS, BUNDLES)
    with pytest.raises(ValueError, match="'pretraind'.* pretrained"):
        check_hyperparameters(specs, ["pretraind"], CONFIGS, BUNDLES)


def test_titles():
    assert titles_of(CONFIGS, ExperimentSpec("kvasir", "clipseg", "vpt")) == (
        {"dataset": "Kvasir-SEG", "model": "CLIPSeg", "method": "VPT"},
        ["vision"],
    )
    assert titles_of(CONFIGS, ExperimentSpec("ultrasound", "cris", "zero_shot"))[0]["dataset"] == "Ultrasound"


def test_estimate_uses_the_most_similar_experiments():
    finished = {
        ExperimentSpec("a", "clipseg", "vpt"): 100.0,
        ExperimentSpec("b", "clipseg", "vpt"): 200.0,
        ExperimentSpec("a", "clipseg", "coop"): 60.0,
        ExperimentSpec("a", "clipseg", "zero_shot", group=Group.ZERO_SHOT): 5.0,
    }
    assert estimate_seconds([ExperimentSpec("c", "clipseg", "vpt")], finished) == pytest.approx(150)  # the same bundle
    assert estimate_seconds([ExperimentSpec("c", "cris", "coop")], finished) == pytest.approx(60)  # the same method
    assert estimate_seconds([ExperimentSpec("c", "clipseg", "maple")], finished) == pytest.approx(
        120
    )  # all with training
    assert estimate_seconds(
        [ExperimentSpec("c", "cris", "zero_shot", group=Group.ZERO_SHOT)], finished
    ) == pytest.approx(5)
    few = ExperimentSpec("a", "clipseg", "vpt", num_shots=4)
    with_few = {**finished, few: 10.0, replace(few, dataset="b", num_shots=1): 2.0}
    assert estimate_seconds([replace(few, dataset="c", seed=3)], with_few) == pytest.approx(10)
    assert estimate_seconds([replace(few, dataset="c", num_shots=None)], with_few) == pytest.approx(150)
    assert estimate_seconds([replace(few, method="coop")], with_few) == pytest.approx(60)  # with other shots
    assert estimate_seconds([], finished) == 0
    assert estimate_seconds([ExperimentSpec("c", "clipseg", "vpt")], {}) is None
    only_quick = {ExperimentSpec("a", "clipseg", "zero_shot", group=Group.ZERO_SHOT): 5.0}
    assert estimate_seconds([ExperimentSpec("c", "clipseg", "vpt")], only_quick) is None
