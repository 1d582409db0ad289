"""Search spaces: the paper's for the published models, scaled for other base models."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import optuna
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from tiny_methods import tiny_arguments

from monai_tunevlseg.bundles import bundle_names
from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.search.experiments import build_network, describe_base_model, find_experiment
from monai_tunevlseg.search.search_space import ScalingSizes, read_search_space, suggest

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
PUBLISHED = ScalingSizes(text_dim=512, joint_dim=1280, num_layers=12)
COMMON = {
    "learning_rate": FloatDistribution(1e-5, 5e-3, log=True),
    "weight_decay": FloatDistribution(1e-5, 0.01, log=True),
    "prompt_depth": IntDistribution(1, 11),
}
PROJECTIONS = {
    "intermediate_dim": CategoricalDistribution([32, 64, 96, 128]),
    "linear_projection": CategoricalDistribution([True, False]),
}
TABLE_2 = {
    "coop": COMMON,
    "vpt": COMMON,
    "cocoop": COMMON | PROJECTIONS,
    "maple": COMMON | PROJECTIONS,
    "shared_attention": COMMON
    | {
        "nhead": CategoricalDistribution([16, 20, 32]),
        "dim_feedforward": CategoricalDistribution([1280, 1420]),
        "dropout": FloatDistribution(0.1, 0.55),
        "norm_first": CategoricalDistribution([True, False]),
    },
    "shared_separate": COMMON | {"shared_dim": CategoricalDistribution([32, 64])},
}
ADAPTERS = {  # the values that the papers of the methods use
    "lora": {"learning_rate": 1e-3, "weight_decay": 1e-4, "lora_rank": 8, "lora_mlp": False, "dropout": 0.1},
    "vlsm_adapter": {"learning_rate": 1e-3, "weight_decay": 1e-3, "adapter_dim": 64},
    "telescopic_adapter": {"learning_rate": 1e-3, "weight_decay": 1e-3, "adapter_dim": 64, "dropout": 0.1},
}


@cache
def known(method):
    """Return the hyperparameters of the method's bundle with CLIPSeg."""
    return yaml.safe_load((ROOT / "bundles" / f"clipseg_{method}" / "configs" / "train.yaml").read_text())


def drawn(method, sizes):
    return {name: dimension.distribution for name, dimension in space_of(method, sizes).items()}


def space_of(method, sizes):
    return read_search_space(CONFIGS, method, known(method), sizes)


@pytest.mark.parametrize("method", TABLE_2)
def test_at_the_published_sizes_the_space_is_the_papers(method):
    space = space_of(method, PUBLISHED)
    assert {name: dimension.distribution for name, dimension in space.items()} == TABLE_2[method]
    assert not any("scaled" in dimension.describe() for dimension in space.values())


@pytest.mark.parametrize("method", ADAPTERS)
def test_the_space_of_an_adapter_has_its_papers_values_and_no_depth(method):
    space = read_search_space(CONFIGS, method, ADAPTERS[method], PUBLISHED)
    assert set(space) == set(ADAPTERS[method])
    for name, value in ADAPTERS[method].items():
        drawn_from = space[name].distribution
        choices = getattr(drawn_from, "choices", None)
        assert value in choices if choices else drawn_from.low <= value <= drawn_from.high, name


def test_every_bundle_has_a_space_of_its_own_hyperparameters():
    trained = [path for name in bundle_names(CONFIGS) for path in (ROOT / "bundles" / name).glob("configs/train.yaml")]
    assert len(trained) > len(TABLE_2)
    for path in trained:
        method = path.parts[-3].partition("_")[2]
        assert read_search_space(CONFIGS, method, yaml.safe_load(path.read_text()), PUBLISHED)


@pytest.mark.parametrize("name", [name for name in bundle_names(CONFIGS) if name.partition("_")[2] in set(METHODS)])
def test_the_tiny_models_take_the_largest_values(name, request):
    experiment = find_experiment(f"kvasir/{name}", CONFIGS, ROOT / "bundles")
    tiny = {"pretrained": str(request.getfixturevalue(f"tiny_{name.partition('_')[0]}_dir"))}
    sizes = describe_base_model(experiment, tiny).sizes
    space = read_search_space(CONFIGS, experiment.method, experiment.flat_values("train"), sizes)
    drawn_from = {dimension: space[dimension].distribution for dimension in space}
    largest = {key: max(getattr(d, "choices", None) or [d.high]) for key, d in drawn_from.items()}
    assert (
        build_network(experiment, tiny | tiny_arguments(experiment.method) | largest).identity()["method"]
        == experiment.method
    )


def test_the_choices_of_a_large_model_are_scaled():
    attention = space_of("shared_attention", ScalingSizes(text_dim=1024, joint_dim=2048, num_layers=24))
    assert attention["prompt_depth"].distribution == IntDistribution(1, 23)
    assert attention["nhead"].distribution.choices == (32, 64)  # divisors of 2048
    assert attention["dim_feedforward"].distribution.choices == (2048, 2272)


