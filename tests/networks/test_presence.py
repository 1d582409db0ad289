"""Presence: networks that score whether an image shows a text at all, and those that do not."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from network_cases import CASES, every_network
from scoring_clipseg import ScoringCLIPSeg
from torch.nn.parallel import DistributedDataParallel

from monai_tunevlseg.networks import Segmentation, UNet
from monai_tunevlseg.networks import prompt_tuned_network as base_class
from monai_tunevlseg.training import PairDiceCELoss

SCORING = [case for case in CASES if case.network.no_presence is None]
SCORERS = ["scoring_clipseg", *(case.name for case in SCORING)]
LEARNERS = [SCORERS[0], *{case.vlsm: case.name for case in reversed(SCORING)}.values()]  # one of each VLSM
SILENT = [case for case in CASES if case.network.no_presence is not None]


@pytest.fixture(params=SCORERS)
def build_scoring(request, base_model_of):
    """Build a network that scores presence, on the tiny base model of a case, which is returned too."""
    case = next((case for case in SCORING if case.name == request.param), CASES[0])
    kind = ScoringCLIPSeg if request.param == "scoring_clipseg" else case.network

    def get(method: str | None = None, unfreeze: str | None = None):
        names = ["polyp", "red circle", "lesion"]
        return kind(base_model_of(case), names, method, upsampler=False, unfreeze=unfreeze), case

    return get


@pytest.fixture
def scoring(build_scoring, pictures):
    """A network that scores presence, and two pictures."""
    network, case = build_scoring()
    return network, pictures(case)


def near(actual: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(actual, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("case", SILENT, ids=lambda case: case.name)
def test_a_network_without_presence_gives_the_reason(case, build, pictures):
    network = build(case)
    for image in (pictures(case), network.encode_image(pictures(case)), MetaTensor(pictures(case))):
        with pytest.raises(ValueError, match=rf"{case.network.__name__}.*{case.network.no_presence}"):
            network(image, presence=True)
        network(image, presence=False)


def test_an_image_only_network_gives_the_reason():
    network = UNet(["polyp"], architecture="attention", channels=[4, 8, 16])
    with pytest.raises(ValueError, match=f"UNet.*{UNet.no_presence}"):
        network(torch.zeros(1, 3, 16, 16), presence=True)


@every_network
def test_a_network_says_whether_it_scores_presence_as_it_does(case):
    overridden = case.network.decode_with_presence is not base_class.PromptTunedNetwork.decode_with_presence
    assert (case.network.no_presence is None) == overridden


def test_presence_comes_with_the_same_masks_in_all_forms_of_text(scoring):
    network, image = scoring
    for text in (None, ["polyp", "lesion"], [["polyp", "cell"], ["lesion", "polyp"]]):
        with torch.no_grad():
            logits, found = network.eval()(image, text), network(image, text, presence=True)
        assert isinstance(found, Segmentation)
        assert near(found.logits, logits)
        assert found.presence.shape == logits.shape[:2] and found.presence.isfinite().all()


def test_the_presence_of_a_text_depends_neither_on_the_others_nor_on_chunks(scoring, monkeypatch):
    network, image = scoring
    names = ["polyp", "cell", "lesion", "disc", "red circle"]
    with torch.no_grad():
        monkeypatch.setattr(type(network), "pairs_per_chunk", 100)
        at_once = network.eval()(image, [names, names[::-1]], presence=True)
        monkeypatch.setattr(type(network), "pairs_per_chunk", 4)
        for found, wanted in zip(network(image, [names, names[::-1]], presence=True), at_once, strict=True):
            assert near(found, wanted)
        alone = network(image[1:], ["disc"], presence=True)
    assert near(alone.presence, at_once.presence[1:, 1:2])
    assert at_once.presence.std() > 0


def test_features_of_images_give_the_same_presence(scoring):
    network, image = scoring
    with torch.no_grad():
        features = network.eval().encode_image(image)
        for found, wanted in zip(network(features, presence=True), network(image, presence=True), strict=True):
            assert torch.equal(found, wanted)


def test_masks_keep_the_metadata_of_the_image(scoring):
    network, image = scoring
    found = network(MetaTensor(image, meta={"filename_or_obj": ["a.png", "b.png"]}), presence=True)
    assert found.logits.meta["filename_or_obj"] == ["a.png", "b.png"]
    assert not isinstance(found.presence, MetaTensor)


@pytest.mark.parametrize("unfreeze", [None, "decoder", "all"])
def test_presence_is_in_full_precision_where_the_base_model_is_not(unfreeze, build_scoring, pictures):
    network, case = build_scoring("coop", unfreeze)
    image = pictures(case)
    exact = network(image, presence=True)
    found = network.compute_in("bf16")(image, presence=True)
    assert found.logits.dtype == found.presence.dtype == torch.float32
    torch.testing.assert_close(found.presence, exact.presence, rtol=0.05, atol=0.02)
    found.presence.sum().backward()
    assert network.method.context.grad.any()


def test_parallel_training_passes_presence_through(scoring, tmp_path):
    network, image = scoring
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        network.base.requires_grad_(True)
        wrapped = DistributedDataParallel(network, find_unused_parameters=True)
        found = wrapped(image, text=["polyp", "lesion"], presence=True)
        found.presence.sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    assert isinstance(found, Segmentation)
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize("build_scoring", LEARNERS, indirect=True)
def test_presence_is_learned_from_pairs_with_empty_masks(build_scoring):
    network, case = build_scoring(unfreeze="all")
    generator = torch.Generator().manual_seed(0)
    images = 0.3 * torch.randn(12, 3, case.size, case.size, generator=generator)
    labels = torch.zeros(12, 1, case.size, case.size)
    for number in range(1, 12, 2):
        top, left = torch.randint(0, case.size - 10, (2,), generator=generator).tolist()
        images[number, :, top : top + 10, left : left + 10] += 2
        labels[number, :, top : top + 10, left : left + 10] = 1
    optimizer, loss = torch.optim.AdamW(network.parameters(), lr=0.01), PairDiceCELoss(lambda_presence=1)
    for _ in range(60):
        optimizer.zero_grad()
        loss(network.train()(images, ["polyp"] * 12, presence=True), labels).backward()
        optimizer.step()
    with torch.no_grad():
        chance = network.eval()(images, ["polyp"] * 12, presence=True).presence.sigmoid().flatten()
    assert chance[1::2].min() > 0.5 > chance[::2].max()
    assert chance[1::2].min() - chance[::2].max() > 0.3
