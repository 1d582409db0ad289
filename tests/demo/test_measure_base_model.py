import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from monai_tunevlseg.demo import measure_base_model
from monai_tunevlseg.demo.measure_base_model import Scores, evaluate
from monai_tunevlseg.demo.phrases import PHRASE_KINDS
from monai_tunevlseg.demo.trainable_vlsms import TRAINABLE_VLSMS, Outputs


class Painter(TRAINABLE_VLSMS["cris"]().__class__):
    """Predicts the same foreground for every text: the first `rows` rows."""

    def __init__(self, rows):
        torch.nn.Module.__init__(self)
        self.rows, self.tokenizer = rows, TRAINABLE_VLSMS["cris"]().tokenizer

    def forward(self, images, tokens, text_indices):
        logits = torch.full((*text_indices.shape, 96, 96), -1.0)
        logits[:, :, : self.rows] = 1.0
        return Outputs(logits, *[None] * 5)


def test_scores_of_constant_predictions():
    silent, loud = evaluate(Painter(0), 5), evaluate(Painter(96), 5)
    assert (silent.mean_dice, silent.silence) == (0, 1)
    assert loud.silence == 0
    assert sum(map(len, loud.dice.values())) == sum(map(len, loud.silent.values())) == 20
    assert set(loud.dice) <= set(PHRASE_KINDS)
    for dice in (value for values in loud.dice.values() for value in values):
        area = dice / (2 - dice)  # of an all-foreground prediction: Dice = 2 a / (1 + a)
        assert area * 96 * 96 == pytest.approx(round(area * 96 * 96), abs=1e-2)


def test_means_are_over_all_pairs():
    scores = Scores({"noun": [1.0, 0.0, 0.0], "color": [1.0]}, {"noun": [1.0], "color": [0.0, 0.0, 1.0]})
    assert (scores.mean_dice, scores.silence) == (0.5, 0.5)


def test_command_prints_the_scores_of_the_embedded_model(monkeypatch):
    app = measure_base_model.typer.Typer()
    app.command()(measure_base_model.main)
    run = CliRunner().invoke(app, ["--model", "cris", "--scenes", "3"])
    assert run.exit_code == 0, run.output
    assert [kind for kind in PHRASE_KINDS if kind in run.output] == list(PHRASE_KINDS)
    torch.manual_seed(0)
    expected = evaluate(measure_base_model.load_trainable("cris", measure_base_model.demo_model("cris")), 3)
    assert f"{np.round(expected.mean_dice, 3):.3f}" in run.output
