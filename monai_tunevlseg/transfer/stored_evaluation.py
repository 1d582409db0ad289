"""A planned evaluation with its folder, in which an earlier result is found again."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_tunevlseg.atomic_files import write_text_atomically
from monai_tunevlseg.data.splits import write_splits
from monai_tunevlseg.evaluation import PairScores, read_pair_scores
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.transfer.overlap import Overlap
from monai_tunevlseg.transfer.planned_evaluation import PlannedEvaluation
from monai_tunevlseg.transfer.summary import METRICS

__all__ = ["Evaluate", "StoredEvaluation"]

RECORD, IMAGES = "evaluation.json", "evaluated_images.json"

Evaluate = Callable[[str, Sequence[Path], Mapping[str, Any], Path], Mapping[str, Any]]
"""Runs an evaluation and returns its metrics, as `run_evaluation` does."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredEvaluation:
    """A planned evaluation with its folder.

    Attributes:
        plan: the evaluation.
        folder: folder of ``metrics.json``, ``pairs.csv``, and the record by which the result is found again.
        overrides: hyperparameters of the evaluation.
        zero_shot: whether the base model is evaluated in place of the tuned network.
    """

    plan: PlannedEvaluation
    folder: Path
    overrides: Mapping[str, Any]
    zero_shot: bool

    def stored(self) -> dict[str, Any] | None:
        """Return the result of an earlier evaluation of the same network on the same data; None without one."""
        path = self.folder / RECORD
        if not path.is_file() or not (self.folder / "pairs.csv").is_file():
            return None
        try:
            record = read_json_object(path)
        except ValueError:
            return None
        return record.get("result") if record.get("key") == self.plan.key(self.overrides, self.zero_shot) else None

    def run(self, evaluate: Evaluate, overlap: Overlap) -> dict[str, Any]:
        """Evaluate, and return and store the result.

        Args:
            evaluate: runs the evaluation.
            overlap: the evaluated images that the run was trained on.

        Raises:
            RuntimeError: when the evaluation fails, or the checkpoint has changed since it was planned.
        """
        run, dataset = self.plan.run, self.plan.dataset
        name = f"{run.label}{', zero-shot,' if self.zero_shot else ''} on {dataset}"
        logger.info(f"evaluating {name}: {len(self.plan.stems)} images")
        (self.folder / RECORD).unlink(missing_ok=True)
        write_splits(self.folder / IMAGES, {"train": [], "val": [], "test": self.plan.stems})
        values = self.plan.values(self.overrides, self.zero_shot) | {"splits_file": self.folder / IMAGES}
        started = time.monotonic()
        metrics = evaluate(name, [run.config], values, self.folder)
        seconds = round(time.monotonic() - started, 3)
        if not self.zero_shot and metrics["checkpoint_digest"] != run.checkpoint_digest:
            raise RuntimeError(f"{run.checkpoint} changed during the transfer; wait for the end of its training.")
        result = self._result(metrics, overlap) | {"seconds": seconds}
        record = {"key": self.plan.key(self.overrides, self.zero_shot), "result": result}
        write_text_atomically(self.folder / RECORD, json.dumps(record, indent=2) + "\n")
        return result

    def pairs(self) -> list[PairScores]:
        """Return the scores of the evaluated pairs."""
        return read_pair_scores(self.folder)

    def _result(self, metrics: Mapping[str, Any], overlap: Overlap) -> dict[str, Any]:
        plan = self.plan
        seen = {name: [self._relative(image) for image in images] for name, images in vars(overlap).items()}
        return {
            "name": plan.dataset,
            "layout": plan.spec.layout,
            "dataset_dir": str(plan.spec.folder),
            "part": plan.part,
            "texts": None if plan.texts is None else dict(plan.texts),
            "left_out": list(plan.left_out),
            "seen_in_training": seen,
            **{name: metrics[name] for name in ("images", "pairs", "clusters")},
            **_scores(metrics),
            "classes": {name: {"pairs": of["pairs"], **_scores(of)} for name, of in metrics["classes"].items()},
        }

    def _relative(self, image: Path) -> str:
        folder = self.plan.spec.folder
        return (image.relative_to(folder) if image.is_relative_to(folder) else image).as_posix()


def _scores(metrics: Mapping[str, Any]) -> dict[str, Any]:
    measured = [name for name in METRICS if metrics.get(name) is not None]
    return {
        "scores": {name: metrics[name] for name in measured},
        "intervals": {name: metrics["intervals"].get(name) for name in measured},
    }
