"""The method and the dataset of docs/extending.md, added as it says: a file, a registry line and a fragment."""

from __future__ import annotations

import re
import shutil
from typing import Any

import pytest
import torch
from documentation import ROOT, block
from monai.bundle import ConfigParser
from owners_trees import write_kvasir

from monai_tunevlseg.bundles import write_bundles
from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import PromptTunedCLIPSeg, PromptTunedNetwork


@pytest.fixture
def configs(tmp_path):
    """A copy of the sources of the bundles."""
    shutil.copy(ROOT / "LICENSE", tmp_path)
    return shutil.copytree(ROOT / "configs", tmp_path / "configs")


def documented(marker: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "documented"}
    exec(block(marker), names)
    return names


def test_a_method(configs, tmp_path):
    (configs / "methods" / "shared_coop.yaml").write_text(block("method fragment"), encoding="utf-8")
    parser = ConfigParser()
    with METHODS.temporarily("shared_coop", documented("method")["SharedCoOp"]):
        write_bundles(configs, tmp_path / "bundles")
        bundle = tmp_path / "bundles" / "clipseg_shared_coop" / "configs" / "train.yaml"
        parser.read_config([str(bundle), str(configs / "ultrasound" / "clipseg_shared_coop.yaml")])
        network = parser.get_parsed_content("network_def")
        network(torch.rand(1, 3, 96, 96)).sum().backward()
    context = dict(network.named_parameters())["method.context"]
    assert context.shape == (4, 64) and context.grad.abs().sum() > 0


def test_the_members_of_a_vlsm():
    table = (
        (ROOT / "docs" / "extending.md").read_text(encoding="utf-8").split("| member | meaning |")[1].split("\n\n")[0]
    )
    members = re.findall(r"^\| `(\w+)", table, re.MULTILINE)
    public = {name for name in PromptTunedNetwork.__abstractmethods__ if not name.startswith("_")}
    assert public <= set(members) <= set(dir(PromptTunedCLIPSeg))


def test_a_dataset(configs, tmp_path):
    (configs / "datasets" / "scans.yaml").write_text(block("dataset fragment"), encoding="utf-8")
    write_kvasir(tmp_path)
    data = tmp_path / "Kvasir-SEG"
    (data / "images").rename(data / "scans")
    (data / "masks").rename(data / "annotations")
    with LAYOUTS.temporarily("scans", documented("dataset")["LAYOUT"]):
        write_bundles(configs, tmp_path / "bundles")
        parser = ConfigParser()
        bundle = tmp_path / "bundles" / "clipseg_vpt" / "configs" / "train.yaml"
        parser.read_config([str(bundle), str(configs / "scans" / "clipseg_vpt.yaml")])
        parser["dataset_dir"] = str(data)
        parser["write_splits_to"] = None
        datalists = parser.get_parsed_content("datalists")
    assert {sample["text"] for sample in datalists["train"]} == {"lesion"}
