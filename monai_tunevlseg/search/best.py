"""The best trial: written back as a pair overlay and as a bundle, and tested, once."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial

from monai_tunevlseg.bundles import with_values
from monai_tunevlseg.data.atomic import replacing
from monai_tunevlseg.search.interruption import Interruption
from monai_tunevlseg.search.pairs import Pair, bundle_command
from monai_tunevlseg.search.processes import ChildProcess, failure_reason
from monai_tunevlseg.search.trials import OBJECTIVES, trial_problem
from monai_tunevlseg.training import CHECKPOINT, HYPERPARAMETERS

__all__ = ["choose_best", "evaluate", "write_bundle", "write_overlay"]

WATCH = 1.0  # seconds between two looks at a running evaluation

logger = logging.getLogger(__name__)


def choose_best(trials: Sequence[FrozenTrial], objective: str) -> tuple[FrozenTrial, list[str]]:
    """Return the best trial whose folder is whole, and what is wrong with the folders of better ones.

    Of equal trials the one of the lowest slot wins.

    Raises:
        FileNotFoundError: when no folder is whole; names the best one.
    """
    sign = -1 if OBJECTIVES[objective].direction == "maximize" else 1
    problems: list[str] = []
    for trial in sorted(trials, key=lambda trial: (sign * float(trial.value or 0), trial.user_attrs["slot"])):
        problem = trial_problem(Path(trial.user_attrs["folder"]))
        if problem is None:
            return trial, problems
        problems.append(f"trial {trial.number}: {problem}")
    raise FileNotFoundError(
        f"no trial has a folder that can be used; the best one is {problems[0] if problems else 'none'}. "
        "Run the same command on the machine that has the folders."
    )


def write_overlay(path: Path, pair: Pair, values: Mapping[str, Any]) -> None:
    """Write hyperparameters as a config to be laid over the pair's."""
    train, config = (f"'{file.as_posix()}'" for file in pair.configs("train"))
    head = (
        f"# {pair.name}: the best trial of a search; written by `tunevlseg search`\n"
        f"# python -m monai.bundle run --bundle_root {pair.bundle.as_posix()} --dataset_dir DIR\n"
        f"#   --config_file \"[{train},{config},'{path.as_posix()}']\"\n"
    )
    with replacing(path) as unfinished:
        unfinished.write_text(head + yaml.safe_dump(dict(values), sort_keys=False), encoding="utf-8")


def write_bundle(folder: Path, pair: Pair, values: Mapping[str, Any], checkpoint: Path) -> None:
    """Write a trained bundle: a copy of the pair's, with the pair's values and the best ones in its configs.

    A folder that is there already is replaced.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        made = Path(temporary) / folder.name
        for part in ("configs", "docs"):
            shutil.copytree(pair.bundle / part, made / part)
        if (pair.bundle / "LICENSE").is_file():
            shutil.copy(pair.bundle / "LICENSE", made)
        overlay = yaml.safe_load(pair.config.read_text(encoding="utf-8")) | dict(values)
        for config in sorted((made / "configs").glob("*.yaml")):
            config.write_text(with_values(config.read_text(encoding="utf-8"), overlay), encoding="utf-8")
        (made / CHECKPOINT).parent.mkdir()
        shutil.copy(checkpoint, made / CHECKPOINT)
        if (record := checkpoint.with_name(HYPERPARAMETERS)).is_file():
            shutil.copy(record, (made / CHECKPOINT).parent)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)


def evaluate(
    pair: Pair,
    dataset_dir: str | Path,
    output_dir: Path,
    checkpoint: Path | None,
    overrides: Mapping[str, Any] | None = None,
    interruption: Interruption | None = None,
) -> dict[str, Any]:
    """Evaluate a checkpoint on the pair's test split, in a process of its own.

    Args:
        pair: whose ``evaluate.yaml`` is run.
        dataset_dir: the dataset.
        output_dir: gets ``metrics.json``, ``cases.csv`` and the rest of the report, and the log, beside it.
        checkpoint: a ``model.pt``; None = zero-shot.
        overrides: hyperparameters; those that ``evaluate.yaml`` does not have are left out.
        interruption: looked at while it runs; None = nobody catches signals.

    Returns:
        what is in ``metrics.json``.

    Raises:
        RuntimeError: when the run fails; names its log.
    """
    values = pair.known("evaluate", overrides or {}) | {
        "bundle_root": pair.bundle,
        "dataset_dir": dataset_dir,
        "output_dir": output_dir,
        **({"learner": None} if checkpoint is None else {"ckpt_path": checkpoint}),
    }
    output_dir.mkdir(parents=True, exist_ok=True)
    log = output_dir / "log.txt"
    log.unlink(missing_ok=True)
    child = ChildProcess(bundle_command(pair.configs("evaluate"), values), log)
    status = _wait(child, interruption)
    if status:
        raise RuntimeError(f"the evaluation of {pair.name} failed, {failure_reason(status, log)}; its log is {log}.")
    metrics: dict[str, Any] = json.loads((output_dir / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def _wait(child: ChildProcess, interruption: Interruption | None) -> int:
    try:
        while (status := child.wait(WATCH)) is None:
            if interruption is not None:
                interruption.check()
        return status
    finally:
        child.stop()
