"""Handlers on a real MONAI trainer with a network of one weight."""

import errno
import math
import os

import pytest
import torch
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import IgniteMetricHandler, ValidationHandler
from monai.metrics import MSEMetric
from torch import nn
from torch.utils.data import DataLoader

from monai_tunevlseg.atomic_files import unfinished_path
from monai_tunevlseg.training import (
    AccumulationRescaler,
    CheckpointHandler,
    EarlyStopping,
    TerminateOnNaN,
    TrainingProgress,
    accumulation_steps,
)


def samples(count):
    return [{"image": torch.tensor([float(n + 1)]), "label": torch.tensor([2.0 * n])} for n in range(count)]


def make_trainer(network, optimizer, handlers, count=8, epochs=3, **arguments):
    return SupervisedTrainer(
        device="cpu",
        max_epochs=epochs,
        train_data_loader=DataLoader(samples(count), batch_size=2),
        network=network,
        optimizer=optimizer,
        loss_function=nn.MSELoss(),
        train_handlers=handlers,
        **arguments,
    )


def make_evaluator(network):
    return SupervisedEvaluator(
        device="cpu",
        val_data_loader=DataLoader(samples(4), batch_size=2),
        network=network,
        key_val_metric={
            "score": IgniteMetricHandler(
                metric_fn=MSEMetric(),
                output_transform=lambda out: ([o["pred"] for o in out], [o["label"] for o in out]),
            )
        },
    )


class Run:
    """A trainer with validation, early stopping and checkpoints."""

    def __init__(self, folder, epochs=3, resume=False, learning_rate=0.01, patience=50):
        torch.manual_seed(0)
        self.network = nn.Linear(1, 1)
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=learning_rate)
        self.evaluator = make_evaluator(self.network)
        self.stopping = EarlyStopping(self.evaluator, patience=patience, metric="score")
        state = {"optimizer": optimizer, "early_stopping": self.stopping}
        self.checkpoints = CheckpointHandler(folder, self.network, self.evaluator, state, resume)
        handlers = [TerminateOnNaN(self.checkpoints), ValidationHandler(1, self.evaluator), self.stopping]
        self.trainer = make_trainer(self.network, optimizer, [*handlers, self.checkpoints], epochs=epochs)


@pytest.mark.parametrize("count", [8, 9, 10, 13, 14, 17])
def test_every_image_of_a_step_has_the_same_weight(count):
    """Accumulating 3 batches of 2 equals batches of 6, also in a last step with fewer images."""
    weights = []
    for arguments in ({"accumulation_steps": 3}, {}):
        torch.manual_seed(0)
        network = nn.Linear(1, 1)
        size = 2 if arguments else 6
        trainer = SupervisedTrainer(
            device="cpu",
            max_epochs=2,
            train_data_loader=DataLoader(samples(count), batch_size=size),
            network=network,
            optimizer=torch.optim.SGD(network.parameters(), lr=0.001),
            loss_function=nn.MSELoss(),
            train_handlers=[AccumulationRescaler()],
            **arguments,
        )
        trainer.run()
        weights.append(network.weight.item())
    assert weights[0] == pytest.approx(weights[1], rel=1e-6)


def test_accumulation_steps_make_the_effective_batch():
    assert [accumulation_steps(32, 8), accumulation_steps(32, 8, 4), accumulation_steps(8, 8)] == [4, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [((32, 5), "30 or 35"), ((32, 12), "24 or 36"), ((32, 64), " 64,"), ((32, 8, 8), "8 processes.* 64,")],
)
def test_a_batch_that_is_not_a_multiple_names_the_nearest(arguments, nearest):
    with pytest.raises(ValueError, match=rf"effective_batch_size .*32.*batch_size {arguments[1]}.*{nearest}"):
        accumulation_steps(*arguments)


def test_early_stopping_counts_validations_and_remembers(tmp_path):
    run = Run(tmp_path, epochs=9, learning_rate=0.0, patience=3)
    run.trainer.run()
    assert run.trainer.state.epoch == 4
    assert run.stopping.state_dict()["counter"] == 3


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_in_its_step(value, tmp_path):
    run = Run(tmp_path)

    def spoil(engine):
        if engine.state.iteration == 7:
            engine.state.batch["label"][0] = value

    run.trainer.add_event_handler("ITERATION_STARTED", spoil)
    with pytest.raises(FloatingPointError, match=r"(nan|inf).*epoch 2, step 3 of 4.*last\.pt"):
        run.trainer.run()
    assert torch.load(run.checkpoints.last_path, weights_only=True)["epoch"] == 1


class Overflowing(nn.Module):
    """MSE loss that is infinite in some calls, as a forward pass in half precision can be."""

    def __init__(self, calls):
        super().__init__()
        self.calls, self.count = calls, 0

    def forward(self, prediction, truth):
        self.count += 1
        return nn.functional.mse_loss(prediction, truth) * (math.inf if self.count in self.calls else 1)


def half_precision_run(folder, calls):
    """Train two epochs of four steps with a gradient scaler on the CPU; the loss overflows in some of the calls."""
    run = Run(folder, epochs=2)
    run.trainer.loss_function = Overflowing(calls)
    run.trainer.amp = True
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)  # in place of MONAI's, which needs CUDA
    run.trainer.add_event_handler("STARTED", lambda: setattr(run.trainer, "scaler", scaler))
    return run


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_gradient_scaler_leaves_steps_out_that_overflow(tmp_path):
    run = half_precision_run(tmp_path, calls={3, 6})
    run.trainer.run()
    assert run.trainer.state.epoch == 2
    assert run.trainer.scaler.get_scale() == 1.0  # halved twice
    assert all(parameter.isfinite().all() for parameter in run.network.parameters())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_epoch_in_which_every_step_overflows_stops_the_run(tmp_path):
    run = half_precision_run(tmp_path, calls={5, 6, 7, 8})
    with pytest.raises(FloatingPointError, match="inf.*epoch 2, step 4 of 4"):
        run.trainer.run()


