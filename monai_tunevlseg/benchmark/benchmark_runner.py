"""Running all experiments of a benchmark, alone or together with other workers; resumes after interruptions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Protocol

from filelock import FileLock, Timeout

from monai_tunevlseg.benchmark.experiment_spec import ExperimentSpec
from monai_tunevlseg.benchmark.formatting import seconds_text
from monai_tunevlseg.benchmark.results_folder import FAILURE_FILE, write_json
from monai_tunevlseg.benchmark.settings import BenchmarkFolders

__all__ = ["BenchmarkRunner", "Runner", "estimate_seconds", "experiment_lock"]

logger = logging.getLogger(__name__)


def experiment_lock(results_dir: Path, spec: ExperimentSpec) -> FileLock:
    """Return the lock of an experiment's folder; the worker that holds it finishes the experiment."""
    folder = results_dir / spec.name
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".lock")


class Runner(Protocol):
    """Runs or tests one experiment, and stores its results in its folder in ``folders.results``."""

    folders: BenchmarkFolders

    def finished_seconds(self, spec: ExperimentSpec) -> float | None:
        """Return the seconds of a finished experiment; None if it is not finished."""

    def run_trials(self, spec: ExperimentSpec) -> None:
        """Help another worker, which runs the experiment."""

    def run(self, spec: ExperimentSpec) -> None:
        """Run the experiment."""


@dataclass
class BenchmarkRunner:
    """Runs the experiments of a benchmark that are not finished.

    Attributes:
        specs: experiments in the order in which they run.
        runner: runs one experiment.
        log: receives lines about the progress.
        noun: what the lines call the experiments.
        failures: error messages of failed experiments.
        finished: seconds of the experiments that are known to be finished, so that their results are read once.
    """

    specs: Sequence[ExperimentSpec]
    runner: Runner
    log: Callable[[str], None]
    noun: str = "experiments"
    failures: dict[ExperimentSpec, str] = field(default_factory=dict)
    finished: dict[ExperimentSpec, float] = field(default_factory=dict)

    def run(self) -> None:
        """Run all experiments: first those without a worker, then help the other workers with theirs."""
        remaining = self._remaining()
        self.log(f"{len(self.specs)} {self.noun}, {len(self.finished)} of them finished before")
        for spec in remaining:
            self._run(spec, wait=False)
        for spec in self._remaining():
            if spec not in self.failures:
                self._run(spec, wait=True)

    def _run(self, spec: ExperimentSpec, wait: bool) -> None:
        lock = experiment_lock(self.runner.folders.results, spec)
        try:
            if wait:
                self.runner.run_trials(spec)
            with lock.acquire(timeout=-1 if wait else 0):
                if self.runner.finished_seconds(spec) is None:
                    self.log(f"{spec.name} ...")
                    self.runner.run(spec)
        except Timeout:
            return  # another worker runs it
        except Exception as error:  # one failed experiment must not end the others
            logger.exception(f"{spec.name} failed")
            self.failures[spec] = str(error) or repr(error)
            write_json(self.runner.folders.results / spec.name / FAILURE_FILE, {"message": self.failures[spec]})
            self.log(f"{spec.name} failed: {self.failures[spec]}")
            return
        self._log_progress()

    def _log_progress(self) -> None:
        remaining = self._remaining()
        left = estimate_seconds([spec for spec in remaining if spec not in self.failures], self.finished)
        about = "" if left is None or not remaining else f", about {seconds_text(left)} of work left"
        self.log(f"{len(self.specs) - len(remaining)} of {len(self.specs)} {self.noun} are finished{about}")

    def _remaining(self) -> list[ExperimentSpec]:
        """Return the experiments that are not finished, by this worker or another one."""
        for spec in self.specs:
            if spec not in self.finished and (seconds := self.runner.finished_seconds(spec)) is not None:
                self.finished[spec] = seconds
        return [spec for spec in self.specs if spec not in self.finished]


def estimate_seconds(remaining: Sequence[ExperimentSpec], finished: Mapping[ExperimentSpec, float]) -> float | None:
    """Estimate the time of the remaining experiments, run one after the other.

    The estimate of an experiment is the mean over the finished ones that have its method, among these over those that
    have its model, and among these over those that have its number of shots. A step that leaves none is left out.

    Args:
        remaining: experiments that are not finished.
        finished: seconds of those that are.

    Returns:
        seconds; None while no similar experiment is finished.
    """
    total = 0.0
    for spec in remaining:
        alike = [(other, seconds) for other, seconds in finished.items() if other.trains == spec.trains]
        for same in ("method", "model", "num_shots"):
            nearer = [found for found in alike if getattr(found[0], same) == getattr(spec, same)]
            alike = nearer or alike
        if alike:
            total += fmean(seconds for _, seconds in alike)
        elif spec.trains:
            return None
    return total
