"""Segmenters that keep the features of the last images give the masks of those that do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from shared_bundles import share_bundle

from monai_tunevlseg import Segmenter
from monai_tunevlseg.feature_cache import RecentStore
from monai_tunevlseg.networks import PromptTunedNetwork
from monai_tunevlseg.sharing import Sources

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ["red circle", "blue square"]


@pytest.fixture(scope="module", params=["clipseg_vpt", "clipseg_cocoop", "cris_coop"])
def bundle(request, tmp_path_factory) -> Path:
    """An untrained bundle: image features that depend on trained prompts, those that prompts depend on, and others."""
    sources = Sources(configs_dir=ROOT / "configs")
    return share_bundle(f"ultrasound/{request.param}", tmp_path_factory.mktemp("shared"), sources=sources)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """A picture and a volume of three different slices."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    pixels = rng.integers(0, 255, (60, 70, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "picture.png")
    nib.save(nib.Nifti1Image(pixels[..., :3].astype(np.int16), np.eye(4)), folder / "volume.nii.gz")
    return {"picture": folder / "picture.png", "volume": folder / "volume.nii.gz"}


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """Number of images in each call of an image encoder."""
    counts: list[int] = []
    run = PromptTunedNetwork.__subclasses__()
    for kind in run:

        def counting(network, image, *more, encode=kind.encode_image, **others):
            counts.append(len(image))
            return encode(network, image, *more, **others)

        monkeypatch.setattr(kind, "encode_image", counting)
    return counts


@pytest.mark.parametrize("kind", ["picture", "volume"])
def test_another_text_of_an_image_takes_no_encoding_and_changes_nothing(bundle, files, kind, encoded, device):
    image = files[kind]
    keeping = Segmenter.from_bundle(bundle, device=device, feature_store=RecentStore(2**26))
    first = keeping.probabilities(image, TEXTS[0])
    assert sum(encoded) == {"picture": 1, "volume": 3}[kind]
    encoded.clear()
    kept = [first, keeping.probabilities(image, TEXTS[1]), keeping.probabilities(image, TEXTS), keeping.presence(image)]
    assert not encoded
    plain = Segmenter.from_bundle(bundle, device=device)
    every = [*(plain.probabilities(image, text) for text in (*TEXTS, TEXTS)), plain.presence(image)]
    assert sum(encoded) == 4 * {"picture": 1, "volume": 3}[kind]
    for found, wanted in zip(kept, every, strict=True):
        # slices are encoded in other batches, for which a GPU has other kernels
        np.testing.assert_allclose(found, wanted, atol=1e-6 if device == "cpu" else 5e-3)


def test_another_image_is_encoded(bundle, files, encoded, device):
    keeping = Segmenter.from_bundle(bundle, device=device, feature_store=RecentStore(2**26))
    pixels = np.asarray(Image.open(files["picture"]))
    keeping.segment(files["picture"], TEXTS)
    keeping.segment(pixels, TEXTS)  # the same content
    assert sum(encoded) == 1
    changed = pixels.copy()
    changed[0, 0] = 255 - changed[0, 0]
    keeping.segment(changed, TEXTS)
    assert sum(encoded) == 2


def test_segmenters_share_features_only_if_trained_parameters_do_not_affect_them(
    bundle, files, encoded, tmp_path, device
):
    store = RecentStore(2**26)
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    other = Path(shutil.copytree(bundle, tmp_path / "other"))
    torch.save({name: value + 1 if value.is_floating_point() else value for name, value in state.items()},
               other / "models" / "model.pt")  # fmt: skip
    first, second = (Segmenter.from_bundle(each, device=device, feature_store=store) for each in (bundle, other))
    masks = [each.probabilities(files["picture"], TEXTS) for each in (first, second)]
    assert sum(encoded) == (1 if first.network.trained.image_is_constant else 2)
    for folder, found in zip((bundle, other), masks, strict=True):
        wanted = Segmenter.from_bundle(folder, device=device).probabilities(files["picture"], TEXTS)
        np.testing.assert_array_equal(found, wanted)
    assert not np.array_equal(*masks)


def test_the_features_of_the_last_images_are_kept_within_their_bound(bundle, files, encoded, device):
    pixels = np.asarray(Image.open(files["picture"]))
    probe = RecentStore(2**26)
    Segmenter.from_bundle(bundle, device=device, feature_store=probe).segment(pixels, TEXTS)
    store = RecentStore(2 * probe.bytes)
    keeping = Segmenter.from_bundle(bundle, device=device, feature_store=store)
    encoded.clear()
    for image in (pixels, pixels[::-1], pixels[:, ::-1], pixels):
        keeping.segment(image, TEXTS)
        assert store.bytes <= store.max_bytes
    assert sum(encoded) == 4  # the first was dropped for the third
    keeping.segment(pixels[:, ::-1], TEXTS)
    assert sum(encoded) == 4
