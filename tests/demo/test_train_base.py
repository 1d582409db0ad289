from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, CLIPSegForImageSegmentation
from typer.testing import CliRunner

import monai_tunevlseg.demo
from monai_tunevlseg.demo import train_base
from monai_tunevlseg.demo.scenes import SIZE
from monai_tunevlseg.demo.train_base import CLIPSegTrainee, Schedule, draw_batch, evaluate, mask_loss

EMBEDDED = Path(monai_tunevlseg.demo.__file__).parent / "clipseg"


@pytest.fixture(scope="module")
def embedded():
    model = CLIPSegForImageSegmentation.from_pretrained(EMBEDDED)
    trainee = CLIPSegTrainee(model.config, AutoTokenizer.from_pretrained(EMBEDDED))
    trainee.model = model
    return trainee


def test_embedded_weights_follow_text_on_held_out_scenes(embedded):
    assert evaluate(embedded, count=100) >= 0.65


def test_embedded_folder_is_small_and_consistent(embedded):
    assert (EMBEDDED / "model.safetensors").stat().st_size <= 6_000_000
    text, vision = embedded.model.config.text_config, embedded.model.config.vision_config
    assert text.vocab_size == len(embedded.tokenizer)
    assert text.eos_token_id == embedded.tokenizer.eos_token_id != 2
    assert text.bos_token_id == embedded.tokenizer.bos_token_id
    assert text.pad_token_id == embedded.tokenizer.pad_token_id
    assert text.max_position_embeddings == embedded.tokenizer.model_max_length == 77
    assert text.num_hidden_layers == vision.num_hidden_layers == 6
    assert vision.image_size == SIZE and vision.image_size % vision.patch_size == 0


@torch.no_grad()
def test_trainee_gives_the_logits_of_transformers_forward(embedded):
    batch = draw_batch(embedded.eval(), Schedule(batch_size=2, phrases=1), step=0, seed=5)
    tokens = {key: value[batch.which[:, 0]] for key, value in batch.tokens.items()}
    expected = embedded.model(pixel_values=batch.images, **tokens).logits
    got = embedded(batch.images, batch.tokens, batch.which).logits[:, 0]
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-4)


def test_command_writes_a_folder_that_loads(tmp_path):
    app = train_base.typer.Typer()
    app.command()(train_base.main)
    arguments = ["--output", str(tmp_path), "--steps", "2", "--batch-size", "2", "--held-out-scenes", "2"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    model = CLIPSegForImageSegmentation.from_pretrained(tmp_path)
    tokens = AutoTokenizer.from_pretrained(tmp_path)(["red circle"], return_tensors="pt")
    assert model(pixel_values=torch.zeros(1, 3, SIZE, SIZE), **tokens).logits.shape[-2:] == (SIZE, SIZE)


def test_training_repeats_itself_and_moves_every_encoder(tmp_path):
    states = []
    for run in range(2):
        torch.manual_seed(0)
        trainee = train_base.TRAINEES["clipseg"]()
        before = {name: value.clone() for name, value in trainee.state_dict().items()}
        train_base.train(trainee, Schedule(steps=2, batch_size=2, warmup=1), seed=3, output=tmp_path / str(run))
        states.append(trainee.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in before)
    moved = {name for name in before if not torch.equal(before[name], states[0][name])}
    for part in ("clip.text_model.encoder", "clip.vision_model.encoder", "decoder.layers", "decoder.film_mul"):
        assert any(part in name for name in moved)


def test_held_out_seed_and_unknown_model_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"seed 20241 renders the held-out scenes"):
        train_base.train(torch.nn.Module(), Schedule(), train_base.HELD_OUT_SEED, tmp_path)
    with pytest.raises(ValueError, match="unknown model 'clipsegg'"):
        train_base.TRAINEES["clipsegg"]


def test_schedule_warms_up_and_falls_to_zero():
    schedule = Schedule(steps=100, warmup=10)
    rates = [schedule.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0)


def test_mask_loss_is_lowest_for_the_mask_and_leaves_empty_masks_out_of_dice():
    masks = torch.zeros(1, 2, 8, 8)
    masks[0, 0, 2:5, 2:5] = 1
    right, wrong = 20 * (masks - 0.5), -20 * (masks - 0.5)
    assert mask_loss(right, masks) < 1e-3
    assert mask_loss(wrong, masks) > 5
    empty = torch.zeros(1, 1, 8, 8)
    silent = torch.full_like(empty, -5.0)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(silent, empty)
    torch.testing.assert_close(mask_loss(silent, empty), expected)
