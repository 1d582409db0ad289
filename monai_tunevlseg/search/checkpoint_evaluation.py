"""Evaluation of a checkpoint in a child process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_tunevlseg.bundle_processes import ChildProcess, bundle_command, failure_reason
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.search.experiments import Experiment
from monai_tunevlseg.search.graceful_shutdown import GracefulShutdown
from monai_tunevlseg.search.limits import HangDetector, Limits

__all__ = ["evaluate_checkpoint", "run_evaluation"]

POLL = 1.0  # seconds between two checks of a running evaluation


def evaluate_checkpoint(
    experiment: Experiment,
    dataset_dir: str | Path,
    output_dir: Path,
    checkpoint: Path | None,
    overrides: Mapping[str, Any] | None = None,
    shutdown: GracefulShutdown | None = None,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Evaluate a checkpoint on the test split of an experiment, as `run_evaluation` does.

    Args:
        experiment: experiment whose ``evaluate.yaml`` is run.
        dataset_dir: folder of the dataset.
        output_dir: as for `run_evaluation`.
        checkpoint: path of a ``model.pt``; None = zero-shot.
        overrides: hyperparameters; those that ``evaluate.yaml`` does not have are ignored.
        shutdown: as for `run_evaluation`.
        limits: as for `run_evaluation`.
    """
    values = experiment.known("evaluate", overrides or {}) | {
        "bundle_root": experiment.bundle,
        "dataset_dir": dataset_dir,
        **({"method": None} if checkpoint is None else {"ckpt_path": checkpoint}),
    }
    return run_evaluation(experiment.name, experiment.configs("evaluate"), values, output_dir, shutdown, limits)


def run_evaluation(
    name: str,
    configs: Sequence[Path],
    values: Mapping[str, Any],
    output_dir: Path,
    shutdown: GracefulShutdown | None = None,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Run configs of an evaluation in a child process.

    Args:
        name: name of the evaluated network, for messages.
        configs: config files, merged in this order.
        values: values that replace those of the configs, by name; ``output_dir`` is set here.
        output_dir: folder of ``metrics.json``, ``pairs.csv``, the other files of the report, and the log.
        shutdown: shutdown request, checked during the evaluation.
        limits: time limits of the evaluation.

    Returns:
        the content of ``metrics.json``.

    Raises:
        RuntimeError: when the evaluation fails or exceeds its limits; names its log.
        KeyboardInterrupt: when a shutdown is requested.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    log = output_dir / "log.txt"
    log.unlink(missing_ok=True)
    child = ChildProcess(bundle_command(configs, {**values, "output_dir": output_dir}), log)
    end = _wait_for(child, shutdown, HangDetector(limits or Limits(), [log]))
    if end:
        reason = end if isinstance(end, str) else failure_reason(end, log)
        raise RuntimeError(f"the evaluation of {name} failed: {reason}; its log is {log}.")
    return read_json_object(output_dir / "metrics.json")


def _wait_for(child: ChildProcess, shutdown: GracefulShutdown | None, hang_detector: HangDetector) -> int | str:
    """Return the exit status, or the exceeded limit."""
    try:
        while (status := child.wait(POLL)) is None:
            if shutdown is not None:
                shutdown.raise_if_requested()
            if problem := hang_detector.problem():
                return problem
        return status
    finally:
        child.stop()
