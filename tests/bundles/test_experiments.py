"""Every experiment: a dataset with a bundle."""

from functools import cache

import multiclass_trees
import owners_trees
import pytest
import target_trees
import torch
import yaml
from monai.bundle import ConfigParser
from small_runs import BUNDLES, CONFIGS, tiny_model, workflow
from tiny_methods import tiny_arguments

from monai_tunevlseg.bundles import all_experiment_facts, bundle_names, render_experiment
from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS, write_demo_dataset
from monai_tunevlseg.demo import embedded_models
from monai_tunevlseg.networks import IMAGE_ONLY_NETWORKS, VLSMS

EXPERIMENTS = all_experiment_facts(CONFIGS)
SMALL_MODELS = {*embedded_models(), *IMAGE_ONLY_NETWORKS}  # others have no experiments with the demo datasets
OF_THE_PAPER = {name for name in LAYOUTS if LAYOUTS[name].info and any(LAYOUTS[name].info.sizes)}
ONLY_TESTED = {"colondb", "cvc300", "etis", "ph2", "udiat", *target_trees.CENTER_WRITERS}  # too small to train on
TINY_ONLY = {"demo_import"}  # what the embedded models need to be found

WRITERS = {
    name.removeprefix("write_"): write
    for trees in (owners_trees, multiclass_trees, target_trees)
    for name, write in vars(trees).items()
    if name.startswith("write_")
}

every_experiment = pytest.mark.parametrize("experiment", EXPERIMENTS)


def differs(experiment):
    """Return whether a model, method or dataset is not covered by a simpler experiment.

    The configs of a public dataset are equal for all VLSMs, so that large ones train each method on one dataset, and
    one method on each; so do all models with datasets that are not in the paper.
    """
    dataset, _, bundle = experiment.partition("/")
    model, _, method = bundle.partition("_")
    small = model in SMALL_MODELS and (dataset in DEMO_DATASETS or dataset in OF_THE_PAPER)
    return small or dataset == "kvasir" or method in ("coop", "scratch")


every_trained_experiment = pytest.mark.parametrize(
    "experiment",
    [name for name, facts in EXPERIMENTS.items() if facts["method"]["trains"] and differs(name)],
)


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory):
    """Get the folder of a small dataset, as its owner distributes it; each is written once."""
    written = {}

    def get(name):
        if name not in written:
            written[name] = tmp_path_factory.mktemp(name) / "data"
            if name in DEMO_DATASETS:
                write_demo_dataset(name, written[name], num_images=6)
            else:
                WRITERS[name](written[name])
        return written[name]

    return get


@cache
def content(experiment):
    return yaml.safe_load((CONFIGS / f"{experiment}.yaml").read_text())


@cache
def values_of_bundle(name):
    paths = [BUNDLES / name / "configs" / f"{config}.yaml" for config in ("evaluate", "train")]
    values = {}
    for path in paths:
        values |= yaml.safe_load(path.read_text()) if path.is_file() else {}
    return values


def test_there_is_an_experiment_for_every_bundle_and_dataset_that_is_not_only_tested():
    datasets = {name for name in LAYOUTS if LAYOUTS[name].info}
    assert datasets >= ONLY_TESTED and datasets - ONLY_TESTED > OF_THE_PAPER
    public = {f"{name}/{bundle}" for name in datasets - ONLY_TESTED for bundle in bundle_names(CONFIGS)}
    small = [bundle for bundle in bundle_names(CONFIGS) if bundle.partition("_")[0] in SMALL_MODELS]
    assert EXPERIMENTS.keys() == public | {f"{dataset}/{bundle}" for dataset in DEMO_DATASETS for bundle in small}


@every_experiment
def test_an_experiment_overrides_what_its_bundle_has_and_says_something_else(experiment):
    bundle, overrides = values_of_bundle(experiment.split("/")[1]), content(experiment)
    assert overrides.keys() - TINY_ONLY <= bundle.keys()
    same = {name for name, value in overrides.items() if bundle.get(name) == value}
    assert same <= {"class_names"}, "the bundle says it already"


@every_experiment
def test_the_experiments_of_a_public_dataset_are_equal_for_all_vlsms(experiment):
    dataset, _, bundle = experiment.partition("/")
    model, _, method = bundle.partition("_")
    if dataset not in DEMO_DATASETS and model in VLSMS:
        assert content(experiment) == content(f"{dataset}/clipseg_{method}")


@every_experiment
def test_an_experiment_has_its_datasets_texts(experiment):
    dataset = experiment.split("/")[0]
    known = DEMO_DATASETS[dataset] if dataset in DEMO_DATASETS else LAYOUTS[dataset].info
    any_tumor = experiment in ("busi/unet_scratch", "busbra/unet_scratch")
    of_network = ["breast tumor"] if any_tumor else list(known.class_names)
    assert content(experiment)["class_names"] == of_network


def test_an_unknown_experiment_is_refused_and_the_nearest_are_named():
    with pytest.raises(ValueError, match="'ultrasound/clipseg_vptt'.*ultrasound/clipseg_vpt"):
        render_experiment(CONFIGS, "ultrasound/clipseg_vptt")
    with pytest.raises(ValueError, match="'nowhere/clipseg_vpt'"):
        render_experiment(CONFIGS, "nowhere/clipseg_vpt")


@every_trained_experiment
@pytest.mark.filterwarnings("ignore:the published sizes", "ignore:.*lists")
def test_an_experiment_trains_a_step_on_its_dataset(experiment, small_dataset, request, tmp_path):
    dataset, name = experiment.split("/")
    method = name.partition("_")[2]
    made = workflow(
        name,
        "train",
        "train",
        dataset,
        bundle_root=str(tmp_path),
        dataset_dir=str(small_dataset(dataset)),
        device="cpu",
        batch_size=2,
        effective_batch_size=2,
        epochs=1,
        num_workers=0,
        show_progress=False,
        **{"train#trainer#epoch_length": 1, "validate#evaluator#epoch_length": 1},
        **tiny_arguments(method),
        **tiny_model(name, request),
    )
    before = {key: value.clone() for key, value in made.network_def.state_dict().items()}
    made.run()
    made.finalize()
    after = made.network_def.state_dict()
    assert any(not torch.equal(value, before[key]) for key, value in after.items())
    assert (tmp_path / "models" / "model.pt").is_file()


@pytest.mark.parametrize("name", ["clipseg_coop", "clipseg_cocoop", "clipseg_vpt", "cris_coop", "cris_cocoop"])
def test_a_checkpoint_of_the_embedded_models_has_less_than_100_kb(name, tmp_path):
    parser = ConfigParser()
    parser.read_config([str(BUNDLES / name / "configs" / "train.yaml"), str(CONFIGS / "ultrasound" / f"{name}.yaml")])
    network = parser.get_parsed_content("network_def")
    torch.save(network.state_dict(), tmp_path / "model.pt")
    assert (tmp_path / "model.pt").stat().st_size < 100_000