def test_model_is_the_best_epoch_and_last_is_the_last(tmp_path):
    run = Run(tmp_path)
    seen = {}

    def remember(engine):
        seen[engine.state.epoch] = run.network.weight.detach().clone()

    run.trainer.add_event_handler("EPOCH_COMPLETED", remember)
    run.trainer.run()
    best, last = (torch.load(tmp_path / name, weights_only=True) for name in ("model.pt", "last.pt"))
    assert torch.equal(best["weight"], seen[run.evaluator.state.best_metric_epoch])
    assert torch.equal(last["model"]["weight"], seen[3])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "model.pt"]


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o027, 0o640)])
def test_files_have_the_mode_that_the_umask_leaves(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        Run(tmp_path, epochs=1).trainer.run()
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "last.pt": mode,
        "model.pt": mode,
    }


def test_unfinished_files_of_killed_runs_are_removed(tmp_path):
    litter = {unfinished_path(tmp_path / name).name for name in ("model.pt", "last.pt", "hyperparameters.json")}
    others = {"tmpabcdefgh", "notes.txt", unfinished_path(tmp_path / "other.pt").name}
    for name in litter | others:
        (tmp_path / name).write_bytes(b"x")
    Run(tmp_path, epochs=1).trainer.run()
    assert {path.name for path in tmp_path.iterdir()} == {"model.pt", "last.pt", *others}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space left"), RuntimeError("no space left")])
def test_a_write_that_fails_leaves_the_old_files(error, tmp_path, monkeypatch):
    Run(tmp_path, epochs=1).trainer.run()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    save = torch.save

    def full_disk(state, file):
        save(state, file)
        file.seek(0)
        file.truncate(100)
        raise error

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match=r"last\.pt.*no space left"):
        Run(tmp_path, epochs=2, resume=True).trainer.run()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"last\.pt.*ckpt_dir"):
        Run(tmp_path, resume=True).trainer.run()


def test_a_missing_best_network_is_named(tmp_path):
    Run(tmp_path, epochs=1).trainer.run()
    (tmp_path / "model.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.pt.*epoch 1.*last\.pt"):
        Run(tmp_path, resume=True).trainer.run()


def test_a_checkpoint_of_something_else_is_named(tmp_path):
    torch.save({"model": {}}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match=r"last\.pt.*best_metric, best_metric_epoch, data, early_stopping, epoch"):
        Run(tmp_path, resume=True).trainer.run()


@pytest.mark.parametrize(
    ("name", "value"), [("epoch", math.inf), ("epoch", -1), ("epoch", True), ("best_metric", "x"), ("epoch", 10**9)]
)
def test_an_impossible_number_in_a_checkpoint_is_named(name, value, tmp_path):
    Run(tmp_path, epochs=1).trainer.run()
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    torch.save(content | {name: value}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match=rf"last\.pt .*{value}"):
        Run(tmp_path, resume=True).trainer.run()


@pytest.mark.parametrize("damaged", ["model.pt", "last.pt"])
def test_damage_is_noticed_before_a_run_resumes(damaged, tmp_path):
    Run(tmp_path, epochs=1).trainer.run()
    path = tmp_path / damaged
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=damaged):
        Run(tmp_path, epochs=2, resume=True).trainer.run()


def test_a_checkpoint_of_another_network_is_named(tmp_path):
    Run(tmp_path, epochs=1).trainer.run()
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    torch.save(content | {"model": {"weight": torch.zeros(3, 1)}}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match=r"last\.pt.*weight"):
        Run(tmp_path, epochs=2, resume=True).trainer.run()


def test_a_run_without_a_valid_score_is_an_error(tmp_path):
    run = Run(tmp_path, epochs=1)
    run.evaluator.add_event_handler("EPOCH_COMPLETED", lambda: setattr(run.evaluator.state, "best_metric_epoch", -1))
    with pytest.raises(ValueError, match="score.*learning_rate"):
        run.trainer.run()
    assert not (tmp_path / "model.pt").exists()


def test_a_checkpoint_beyond_the_epochs_is_refused(tmp_path):
    Run(tmp_path, epochs=3).trainer.run()
    with pytest.raises(ValueError, match=r"last\.pt.*epoch 3.*epochs = 2"):
        Run(tmp_path, epochs=2, resume=True).trainer.run()


def test_more_epochs_can_be_added(tmp_path):
    Run(tmp_path / "whole", epochs=4).trainer.run()
    Run(tmp_path / "parts", epochs=2).trainer.run()
    Run(tmp_path / "parts", epochs=4, resume=True).trainer.run()
    whole, parts = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "parts"))
    assert torch.equal(whole["model"]["weight"], parts["model"]["weight"])


def test_the_progress_bar_shows_the_loss_on_a_terminal(monkeypatch, capsys):
    network = nn.Linear(1, 1)
    progress = TrainingProgress()
    progress.tqdm_kwargs["disable"] = False  # no terminal in a test
    make_trainer(network, torch.optim.SGD(network.parameters(), lr=0.0), [progress], epochs=1).run()
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert "loss=" in shown


def test_without_a_terminal_no_progress_bar_is_shown(capsys):
    network = nn.Linear(1, 1)
    make_trainer(network, torch.optim.SGD(network.parameters(), lr=0.0), [TrainingProgress()], epochs=1).run()
    assert "loss=" not in capsys.readouterr().err
