"""The folders of all embedded base models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from monai_tunevlseg.demo import demo_model, embedded_models
from monai_tunevlseg.demo.measure_base_model import evaluate
from monai_tunevlseg.demo.scenes import SIZE
from monai_tunevlseg.demo.train_base_model import TrainingConfig, draw_batch
from monai_tunevlseg.demo.trainable_vlsms import TRAINABLE_VLSMS, load_trainable
from monai_tunevlseg.networks import VLSMS

FORWARD = {
    "clipseg": lambda model, images, tokens: model(pixel_values=images, **tokens).logits,
    "cris": lambda model, images, tokens: model(images, tokens["input_ids"])[:, 0],
}
LEAST_DICE = 0.75
LEAST_SILENCE = 0.85


@dataclass(frozen=True)
class Embedded:
    """An embedded model: its name, its base model as loaded by the package, and its VLSM as trained."""

    name: str
    base: Any
    vlsm: Any


@pytest.fixture(scope="module", params=embedded_models())
def embedded(request):
    base = VLSMS[request.param].load_base(demo_model(request.param))
    vlsm = load_trainable(request.param, demo_model(request.param))  # strict: the script still trains these sizes
    vlsm.tokenizer = base.tokenizer
    return Embedded(request.param, base, vlsm.eval())


def test_every_trainable_vlsm_is_embedded():
    assert set(embedded_models()) == set(TRAINABLE_VLSMS)


def test_weights_follow_text_on_held_out_scenes(embedded):
    scores = evaluate(embedded.vlsm, count=40)
    assert scores.mean_dice >= LEAST_DICE
    assert scores.silence >= LEAST_SILENCE


@torch.no_grad()
def test_logits_are_those_of_the_base_model_and_of_its_network(embedded):
    vlsm, base = embedded.vlsm, embedded.base
    batch = draw_batch(vlsm, TrainingConfig(batch_size=2, phrases=1), step=0, seed=5)
    tokens = {key: value[batch.text_indices[:, 0]] for key, value in batch.tokens.items()}
    got = vlsm(batch.images, batch.tokens, batch.text_indices).logits[:, 0]
    expected = FORWARD[embedded.name](base.model.eval(), batch.images, tokens)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-4)
    texts = base.tokenizer.batch_decode(tokens["input_ids"], skip_special_tokens=True)
    network = VLSMS[embedded.name](base, texts, None, {}, upsampler=False).eval()
    torch.testing.assert_close(network(batch.images)[[0, 1], [0, 1]], got, rtol=1e-5, atol=1e-4)


def test_folder_is_consistent(embedded):
    base, vocabulary = embedded.base, len(embedded.base.tokenizer)
    assert base.image_size == SIZE
    assert base.tokenizer.model_max_length == 77
    assert base.tokenizer.eos_token_id == base.tokenizer.pad_token_id == vocabulary - 1
    assert not [key for key, value in base.model.state_dict().items() if not value.isfinite().all()]


def test_folders_hold_whole_models_and_are_small_together():
    common = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    files = {"clipseg": common | {"preprocessor_config.json"}, "cris": common}
    folders = [demo_model(name) for name in embedded_models()]
    assert {folder.name: {path.name for path in folder.iterdir()} for folder in folders} == files
    assert sum(path.stat().st_size for folder in folders for path in folder.iterdir()) <= 10_000_000


def test_unknown_model_is_reported_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'clipsegg'.*\bclipseg\b.*\bcris\b"):
        demo_model("clipsegg")
