"""The small folders of `shared/cases`, through `datasets check` and a training step, are read right or refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from monai_tunevlseg.__main__ import app
from monai_tunevlseg.data import DatasetSpec, LoadImageMaskd, build_datalists
from monai_tunevlseg.data.layouts._dataset_json import read_dataset_json
from monai_tunevlseg.data.splits import read_splits
from monai_tunevlseg.networks import PromptTunedCLIPSeg
from monai_tunevlseg.training import PairDiceCELoss

READ = {
    "alpha_white": {"alpha"},
    "exif6": {"exif"},
    "names_roboflow": {"notice"},
    "nifti_1_x_y": set(),
    "png_12bit": {"range"},
    "png_nifti_square_2d": set(),
    "qupath_palette": {"palette"},
    "tif_float_lzw": set(),
}
"""Cases that are read, with the names in their warnings."""
REFUSED = {
    "missing_negative_masks": ["c03", "c07", "empty mask"],
    "nifti_truncated": ["cannot be read"],
}
"""Cases that are refused, with the names in the message."""


@pytest.fixture(scope="module")
def network(tiny_clipseg_dir):
    from monai_tunevlseg.networks import load_clipseg

    return PromptTunedCLIPSeg(load_clipseg(str(tiny_clipseg_dir)), ["lesion"], method="vpt")


def folder_of(shared_dir: Path, name: str) -> Path:
    return shared_dir / "cases" / name / "data"


def report_of(folder: Path) -> tuple[int, dict]:
    result = CliRunner().invoke(app, ["datasets", "check", "folder", str(folder), "--class-name", "lesion", "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_every_case_is_read_or_refused(shared_dir):
    names = {path.name for path in (shared_dir / "cases").iterdir() if (path / "data").is_dir()}
    assert names == READ.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", sorted(READ))
def test_a_case_that_is_read_trains_a_step(shared_dir, network, name):
    code, report = report_of(folder_of(shared_dir, name))
    assert (code, report["errors"]) == (0, [])
    assert {problem["kind"] for problem in report["warnings"]} >= READ[name]
    loaded = load(folder_of(shared_dir, name))
    image, label = (torch.cat([resized(one[key]) for one in loaded]) for key in ("image", "label"))
    assert all(one["image"].shape[1:] == one["label"].shape[1:] for one in loaded)
    assert 0 < label.mean() < 0.6, "a part of the pictures is foreground"
    assert image.std() > 0
    PairDiceCELoss()(network(image), label).backward()
    assert any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def load(folder: Path) -> list[dict]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datalists = build_datalists(DatasetSpec(folder, ["lesion"]))
    return [LoadImageMaskd()(sample) for samples in datalists.values() for sample in samples]


def resized(value) -> torch.Tensor:
    """(C, H, W) -> (1, C, 32, 32)."""
    return torch.nn.functional.interpolate(value.as_tensor()[None].float(), (32, 32))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_case_is_named(shared_dir, name):
    code, report = report_of(folder_of(shared_dir, name))
    messages = " ".join(problem["message"] for problem in report["errors"])
    assert code == 1 and all(word in messages for word in REFUSED[name])
    with pytest.raises(ValueError):
        load(folder_of(shared_dir, name))


@pytest.mark.parametrize("name", ["splits_deep", "splits_deepobj", "splits-check_deep"])
def test_deeply_nested_splits_are_named(shared_dir, name):
    with pytest.raises(ValueError, match=name):
        read_splits(shared_dir / "cases" / "faults" / "json" / name, ["a"])


def test_a_deeply_nested_dataset_json_is_named(shared_dir, tmp_path):
    content = (shared_dir / "cases" / "faults" / "json" / "dataset.json_deep").read_bytes()
    (tmp_path / "dataset.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"dataset\.json"):
        read_dataset_json(tmp_path)
