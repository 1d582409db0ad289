"""Early stopping on made-up curves of the validation loss."""

import math

import pytest
from ignite.engine import Engine, Events

from monai_tunevlseg.training import EarlyStopping


def epochs_run(losses, interval=1, **arguments):
    """Train a run with these validation losses until early stopping ends it; return its last epoch."""
    validator = Engine(lambda engine, batch: None)
    stopping = EarlyStopping(validator, **arguments)
    trainer = Engine(lambda engine, batch: None)
    stopping.attach(trainer)
    values = iter(losses)

    def validate(engine):
        if engine.state.epoch % interval == 0:
            validator.state.metrics["val_loss"] = next(values)
            validator.state.epoch = engine.state.epoch
            validator.fire_event(Events.EPOCH_COMPLETED)

    trainer.add_event_handler("EPOCH_COMPLETED", validate)
    return trainer.run([0], max_epochs=len(losses) * interval).epoch


@pytest.mark.parametrize("fall", [5e-5, 9e-5])
def test_small_improvements_add_up(fall):
    """Lightning runs all 20 epochs of such curves."""
    losses = [1 - fall * epoch for epoch in range(20)]
    assert epochs_run(losses, patience=12, min_delta=1e-4) == 20


def test_improvements_below_min_delta_stop():
    assert epochs_run([1 - 1e-6 * epoch for epoch in range(20)], patience=12, min_delta=1e-4) == 13


@pytest.mark.parametrize(
    ("patience", "min_epochs", "expected"),
    [(3, 0, 8), (3, 8, 8), (3, 9, 9), (3, 12, 12), (1, 10, 10), (1, 0, 6), (12, 10, 17)],
)
def test_min_epochs_only_sets_the_earliest_stop(patience, min_epochs, expected):
    """The loss falls until epoch 5."""
    losses = [max(5 - epoch, 1) for epoch in range(20)]
    assert epochs_run(losses, patience=patience, min_epochs=min_epochs) == expected


def test_an_improvement_before_min_epochs_resets_the_count():
    losses = [5, 5, 5, 5, 4, 3, 3, 3, 3, 3]
    assert epochs_run(losses, patience=3, min_epochs=5) == 9


def test_patience_counts_validations_and_min_epochs_epochs():
    losses = [3, 3, 3, 3, 3, 3]
    assert epochs_run(losses, interval=3, patience=2, min_epochs=0) == 9
    assert epochs_run(losses, interval=3, patience=2, min_epochs=10) == 12


@pytest.mark.parametrize("losses", [[1, math.nan, math.nan, math.nan, 0.5], [math.nan] * 5, [1, math.inf, 1, 1, 1]])
def test_nan_is_not_an_improvement(losses):
    assert epochs_run(losses, patience=3) == (3 if losses[0] != losses[0] else 4)


def test_a_nan_does_not_hide_the_best_loss():
    assert epochs_run([1, math.nan, 2, 2, 2, 2], patience=4) == 5


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"patience": 0}, "early_stopping_patience is 0"), ({"patience": 1, "min_delta": -1}, "min_delta is -1")],
)
def test_wrong_arguments_are_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        EarlyStopping(Engine(lambda engine, batch: None), **arguments)
