"""Small networks, and counts of read and encoded images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_methods import tiny_arguments

from monai_tunevlseg.data import LoadImageMaskd
from monai_tunevlseg.networks import VLSMS, PromptTunedNetwork


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Eight pictures with masks: five to train, two to validate, one to test."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for sub in ("images", "masks"):
        (folder / sub).mkdir()
    for number in range(8):
        mask = np.zeros((26, 40), np.uint8)
        mask[rng.integers(0, 10) :, 5:25] = 255
        noise = (rng.integers(0, 100, (26, 40, 3)) + mask[..., None] // 2).astype(np.uint8)
        Image.fromarray(noise).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    splits = {"train": ["0", "1", "2", "3", "4"], "val": ["5", "6"], "test": ["7"]}
    (folder / "splits.json").write_text(json.dumps(splits))
    return folder


@pytest.fixture
def vlsm(request) -> str:
    """The VLSM of ``build_network``: CLIPSeg, unless a test is parametrized."""
    return getattr(request, "param", "clipseg")


@pytest.fixture
def build_network(vlsm, request):
    """Build a network on a tiny base model; the same call gives the same weights."""
    base_model = request.getfixturevalue(f"tiny_{vlsm}")

    def build(method: str | None = "coop", unfreeze: str | None = None) -> PromptTunedNetwork:
        torch.manual_seed(0)
        arguments = tiny_arguments(method)
        return VLSMS[vlsm](base_model, ["class 1"], method, arguments, method is not None, unfreeze)

    return build


class Counter:
    """Counts the images that are read, and those that are encoded."""

    def __init__(self, monkeypatch):
        self.read = self.encoded = 0
        load, encodes = (
            LoadImageMaskd.__call__,
            {VLSMS[name]: VLSMS[name].encode_image for name in VLSMS},
        )

        def counting_load(transform, data):
            self.read += not isinstance(data["image"], torch.Tensor)
            return load(transform, data)

        monkeypatch.setattr(LoadImageMaskd, "__call__", counting_load)
        for kind, encode in encodes.items():

            def counting_encode(network, image, *more, encode=encode):
                self.encoded += len(image)
                return encode(network, image, *more)

            monkeypatch.setattr(kind, "encode_image", counting_encode)

    def take(self):
        counts = (self.read, self.encoded)
        self.read = self.encoded = 0
        return counts


@pytest.fixture
def counter(monkeypatch):
    return Counter(monkeypatch)
