import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from monai_tunevlseg.demo import train_base_model
from monai_tunevlseg.demo.scenes import FILLS, FORMS, SIZE, render_scene
from monai_tunevlseg.demo.train_base_model import (
    TrainingConfig,
    cell_kinds,
    draw_batch,
    mask_loss,
    similarity_loss,
    total_loss,
)
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


def test_training_continues_from_the_initial_weights(tmp_path):
    torch.manual_seed(0)
    vlsm = TRAINABLE_VLSMS["cris"]()
    vlsm.save(tmp_path / "first")
    app = train_base_model.typer.Typer()
    app.command()(train_base_model.main)
    arguments = ["--model", "cris", "--steps", "1", "--batch-size", "1", "--learning-rate", "0", "--seed", "1"]
    arguments += ["--initial", str(tmp_path / "first"), "--output", str(tmp_path / "second"), "--held-out-scenes", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    second = load_file(tmp_path / "second" / "model.safetensors")
    parameters = {name.removeprefix("model."): value for name, value in vlsm.named_parameters()}
    assert all(torch.equal(second[name], parameters[name]) for name in parameters if name in second)


def test_mask_loss_is_lowest_for_the_mask_and_has_no_dice_for_empty_masks():
    masks = torch.zeros(1, 2, 8, 8)
    masks[0, 0, 1:7, 1:7] = 1
    right, wrong = 20 * (masks - 0.5), -20 * (masks - 0.5)
    assert mask_loss(right, masks) < 1e-3
    assert mask_loss(wrong, masks) > 5
    empty = torch.zeros(1, 1, 8, 8)
    silent = torch.full_like(empty, -5.0)
    no_mask = torch.nn.functional.softplus(torch.tensor(-5.0))  # cross entropy of each pixel, and of the presence
    torch.testing.assert_close(mask_loss(silent, empty), 1.8 * no_mask)


def test_a_few_pixels_of_false_foreground_count_in_the_loss():
    silent = torch.full((1, 1, 96, 96), -8.0)
    speck = silent.clone()
    speck[..., 40:46, 40:46] = 8.0
    empty = torch.zeros_like(silent)
    assert mask_loss(speck, empty) - mask_loss(silent, empty) > 1.0


def test_kind_of_a_cell_is_that_of_what_covers_most_of_it():
    scene = next(s for s in map(render_scene, range(50)) if len(s.kinds) > 2)
    kinds = cell_kinds(scene)
    for row in range(12):
        for column in range(12):
            cell = scene.masks[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].mean(axis=(1, 2))
            fill, form = scene.kinds[cell.argmax()]
            expected = [FILLS.index(fill), FORMS.index(form)] if cell.max() > 0.5 else [-1, -1]
            assert kinds[:, row, column].tolist() == expected


def test_texts_are_alike_as_far_as_they_name_the_same():
    fills = torch.eye(8)[[0, 0, 1]] + torch.tensor([[0.0], [1.0], [0.0]]) * torch.eye(8)[1]  # {0}, {0, 1}, {1}
    meanings = torch.cat([fills, torch.eye(9)[[3, 3, 4]]], dim=1)
    # overlaps: (1/2 + 1) / 2 of the first two, 0 of the first and the last, (1/2 + 0) / 2 of the last two
    wanted = torch.tensor([[1.0, 0.75, 0.0], [0.75, 1.0, 0.25], [0.0, 0.25, 1.0]])
    features = torch.linalg.cholesky(wanted)
    assert similarity_loss(7 * features, meanings) < 1e-12
    torch.testing.assert_close(similarity_loss(torch.ones(3, 2), meanings), (1 - wanted).square().mean())


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_a_step_with_gradients_that_are_not_finite_is_skipped(tmp_path, caplog):
    torch.manual_seed(0)
    vlsm = TRAINABLE_VLSMS["cris"]()
    before = {key: value.clone() for key, value in vlsm.named_parameters()}
    next(vlsm.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    train_base_model.train(vlsm, TrainingConfig(steps=1, batch_size=1), seed=3, output=tmp_path)
    assert all(torch.equal(before[key], value) for key, value in vlsm.named_parameters())
    assert "step 0" in caplog.text
