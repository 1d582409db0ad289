"""Shared bundles of adapters, on the embedded base models."""

from __future__ import annotations

import pytest
import torch
import yaml
from shared_bundles import share_bundle
from shared_names import ROOT
from tiny_methods import is_adapter

from monai_tunevlseg.bundles import experiment_names
from monai_tunevlseg.segmenter import Segmenter
from monai_tunevlseg.sharing import Sources, verify_bundle
from monai_tunevlseg.sharing.onnx_export import load_for_export

OTHER = {"lora": {"lora_rank": 4}, "vlsm_adapter": {"adapter_dim": 5}, "telescopic_adapter": {"adapter_dim": 24}}
"""An argument of each adapter, with a value that is not the experiment's."""
ADAPTED = [
    bundle
    for dataset, _, bundle in (name.partition("/") for name in experiment_names(ROOT / "configs"))
    if dataset == "ultrasound" and is_adapter(bundle.partition("_")[2])
]


@pytest.fixture
def trained(tmp_path):
    """Return a network with random trained parameters, and the folder of its run."""

    def get(bundle: str, own: dict):
        untrained = Sources(overrides=own, configs_dir=ROOT / "configs")
        network = load_for_export(
            share_bundle(f"ultrasound/{bundle}", tmp_path / "untrained", sources=untrained)
        ).network
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter += 0.1 * torch.randn_like(parameter)
        (tmp_path / "run" / "models").mkdir(parents=True)
        torch.save(network.state_dict(), tmp_path / "run" / "models" / "model.pt")
        return network, tmp_path / "run"

    return get


@pytest.mark.parametrize("bundle", ADAPTED)
def test_the_shared_network_is_the_trained_one(bundle, trained, tmp_path):
    own = OTHER[bundle.partition("_")[2]] | {"adapted_parts": ["text"]}
    network, run_dir = trained(bundle, own)
    folder = share_bundle(f"ultrasound/{bundle}", tmp_path, run_dir, Sources(configs_dir=ROOT / "configs"))
    config = yaml.safe_load((folder / "configs" / "inference.yaml").read_text())
    assert {name: config[name] for name in own} == own
    shared = load_for_export(folder).network
    image = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(shared(image), network(image))
    count = sum(each.numel() for each in network.parameters() if each.requires_grad)
    assert f"| {count:,} |" in (folder / "docs" / "README.md").read_text()
    (name, other), *_ = OTHER[bundle.partition("_")[2]].items()
    with pytest.raises(ValueError, match=rf"{name} {other}\b.* {other + 1}\b"):
        Segmenter.from_bundle(folder, **{name: other + 1})


def test_every_check_of_a_shared_adapter_passes(trained, schema, tmp_path):
    _, run_dir = trained("cris_lora", {"adapted_parts": ["text", "decoder"]})
    folder = share_bundle("ultrasound/cris_lora", tmp_path, run_dir, Sources(configs_dir=ROOT / "configs"))
    results = list(verify_bundle(folder, schema=schema))
    assert [result for result in results if result.problem or result.skipped] == []
