"""CrashError, resumed, repeated and failing training runs."""

import math

import pytest
import torch
from ignite.engine import Events
from small_runs import raises_inside, run, workflow

from monai_tunevlseg.networks import VLSMS

BUNDLE = "clipseg_shared_attention"  # its dropout draws random numbers in every step


class CrashError(Exception):
    """What stands for a crash."""


def interrupt(name, iteration, **overrides):
    """Train, and crash before a step."""
    made = workflow(name, "train", "train", **overrides)

    def crash():
        raise CrashError

    made.trainer.add_event_handler(Events.ITERATION_STARTED(once=iteration), crash)
    with raises_inside(CrashError, ""):
        made.run()


def assert_same(left, right, where=""):
    """Compare nested states bit for bit."""
    assert type(left) is type(right), where
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list):
        assert len(left) == len(right), where
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            assert_same(one, other, f"{where}[{index}]")
    else:
        assert left == right or (left != left and right != right), where


def checkpoints(folder):
    """Load both checkpoints of a run, without what its process needed."""
    best, last = (torch.load(folder / "models" / name, weights_only=True) for name in ("model.pt", "last.pt"))
    for line in last["validation_log"]["lines"]:
        del line["seconds_per_step"], line["peak_memory_bytes"]
    return [best, last]


@pytest.fixture
def longer(small_train):
    """Four epochs of three batches, with every source of randomness and a schedule that acts within them."""
    return small_train | {
        "epochs": 4,
        "augmentation_probability": 1.0,
        "learning_rate": 0.05,
        "lr_patience": 0,
        "cache_rate": 0.5,
    }


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("iteration", [5, 7])
def test_a_resumed_run_ends_where_the_uninterrupted_one_ends(iteration, workers, longer, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(BUNDLE, "train", **longer | {"bundle_root": str(whole), "num_workers": 0})
    interrupted = longer | {"bundle_root": str(parts), "num_workers": workers}
    interrupt(BUNDLE, iteration, **interrupted)
    assert checkpoints(parts)[1]["epoch"] == (iteration - 1) // 3
    resumed = run(BUNDLE, "train", **interrupted, resume="true")
    assert resumed.trainer.state.epoch == 4
    assert_same(checkpoints(whole), checkpoints(parts))


def test_resuming_a_finished_run_changes_nothing(small_train, tmp_path):
    run(BUNDLE, "train", **small_train)
    before = checkpoints(tmp_path)
    run(BUNDLE, "train", **small_train, resume=True)
    assert_same(before, checkpoints(tmp_path))


def test_a_run_that_stopped_early_stays_stopped(longer, tmp_path):
    # no loss falls by 1000, so that the first validation stays the best one
    stopping = longer | {"early_stopping_patience": 1, "min_epochs": 1, "early_stopping_min_delta": 1000}
    assert run(BUNDLE, "train", **stopping).trainer.state.epoch == 2
    before = checkpoints(tmp_path)
    assert run(BUNDLE, "train", **stopping, resume=True).trainer.state.epoch == 2
    assert_same(before, checkpoints(tmp_path))


@pytest.mark.parametrize(("interval", "validated"), [(2, [2, 4]), (3, [3, 4]), (9, [4])])
def test_the_last_epoch_is_validated_and_can_be_the_best(interval, validated, longer, tmp_path):
    made = run(BUNDLE, "train", **longer | {"val_interval": interval})
    assert [line["epoch"] for line in checkpoints(tmp_path)[1]["validation_log"]["lines"]] == validated
    assert made.evaluator.state.best_metric_epoch in validated


def test_batches_that_do_not_make_the_effective_batch_are_an_error(small_train):
    with raises_inside(ValueError, match="effective_batch_size .*8.*batch_size 3"):
        run(BUNDLE, "train", **small_train | {"batch_size": 3})


def test_no_early_stop_before_the_least_number_of_epochs(longer):
    stopping = longer | {"early_stopping_patience": 1, "min_epochs": 3, "early_stopping_min_delta": 1000}
    assert run(BUNDLE, "train", **stopping).trainer.state.epoch == 3


def test_another_seed_gives_another_network(small_train, tmp_path):
    states = []
    for seed in (0, 1):
        run(BUNDLE, "train", **small_train | {"bundle_root": str(tmp_path / str(seed)), "seed": seed})
        states.append(checkpoints(tmp_path / str(seed))[0]["method.context"])
    assert not torch.equal(*states)


def test_resuming_without_a_checkpoint_names_it(small_train):
    with raises_inside(FileNotFoundError, match=r"models/last\.pt.*resume"):
        run(BUNDLE, "train", **small_train, resume=True)


def test_the_best_network_is_kept_though_later_ones_are_worse(longer, tmp_path):
    made = workflow(BUNDLE, "train", "train", **longer)

    def predict_nothing():
        with torch.no_grad():
            made.network_def.upsampler.convolution.bias.fill_(-1e4)

    made.trainer.add_event_handler(Events.EPOCH_STARTED(once=3), predict_nothing)
    made.run()
    best, last = checkpoints(tmp_path)
    assert last["epoch"] == 4 and last["best_metric_epoch"] < 3
    assert last["best_metric"] == made.evaluator.state.best_metric > 0
    assert any(not torch.equal(value, last["model"][name]) for name, value in best.items())


def poison(made, epoch):
    """Make a learned value NaN at the start of an epoch."""

    def spoil():
        with torch.no_grad():
            next(p for p in made.network_def.parameters() if p.requires_grad).fill_(math.nan)

    made.trainer.add_event_handler(Events.EPOCH_STARTED(once=epoch), spoil)


def test_a_nan_loss_stops_the_run_and_leaves_the_last_good_checkpoint(longer, tmp_path):
    made = workflow("clipseg_vpt", "train", "train", **longer)
    poison(made, epoch=3)
    with raises_inside(FloatingPointError, match=r"nan.*epoch 3, step 1 of 3.*models/last\.pt"):
        made.run()
    best, last = checkpoints(tmp_path)
    assert last["epoch"] == 2
    assert all(value.isfinite().all() for value in (*best.values(), *last["model"].values()))


def test_a_nan_loss_before_the_first_checkpoint_says_so(longer, tmp_path):
    made = workflow("clipseg_vpt", "train", "train", **longer)
    poison(made, epoch=1)
    with raises_inside(FloatingPointError, match="epoch 1, step 1 of 3; no checkpoint"):
        made.run()
    assert not list(tmp_path.rglob("*.pt"))


def test_a_parameter_spoilt_by_the_epochs_last_step_is_not_saved(longer, tmp_path):
    made = workflow("clipseg_vpt", "train", "train", **longer)

    def spoil():
        with torch.no_grad():
            next(p for p in made.network_def.parameters() if p.requires_grad).fill_(math.inf)

    made.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=3), spoil)
    with raises_inside(FloatingPointError, match="epoch 1, step 3 of 3"):
        made.run()
    assert not list(tmp_path.rglob("*.pt"))


def test_nothing_to_train_is_an_error(small_train):
    with raises_inside(ValueError, "method.*upsampler"):
        run("clipseg_vpt", "train", **small_train, method="null", upsampler=False)


@pytest.mark.parametrize("name", [f"{model}_coop" for model in VLSMS])
def test_a_run_of_every_vlsm_ends_where_the_uninterrupted_one_ends(name, longer, tmp_path):
    whole, parts = (longer | {"bundle_root": str(tmp_path / folder), "epochs": 2} for folder in ("whole", "parts"))
    run(name, "train", **whole)
    interrupt(name, 5, **parts)
    run(name, "train", **parts, resume=True)
    for one, other in zip(checkpoints(tmp_path / "whole"), checkpoints(tmp_path / "parts"), strict=True):
        assert_same(one, other)
