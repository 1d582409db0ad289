"""The validation schedule of a training, and its sampler."""

import pytest
from ignite.engine import Engine
from monai.engines import SupervisedEvaluator
from torch import nn

from monai_tunevlseg.training import Validation, validation_sampler


def validated_epochs(epochs, **arguments):
    """Run an engine for some epochs of one step, and return the epochs that it validated."""
    seen = []
    evaluator = SupervisedEvaluator("cpu", [{"image": 0, "label": 0}], nn.Identity())
    evaluator.run = seen.append
    engine = Engine(lambda engine, batch: None)
    Validation(evaluator, **arguments).attach(engine)
    engine.run([0], max_epochs=epochs)
    return seen


@pytest.mark.parametrize(
    ("epochs", "interval", "expected"),
    [(3, 1, [1, 2, 3]), (5, 2, [2, 4, 5]), (4, 2, [2, 4]), (1, 2, [1]), (20, 30, [20])],
)
def test_the_last_epoch_is_always_validated(epochs, interval, expected):
    assert validated_epochs(epochs, interval=interval) == expected


def test_initial_weights_are_validated_as_epoch_0():
    assert validated_epochs(2, start=True) == [0, 1, 2]


@pytest.mark.parametrize("interval", [0, -1, 1.5, "2"])
def test_a_wrong_interval_is_named(interval):
    evaluator = SupervisedEvaluator("cpu", [{"image": 0, "label": 0}], nn.Identity())
    with pytest.raises(ValueError, match=rf"val_interval .*{interval}"):
        Validation(evaluator, interval)


def test_every_image_is_validated_by_one_process():
    shares = [list(validation_sampler(range(7), 3, rank)) for rank in range(3)]
    assert sorted(sum(shares, [])) == list(range(7))


def test_fewer_images_than_processes_are_named():
    with pytest.raises(ValueError, match=r"'val' has 1 .* 2 processes"):
        validation_sampler(range(1), 2, 0)
