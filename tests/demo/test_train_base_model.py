import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from monai_tunevlseg.demo import train_base_model
from monai_tunevlseg.demo.scenes import SIZE
from monai_tunevlseg.demo.train_base_model import TrainingConfig, draw_batch, mask_loss, total_loss
from monai_tunevlseg.demo.trainable_vlsms import TRAINABLE_VLSMS
from monai_tunevlseg.networks import VLSMS

every_vlsm = pytest.mark.parametrize("name", list(TRAINABLE_VLSMS))


@every_vlsm
def test_command_writes_a_folder_that_can_be_loaded(name, tmp_path):
    app = train_base_model.typer.Typer()
    app.command()(train_base_model.main)
    arguments = ["--model", name, "--output", str(tmp_path), "--steps", "2", "--batch-size", "2"]
    result = CliRunner().invoke(app, [*arguments, "--held-out-scenes", "2"])
    assert result.exit_code == 0, result.output
    assert VLSMS[name].load_base(tmp_path).image_size == SIZE


@every_vlsm
def test_training_is_reproducible_and_saves_all_changed_weights(name, tmp_path):
    states = []
    for run in range(2):
        torch.manual_seed(0)
        vlsm = TRAINABLE_VLSMS[name]()
        before = {key: value.clone() for key, value in vlsm.named_parameters()}
        train_base_model.train(
            vlsm, TrainingConfig(steps=3, batch_size=2, warmup=1), seed=3, output=tmp_path / str(run)
        )
        states.append(vlsm.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not [key for key in before if torch.equal(before[key], states[0][key])]
    saved = load_file(tmp_path / "1" / "model.safetensors")
    assert saved.items() and all(torch.equal(value, states[1][f"model.{key}"]) for key, value in saved.items())


@every_vlsm
def test_training_lowers_the_loss(name, tmp_path):
    torch.manual_seed(1)
    vlsm = TRAINABLE_VLSMS[name]()
    config = TrainingConfig(steps=16, batch_size=4, learning_rate=3e-3, warmup=4)
    batch = draw_batch(vlsm, config, step=0, seed=9)

    def loss():
        with torch.no_grad():
            return total_loss(vlsm.train()(batch.images, batch.tokens, batch.text_indices), batch)

    before = loss()
    train_base_model.train(vlsm, config, seed=3, output=tmp_path)
    assert loss() < 0.9 * before


def test_held_out_seed_and_unknown_model_are_refused(tmp_path):
    with pytest.raises(ValueError, match="seed 20241"):
        train_base_model.train(torch.nn.Module(), TrainingConfig(), train_base_model.HELD_OUT_SEED, tmp_path)
    with pytest.raises(ValueError, match="model 'clipsegg'"):
        TRAINABLE_VLSMS["clipsegg"]


def test_learning_rate_warms_up_and_falls_to_zero():
    config = TrainingConfig(steps=100, warmup=10)
    rates = [config.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0)


def test_mask_loss_is_lowest_for_the_mask_and_has_no_dice_for_empty_masks():
    masks = torch.zeros(1, 2, 8, 8)
    masks[0, 0, 2:5, 2:5] = 1
    right, wrong = 20 * (masks - 0.5), -20 * (masks - 0.5)
    assert mask_loss(right, masks) < 1e-3
    assert mask_loss(wrong, masks) > 5
    empty = torch.zeros(1, 1, 8, 8)
    silent = torch.full_like(empty, -5.0)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(silent, empty)
    torch.testing.assert_close(mask_loss(silent, empty), expected)
