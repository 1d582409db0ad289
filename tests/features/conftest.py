"""Small networks, and counts of what they are asked for."""

from __future__ import annotations

import pytest
import torch

from monai_tunevlseg.data import LoadSampled
from monai_tunevlseg.networks import PromptTunedCLIPSeg, PromptTunedCRIS


@pytest.fixture
def build_network(tiny_clipseg):
    """Build a tiny CLIPSeg; the same call gives the same weights."""

    def build(learner: str | None = "coop", trainable: str | None = None) -> PromptTunedCLIPSeg:
        torch.manual_seed(0)
        arguments = {"prompt_depth": 2} if learner else {}
        return PromptTunedCLIPSeg(tiny_clipseg, ["class 1"], learner, arguments, learner is not None, trainable)

    return build


class Counter:
    """Counts the images that are read, and those that are encoded."""

    def __init__(self, monkeypatch):
        self.read = self.encoded = 0
        load, encodes = (
            LoadSampled.__call__,
            {kind: kind.encode_image for kind in (PromptTunedCLIPSeg, PromptTunedCRIS)},
        )

        def counting_load(transform, data):
            self.read += not isinstance(data["image"], torch.Tensor)
            return load(transform, data)

        monkeypatch.setattr(LoadSampled, "__call__", counting_load)
        for kind, encode in encodes.items():

            def counting_encode(network, image, encode=encode):
                self.encoded += len(image)
                return encode(network, image)

            monkeypatch.setattr(kind, "encode_image", counting_encode)

    def take(self):
        counts = (self.read, self.encoded)
        self.read = self.encoded = 0
        return counts


@pytest.fixture
def counter(monkeypatch):
    return Counter(monkeypatch)
