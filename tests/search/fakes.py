"""Searches whose trials are small scripts instead of bundle runs, and workers in processes that can be killed."""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from monai_tunevlseg.search.graceful_shutdown import GracefulShutdown
from monai_tunevlseg.search.search_space import Dimension
from monai_tunevlseg.search.storages import open_storage
from monai_tunevlseg.search.study import join_study, run_trials
from monai_tunevlseg.search.trial_queue import TrialQueue
from monai_tunevlseg.search.trials import TrialRunner

PLAN = {"version": 1, "experiment": "fake", "objective": "val_dice", "seed": 0}
SPACE = {
    name: Dimension(distribution, distribution)
    for name, distribution in {
        "learning_rate": FloatDistribution(1e-5, 5e-3, log=True),
        "prompt_depth": IntDistribution(1, 11),
        "linear_projection": CategoricalDistribution([True, False]),
    }.items()
}
TRAINING = """
import json, pathlib, sys, time
folder, params, epochs, seconds, fail = pathlib.Path(sys.argv[1]), *map(json.loads, sys.argv[2:])
if fail and params["prompt_depth"] > fail:
    raise RuntimeError("out of memory")
(folder / "models").mkdir(); (folder / "eval").mkdir()
lines = []
for epoch in range(1, epochs + 1):
    time.sleep(seconds)
    dice = params["learning_rate"] * 100 + params["prompt_depth"] / 100 + epoch / 1000
    costs = {"seconds_per_step": epoch / 8, "peak_memory_bytes": 1}
    lines.append(json.dumps({"epoch": epoch, "val_mean_dice": dice, "val_loss": -dice, **costs}))
    part = folder / "eval" / "part"
    part.write_text("".join(line + chr(10) for line in lines))
    part.rename(folder / "eval" / "validation.jsonl")
(folder / "models" / "model.pt").write_text(json.dumps(params))
(folder / "models" / "last.pt").write_text("to continue from")
"""


@dataclass(frozen=True)
class FakeCommand:
    """Returns the command of a trial; prompt depths above `fail` crash, and trials from `slow` on take a minute."""

    epochs: int = 2
    seconds: float = 0.0
    fail: int = 0
    slow: int | None = None

    def __call__(self, folder, params):
        started = len(list(folder.parent.iterdir()))
        seconds = 60.0 if self.slow is not None and started > self.slow else self.seconds
        values = (dict(params), self.epochs, seconds, self.fail)
        return [sys.executable, "-S", "-c", TRAINING, str(folder), *(json.dumps(value) for value in values)]


def run_worker(
    url,
    folder,
    trials,
    command=None,
    pruner=None,
    heartbeat_interval=0.1,
    grace_period=60.0,
    max_failures=3,
    plan=PLAN,
    name="fake",
    limits=None,
):
    """Join the study, run trials until it has finished, and return it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = join_study(open_storage(url), name, plan, pruner)
    queue = TrialQueue(study, trials, SPACE.keys(), heartbeat_interval, grace_period)
    with GracefulShutdown() as shutdown:
        command, objective = command or FakeCommand(), plan["objective"]
        runner = TrialRunner(queue, SPACE, objective, Path(folder), command, shutdown, bool(pruner), limits)
        run_trials(queue, runner, plan["seed"], max_failures, poll=0.05)
    return study


def start_worker(*arguments, method="fork", **options):
    """Start a worker in a child process."""
    process = multiprocessing.get_context(method).Process(target=run_worker, args=arguments, kwargs=options)
    process.start()
    return process


def wait_until(condition, patience=60.0):
    """Wait until a condition holds, and return its value."""
    end = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(condition)
        time.sleep(0.02)
    return found


def table(study):
    """Return the slot, hyperparameters and value of each finished trial, sorted."""
    done = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    rows = [(trial.user_attrs["slot"], tuple(sorted(trial.params.items())), trial.value) for trial in done]
    return sorted(rows)


def assert_whole(study, trials):
    """Check that exactly this number of trials has finished, in different slots, and that none is left running."""
    states = [trial.state.name for trial in study.get_trials()]
    assert states.count("COMPLETE") == trials, states
    assert set(states) <= {"COMPLETE", "FAIL"}, states
    rows = table(study)
    assert len({slot for slot, *_ in rows}) == trials
    assert len({params for _, params, _ in rows}) == trials
