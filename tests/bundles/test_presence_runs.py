"""Presence in the bundles: training, evaluation and inference."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow
from PIL import Image
from scipy.special import logit
from small_runs import BUNDLES, raises_inside, tiny_model, write_pictures
from small_runs import run as run_bundle
from tiny_methods import tiny_arguments

from monai_tunevlseg import Segmenter
from monai_tunevlseg.calibration import fit_evidence
from monai_tunevlseg.monai_label.bundle_model import open_bundles
from monai_tunevlseg.networks import IMAGE_ONLY_NETWORKS, VLSMS

NAME = "clipseg_coop"
VLSM_BUNDLES = [f"{model}_coop" for model in VLSMS]
EVERY_BUNDLE = [*VLSM_BUNDLES, *(f"{model}_scratch" for model in IMAGE_ONLY_NETWORKS)]


@pytest.fixture
def name(request) -> str:
    """Name of a bundle."""
    return getattr(request, "param", NAME)


def every_bundle(cache: str):
    """Loop over the bundles, with a feature cache where there can be one."""
    combinations = [(name, "off") for name in EVERY_BUNDLE] + [(name, cache) for name in VLSM_BUNDLES]
    return pytest.mark.parametrize(("name", "cache"), combinations, indirect=["name"])


@pytest.fixture(scope="module")
def half_empty(tmp_path_factory) -> Path:
    """Sixteen pictures; every second one is the noise alone, with an empty mask."""
    folder = write_pictures(tmp_path_factory.mktemp("half_empty"), 16)
    rng = np.random.default_rng(1)
    for number in range(0, 16, 2):
        noise = rng.integers(0, 100, (26, 40, 3)).astype(np.uint8)
        Image.fromarray(noise).save(folder / "images" / f"{number:02}.png")
        Image.fromarray(np.zeros((26, 40), np.uint8)).save(folder / "masks" / f"{number:02}.png")
    stems = [f"{number:02}" for number in range(16)]
    (folder / "splits.json").write_text(json.dumps({"train": stems[:12], "val": stems[12:14], "test": stems[14:]}))
    return folder


@pytest.fixture
def options(name, request, half_empty, tmp_path) -> dict:
    return {
        "bundle_root": str(tmp_path),
        "dataset_dir": str(half_empty),
        **tiny_model(name, request),
        **(tiny_arguments("coop") if name in VLSM_BUNDLES else {}),
        "class_names": ["square"],
        "num_workers": 0,
        "device": "cpu",
        "precision": "fp32",
    }


@pytest.fixture
def run(name, options):
    """Run a config of the bundle."""

    def start(config: str, **own) -> ConfigWorkflow:
        if config == "train":
            own = {"show_progress": False, "epochs": 1, "batch_size": 4, "effective_batch_size": 4} | own
        return run_bundle(name, config, **options | own)

    return start


def losses(made: ConfigWorkflow) -> float:
    return float(made.parser.get_parsed_content("train#trainer").state.output[0]["loss"])


def test_presence_is_learned_from_pairs_with_empty_masks(run, options, half_empty):
    own = {"epochs": 16, "batch_size": 2, "effective_batch_size": 2, "learning_rate": 0.003}
    run("train", presence_weight=1, unfreeze="all", augmentation_probability=0, **own)
    pictures = sorted((half_empty / "images").iterdir())[:12]
    own = {"unfreeze": "all", "presence_threshold": 0.5, "calibration": "off"}  # two pictures cannot calibrate it
    segmenter = Segmenter.from_bundle(BUNDLES / NAME, **own, **options)
    chance = np.concatenate(segmenter.presence(pictures, "square"))
    assert chance.dtype == np.float32
    assert chance[1::2].min() > 0.5 > chance[::2].max()
    assert [bool(mask.any()) for mask in segmenter.segment(pictures, "square")] == [False, True] * 6


@every_bundle("memory")
def test_the_weight_adds_presence_to_the_losses(cache, run, tmp_path):
    own = {"augmentation_probability": 0, "batch_size": 12, "effective_batch_size": 12, "feature_cache": cache}
    plain, weighted = (run("train", presence_weight=weight, learning_rate=1e-9, **own) for weight in (0, 3))

    def entropy(phase: str) -> float:
        """Binary cross entropy of presence over the half of all pictures that show the square, and the other half."""
        samples = list(weighted.parser.get_parsed_content(f"{phase}#dataset"))
        image, label = (torch.stack([sample[key] for sample in samples]) for key in ("image", "label"))
        network = weighted.parser.get_parsed_content("network").eval()
        shown = label.flatten(1).any(dim=1, keepdim=True).float()
        assert shown.mean() == 0.5
        chance = network(image, [["square"]] * len(image), presence=True).presence.sigmoid()
        return torch.nn.functional.binary_cross_entropy(chance, shown).item()

    assert losses(weighted) - losses(plain) == pytest.approx(3 * entropy("train"), rel=1e-3)
    curves = [made.parser.get_parsed_content("validate#evaluator").state.metrics for made in (plain, weighted)]
    assert curves[1]["val_loss"] - curves[0]["val_loss"] == pytest.approx(3 * entropy("validate"), rel=1e-3)


@every_bundle("disk")
def test_evaluation_scores_the_masks_that_the_threshold_leaves(cache, run, tmp_path):
    run("train")
    found = {}
    for threshold in (None, 0, 1):
        run("evaluate", presence_threshold=threshold, feature_cache=cache, bootstrap_resamples=9)
        found[threshold] = json.loads((tmp_path / "eval" / "metrics.json").read_text())
        assert found[threshold]["presence_threshold"] == threshold
    brier = {threshold: metrics["calibration"]["brier"] for threshold, metrics in found.items()}
    assert brier[None] == brier[0] != brier[1]
    assert found[1]["dice"] == pytest.approx(50)  # one of two masks is empty, as are all predictions


def test_inference_writes_empty_masks_of_absent_texts(run, tmp_path, half_empty):
    run("train")
    written = {}
    for threshold in (None, 1):
        run("inference", dataset_dir=str(half_empty / "images"), presence_threshold=threshold)
        masks = sorted((tmp_path / "output" / "masks").iterdir())
        written[threshold] = np.stack([np.asarray(Image.open(path)) for path in masks])
    assert written[None].any() and not written[1].any()


def test_a_volume_shows_a_text_as_its_most_likely_slice_does(options, tmp_path):
    rng = np.random.default_rng(2)
    voxels = rng.integers(0, 255, (26, 40, 5)).astype(np.uint8) * np.linspace(0.2, 1, 5)  # (X, Y, Z)
    nib.save(nib.Nifti1Image(voxels.astype(np.uint8), np.diag([-1.0, -1.0, 1.0, 1.0])), tmp_path / "volume.nii.gz")
    zero_shot = {"method": None, "upsampler": False, "unfreeze": None, "intensity_window": [0, 255]}
    segmenter = Segmenter.from_bundle(BUNDLES / NAME, **options | zero_shot | {"class_names": ["square", "polyp"]})
    slices = segmenter.presence([np.ascontiguousarray(part.T) for part in np.moveaxis(voxels.astype(np.uint8), -1, 0)])
    assert np.ptp(logit(slices), axis=0).min() > 0.5
    found = segmenter.presence(tmp_path / "volume.nii.gz")
    assert found.shape == (2,)
    np.testing.assert_allclose(logit(found), logit(np.max(slices, axis=0)), atol=0.1)


def test_the_annotation_server_silences_absent_texts(options, half_empty, tmp_path):
    folders = [shutil.copytree(BUNDLES / NAME, tmp_path / name) for name in ("loud", "silent")]
    for folder, threshold in zip(folders, (None, 1), strict=True):
        config = yaml.safe_load((folder / "configs" / "inference.yaml").read_text())
        own = {name: options[name] for name in ("pretrained", "class_names", "precision", *tiny_arguments("coop"))}
        changed = config | own | {"presence_threshold": threshold}
        (folder / "configs" / "inference.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    loud, silent = open_bundles(",".join(map(str, folders))).values()
    picture = half_empty / "images" / "01.png"
    assert loud.segment(picture, ["square", "red"]).labels.any() and 0 < loud.entropy(picture) < 1
    assert not silent.segment(picture, ["square", "red"]).labels.any() and silent.entropy(picture) == 0


@pytest.mark.parametrize("value", [-0.1, 1.5, "high"])
def test_a_wrong_threshold_is_named_before_the_run(value, run):
    with raises_inside(ValueError, f"^presence_threshold is .*{value}"):
        run("inference", presence_threshold=value)


def presence_in(folder: Path) -> dict:
    return json.loads((folder / "models" / "calibration.json").read_text())["presence"]


@every_bundle("memory")
def test_training_ends_with_the_calibration_of_presence(cache, name, run, tmp_path):
    made = run("train", feature_cache=cache)
    network = made.parser.get_parsed_content("unwrapped_network").eval()
    network.load_state_dict(torch.load(tmp_path / "models" / "model.pt", weights_only=True))
    samples = list(made.parser.get_parsed_content("validate#dataset"))
    images = torch.stack([sample["image"] for sample in samples])
    texts = [["square"] for _ in samples]
    if name in VLSM_BUNDLES:
        drawn = made.parser.get_parsed_content("validate#prepare_calibration_batch")
        texts = [[own, *absent] for own, absent in map(drawn.draw, range(len(samples)))]
        assert texts[0][1:] != texts[1][1:] and {len(row) for row in texts} == {4}
    with torch.no_grad():
        evidence = network(images, texts, presence=True).evidence
    shown = torch.zeros(evidence.shape[:2], dtype=torch.bool)
    shown[:, 0] = torch.tensor([bool(sample["label"].any()) for sample in samples])
    expected = fit_evidence(evidence.flatten(0, 1), shown.flatten())
    found = presence_in(tmp_path)
    assert (found["present"], found["absent"]) == (1, 7 if name in VLSM_BUNDLES else 1)
    assert found["log_loss"] == pytest.approx(expected.log_loss, rel=1e-3)
    assert found["temperature"] == pytest.approx(expected.temperature, rel=0.02)
    assert found["bias"] == pytest.approx(expected.bias, rel=0.02, abs=0.02)
    assert found["weights"] == pytest.approx(expected.weights, rel=0.02, abs=0.02)
