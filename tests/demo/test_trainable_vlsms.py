"""The VLSMs in training give the logits of the saved models that the package loads."""

from __future__ import annotations

import pytest
import torch

from monai_tunevlseg.demo.scenes import FILLS, FORMS, SIZE
from monai_tunevlseg.demo.tokenizer import CONTEXT_LENGTH
from monai_tunevlseg.demo.train_base_model import TrainingConfig, draw_batch, total_loss
from monai_tunevlseg.demo.trainable_vlsms import TRAINABLE_VLSMS
from monai_tunevlseg.networks import VLSMS

SMALL = TrainingConfig(steps=2, batch_size=2, phrases=2, warmup=1)

every_vlsm = pytest.mark.parametrize("name", list(TRAINABLE_VLSMS))


@pytest.fixture
def vlsm(name):
    torch.manual_seed(0)
    return TRAINABLE_VLSMS[name]().eval()


@every_vlsm
@torch.no_grad()
def test_outputs_are_a_mask_per_pair_and_scores_per_image_and_text(vlsm, name):
    batch = draw_batch(vlsm, SMALL, step=0, seed=5)
    found = vlsm(batch.images, batch.tokens, batch.text_indices)
    texts = len(batch.tokens["input_ids"])
    assert found.logits.shape == (2, 2, SIZE, SIZE)
    assert found.fill_scores.shape == (2, len(FILLS), 12, 12) and found.form_scores.shape == (2, len(FORMS), 12, 12)
    assert found.patch_scores.shape[:2] == found.image_scores.shape == (2, texts) and len(found.text_features) == texts
    assert len({score.item() for score in found.image_scores.flatten()}) == 2 * texts


@every_vlsm
@torch.no_grad()
def test_saved_folder_loads_and_its_network_gives_the_same_logits(vlsm, name, tmp_path):
    network = VLSMS[name]
    (tmp_path / "config.json").write_text("{}")  # files of an earlier save are replaced
    vlsm.save(tmp_path)
    vlsm.save(tmp_path)
    written = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    written |= {"preprocessor_config.json"} if name == "clipseg" else set()  # CRIS is published without one
    assert {path.name for path in tmp_path.iterdir()} == written
    texts = ["red circle", "a photo of a very long polyp"]
    images = torch.randn(2, 3, SIZE, SIZE)
    got = vlsm(images, vlsm.tokenize(texts), torch.tensor([[0, 1], [0, 1]])).logits
    expected = network(network.load_base(tmp_path), texts, None, {}, upsampler=False).eval()(images)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-4)


@every_vlsm
@torch.no_grad()
def test_masks_follow_the_text_indices(vlsm, name):
    tokens = vlsm.tokenize(["ring", "a photo of a blue object"])
    images = torch.randn(2, 3, SIZE, SIZE)
    both = vlsm(images, tokens, torch.tensor([[0, 1], [0, 1]])).logits
    swapped = vlsm(images, tokens, torch.tensor([[1], [0]])).logits
    torch.testing.assert_close(swapped[:, 0], torch.stack([both[0, 1], both[1, 0]]), rtol=1e-4, atol=1e-4)
    assert (both[:, 0] - both[:, 1]).abs().max() > 1e-3


@every_vlsm
def test_every_weight_is_trained(vlsm, name):
    batch = draw_batch(vlsm.train(), TrainingConfig(batch_size=4), step=0, seed=5)
    outputs = vlsm(batch.images, batch.tokens, batch.text_indices)
    total_loss(outputs, batch).backward()
    assert not [key for key, value in vlsm.named_parameters() if value.grad is None or not value.grad.any()]


@every_vlsm
def test_sizes_match_scenes_tokenizer_and_prompt_depths(vlsm, name, tmp_path):
    vlsm.save(tmp_path)
    network = VLSMS[name]
    base = network.load_base(tmp_path)
    assert base.image_size == SIZE
    assert base.tokenizer.model_max_length == CONTEXT_LENGTH
    assert network(base, ["red circle"], "coop", {"prompt_depth": 6}, upsampler=False).encoder_sizes().text_layers == 6


def test_batch_norms_of_cris_update_their_statistics_in_training():
    vlsm = TRAINABLE_VLSMS["cris"]().train()
    batch = draw_batch(vlsm, SMALL, step=0, seed=5)
    vlsm(batch.images, batch.tokens, batch.text_indices)
    norms = [module for module in vlsm.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    assert norms and all(norm.num_batches_tracked == 1 and norm.running_mean.any() for norm in norms)
