"""Every pair: a dataset with a bundle."""

import pytest
import yaml
from small_runs import BUNDLES, CONFIGS

from monai_tunevlseg.bundles import bundle_names, pair_names, render_pair
from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.data.demo import DEMO_DATASETS

PAIRS = pair_names(CONFIGS)
TINY_ONLY = {"demo_import"}  # what the embedded models need to be found

every_pair = pytest.mark.parametrize("pair", PAIRS)


def content(pair):
    return yaml.safe_load(render_pair(CONFIGS, pair))


def test_there_is_a_pair_for_every_dataset_and_bundle():
    datasets = [*DEMO_DATASETS, *(name for name in LAYOUTS if LAYOUTS[name].facts is not None)]
    assert set(PAIRS) == {f"{dataset}/{bundle}" for dataset in datasets for bundle in bundle_names(CONFIGS)}


@every_pair
def test_a_pair_overrides_what_its_bundle_has_and_says_something_else(pair):
    bundle = yaml.safe_load((BUNDLES / pair.split("/")[1] / "configs" / "train.yaml").read_text())
    overrides = content(pair)
    assert overrides.keys() - TINY_ONLY <= bundle.keys()
    same = {name for name, value in overrides.items() if bundle.get(name) == value}
    assert same <= {"class_names"}, "the bundle says it already"


@every_pair
def test_a_pair_has_its_datasets_texts(pair):
    dataset = pair.split("/")[0]
    known = DEMO_DATASETS[dataset] if dataset in DEMO_DATASETS else LAYOUTS[dataset].facts
    assert content(pair)["class_names"] == list(known.class_names)


def test_an_unknown_pair_is_refused_and_the_nearest_are_named():
    with pytest.raises(ValueError, match="'ultrasound/clipseg_vptt'.*ultrasound/clipseg_vpt"):
        render_pair(CONFIGS, "ultrasound/clipseg_vptt")
    with pytest.raises(ValueError, match="'nowhere/clipseg_vpt'"):
        render_pair(CONFIGS, "nowhere/clipseg_vpt")
