"""Presence: whether an image shows a text at all, as each network scores it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from network_cases import CASES, every_network
from torch.nn.parallel import DistributedDataParallel

from monai_tunevlseg.networks import Segmentation, UNet
from monai_tunevlseg.networks.presence import pooled_logit, presence_evidence
from monai_tunevlseg.training import PairDiceCELoss

ONE_OF_EACH = list({case.vlsm: case for case in reversed(CASES)}.values())


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    """A tiny base model and its network."""
    return request.param


@pytest.fixture
def scoring(case, build, pictures):
    """A network and two pictures."""
    return build(case, upsampler=False), pictures(case)


def near(actual: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(actual, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize(("share", "count"), [(0.001, 1), (0.04, 1), (0.08, 2), (0.5, 12), (1.0, 24)])
def test_the_pooled_logit_is_the_mean_of_the_highest(share, count):
    logits = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    pooled = pooled_logit(logits, share)
    highest = np.sort(logits.detach().numpy().reshape(2, 3, 24), axis=2)[:, :, -count:]
    np.testing.assert_allclose(pooled.detach().numpy(), highest.mean(axis=2), rtol=1e-6)
    pooled.sum().backward()
    chosen = logits.detach() >= torch.as_tensor(highest.min(axis=2))[:, :, None, None]
    assert torch.allclose(logits.grad, chosen / count)


def test_the_pooled_logit_is_exact_in_half_precision():
    logits = torch.zeros(1, 1, 100, 100, dtype=torch.bfloat16)
    logits[..., 0, :7], logits[..., 1, :3] = 1, 0.5  # a mean of 8.5 / 10, which bfloat16 rounds to 0.8516
    assert pooled_logit(logits).item() == pytest.approx(0.85)


def test_a_small_object_is_seen():
    logits = torch.full((1, 1, 352, 352), -9.0)
    logits[..., 100:112, 100:112] = 9  # 0.1 % of the pixels
    assert pooled_logit(logits).item() == 9


def test_an_image_only_network_scores_the_presence_of_its_classes():
    network = UNet(["polyp", "cell"], architecture="attention", channels=[4, 8, 16]).eval()
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, logits = network(images, ["cell", "polyp"], presence=True), network(images)
    assert torch.equal(found.logits, torch.stack([logits[0, 1:], logits[1, :1]]))
    assert torch.equal(found.presence, found.logits.amax(dim=(2, 3)))  # of 256 pixels, one counts


@every_network
def test_networks_without_a_score_of_their_own_pool_the_logits(case, build, pictures):
    with torch.no_grad():
        found = build(case).eval()(pictures(case), presence=True)
    pooled = torch.allclose(found.presence, pooled_logit(found.logits), rtol=1e-3)
    assert pooled != (case.vlsm == "sam3")


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
def test_presence_is_in_full_precision_where_the_base_model_is_not(unfreeze, case, build, pictures):
    network = build(case, "coop", upsampler=False, unfreeze=unfreeze)
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


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=lambda case: case.vlsm)
def test_presence_is_learned_from_pairs_with_empty_masks(case, build):
    network = build(case, upsampler=False, unfreeze="all")
    generator = torch.Generator().manual_seed(0)
    images = 0.3 * torch.randn(12, 3, case.size, case.size, generator=generator)
    labels = torch.zeros(12, 1, case.size, case.size)
    for number in range(1, 12, 2):
        top, left = torch.randint(0, case.size - 10, (2,), generator=generator).tolist()
        images[number, :, top : top + 10, left : left + 10] += 2
        labels[number, :, top : top + 10, left : left + 10] = 1
    optimizer, loss = torch.optim.AdamW(network.parameters(), lr=0.003), PairDiceCELoss(lambda_presence=1)
    for _ in range(70):
        optimizer.zero_grad()
        loss(network.train()(images, ["polyp"] * 12, presence=True), labels).backward()
        optimizer.step()
    with torch.no_grad():
        chance = network.eval()(images, ["polyp"] * 12, presence=True).presence.sigmoid().flatten()
    assert chance[1::2].min() - chance[::2].max() > 0.2


@every_network
def test_evidence_begins_with_the_score_and_reads_the_decoder_where_it_can(case, build, pictures):
    with torch.no_grad():
        found = build(case).eval()(pictures(case), presence=True)
    assert torch.allclose(found.evidence[..., 0], found.presence.float(), rtol=1e-5)
    assert (found.evidence.shape[2] > 1) == (case.vlsm != "sam3")
    assert found.evidence.isfinite().all()


def test_evidence_has_the_features_of_the_mask_and_of_the_image():
    generator = torch.Generator().manual_seed(0)
    features, logits = torch.randn(6, 5, 3, 4, generator=generator), torch.randn(2, 3, 12, 16, generator=generator)
    found = presence_evidence(logits, features).numpy()
    assert found.shape == (2, 3, 11)
    small = logits.numpy().reshape(2, 3, 3, 4, 4, 4).mean(axis=(3, 5))  # the mean of each 4x4 block
    for image, text in np.ndindex(2, 3):
        weights = np.exp(small[image, text]) / np.exp(small[image, text]).sum()
        channels = features[3 * image + text].numpy()
        np.testing.assert_allclose(found[image, text, 1:6], (channels * weights).sum(axis=(1, 2)), atol=1e-5)
        np.testing.assert_allclose(found[image, text, 6:], channels.mean(axis=(1, 2)), atol=1e-5)
