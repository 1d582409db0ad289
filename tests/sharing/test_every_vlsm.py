"""A shared bundle of each VLSM passes its checks and runs with a local copy of its base model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from shared_bundles import share_bundle
from shared_names import ROOT
from tiny_methods import tiny_arguments

from monai_tunevlseg import Segmenter
from monai_tunevlseg.demo import embedded_models
from monai_tunevlseg.networks import VLSMS
from monai_tunevlseg.sharing import Sources, verify_bundle

FOLDERS = {f"tiny_{model}_dir": model for model in VLSMS} | {"tiny_sam3_lite_dir": "sam3", "published_sam3_dir": "sam3"}
"""The VLSM of each fixture with a base model's folder."""


class Shared(NamedTuple):
    """An untrained bundle whose base model has a public id, and the base model's folder on this machine."""

    model: str
    base_model_dir: Path
    folder: Path


@pytest.fixture(scope="module", params=FOLDERS)
def bundle(request, tmp_path_factory) -> Shared:
    model, base_model_dir = FOLDERS[request.param], request.getfixturevalue(request.param)
    sources = Sources(
        pretrained=base_model_dir,
        base_model_id="owner/model",
        overrides=tiny_arguments("coop"),
        configs_dir=ROOT / "configs",
    )
    folder = share_bundle(f"kvasir/{model}_coop", tmp_path_factory.mktemp("shared"), sources=sources)
    return Shared(model, base_model_dir, folder)


OTHERS = [f"tiny_{model}_dir" for model in VLSMS if model not in embedded_models()]


@pytest.mark.parametrize("bundle", OTHERS, indirect=True)  # each check of embedded models runs in other tests
def test_every_check_passes(bundle, schema):
    results = list(verify_bundle(bundle.folder, bundle.base_model_dir, schema))
    assert len(results) == 5
    assert [result for result in results if result.problem or result.skipped] == []


def test_metadata_and_card_have_facts_of_the_base_model(bundle):
    base = VLSMS[bundle.model].load_base(bundle.base_model_dir)
    metadata = json.loads((bundle.folder / "configs" / "metadata.json").read_text())
    assert metadata["base_model"] == {"id": "owner/model", "fingerprint": base.fingerprint}
    formats = metadata["network_data_format"]
    for tensor in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        assert tensor["spatial_shape"] == [base.image_size] * 2
    facts = yaml.safe_load((ROOT / "configs" / "models" / f"{bundle.model}.yaml").read_text().partition("---")[0])
    card = (bundle.folder / "docs" / "README.md").read_text()
    assert base.fingerprint in card and "owner/model" in card and facts["title"] in card
    assert facts["license"] in card and "without weights of the base model" in card
    assert str(bundle.base_model_dir) not in "".join(path.read_text() for path in bundle.folder.glob("*/*.[jmy]*"))


def test_the_bundle_segments_from_python(bundle):
    segmenter = Segmenter.from_bundle(bundle.folder, bundle.base_model_dir, "cpu")
    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    assert segmenter.segment(image).shape == (1, 50, 70)
    assert segmenter.segment(image, ["polyp", "red circle"]).shape == (2, 50, 70)


def test_the_card_says_that_a_trained_decoder_is_in_the_weights(tiny_sam3_dir, tmp_path):
    overrides = tiny_arguments("coop") | {"unfreeze": "decoder"}
    sources = Sources(
        pretrained=tiny_sam3_dir, base_model_id="owner/model", overrides=overrides, configs_dir=ROOT / "configs"
    )
    folder = share_bundle("kvasir/sam3_coop", tmp_path, sources=sources)
    assert "with trained weights of the base model" in (folder / "docs" / "README.md").read_text()