def test_fine_tuning_has_neither_depth_nor_the_rates_of_prompts():
    space = drawn("finetune", PUBLISHED)
    assert set(space) == {"learning_rate", "weight_decay"}
    assert space["learning_rate"].high < COMMON["learning_rate"].high


def test_the_choices_of_the_tiny_model_are_scaled():
    tiny = ScalingSizes(text_dim=64, joint_dim=192, num_layers=6)
    attention = space_of("shared_attention", tiny)
    assert attention["prompt_depth"].distribution == IntDistribution(1, 5)
    assert attention["nhead"].distribution.choices == (2, 3, 4)
    assert attention["dim_feedforward"].distribution.choices == (192, 213)
    assert attention["dropout"].distribution == FloatDistribution(0.1, 0.55)
    assert attention["nhead"].describe() == "2, 3, 4 (published: 16, 20, 32; scaled to the base model)"
    assert drawn("maple", tiny)["intermediate_dim"].choices == (4, 8, 12, 16)
    assert drawn("shared_separate", tiny)["shared_dim"].choices == (4, 8)
    adapter = read_search_space(CONFIGS, "vlsm_adapter", ADAPTERS["vlsm_adapter"], tiny)
    assert adapter["adapter_dim"].distribution.choices == (4, 8, 16)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 2048), st.integers(1, 4096), st.integers(1, 48))
def test_the_choices_fit_every_base_model(text_dim, joint_dim, num_layers):
    sizes = ScalingSizes(text_dim, joint_dim, num_layers)
    attention = drawn("shared_attention", sizes)
    assert all(joint_dim % heads == 0 for heads in attention["nhead"].choices)
    assert attention["prompt_depth"].low == 1 and attention["prompt_depth"].high == max(1, num_layers - 1)
    for space, name in (
        (attention, "dim_feedforward"),
        (drawn("maple", sizes), "intermediate_dim"),
        (drawn("shared_separate", sizes), "shared_dim"),
    ):
        choices = space[name].choices
        assert min(choices) >= 1 and len(set(choices)) == len(choices)


def test_a_damaged_space_is_named(tmp_path):
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "common.yaml").write_text("learning_rate: {low: [1\n")
    with pytest.raises(ValueError, match=r"search/common\.yaml"):
        read_search_space(tmp_path, "coop", ["learning_rate"], PUBLISHED)


def test_a_trial_draws_from_all_dimensions():
    space = space_of("shared_attention", PUBLISHED)
    trial = optuna.create_study().ask()
    params = suggest(trial, space)
    assert params == trial.params and set(params) == set(space)
    assert isinstance(params["norm_first"], bool) and isinstance(params["prompt_depth"], int)


@pytest.fixture
def configs(tmp_path):
    """Return a function that writes a method's own entries into a folder of fragments."""
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "common.yaml").write_text("learning_rate: {low: 0.1, high: 1.0}\n")
    return lambda text: (tmp_path / "search" / "mine.yaml").write_text(text) and tmp_path


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lerning_rate: {low: 1, high: 2}", "'lerning_rate'.*depth, learning_rate"),
        ("depth: {low: 1e-5, high: 2}", "depth: .*'1e-5' .*1.0e-5"),
        ("depth: {low: true, high: 2}", "depth: .*: True "),
        ("depth: {low: 3, high: 2}", "depth: .*3, .*2"),
        ("depth: {low: 1}", "depth: .*: 'high'"),
        ("depth: {low: 1, high: 2, step: 1}", "depth: .* step"),
        ("depth: {low: 1, high: 2, below: layers}", "'layers' .*joint_dim, num_layers, text_dim"),
        ("depth: {choices: []}", r"depth: .*\[\]"),
        ("depth: {choices: [a], scales_with: text_dim, at: 1}", "depth: .*text_dim"),
        ("depth: 3", "depth: 3"),
        ("- depth", "mine.yaml.*list"),
    ],
)
def test_an_invalid_entry_of_a_search_space_is_named(line, message, configs):
    with pytest.raises(ValueError, match=message):
        read_search_space(configs(line), "mine", ["learning_rate", "depth"], PUBLISHED)


def test_a_methods_own_entries_replace_common_ones_and_null_removes_them(configs):
    folder = configs("learning_rate: null\ndepth: {low: 1, high: 2}")
    assert list(read_search_space(folder, "mine", ["learning_rate", "depth"], PUBLISHED)) == ["depth"]
    assert list(read_search_space(folder, "another", ["learning_rate"], PUBLISHED)) == ["learning_rate"]


def test_a_missing_common_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="common.yaml"):
        read_search_space(tmp_path, "coop", [], PUBLISHED)
