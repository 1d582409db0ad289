"""The report of an evaluation: ``metrics.json``, ``pairs.csv``, the predicted masks, and pictures of some cases.

Slices of volumes that show nothing of their class count in none of the means: they would raise those that hold a 100
for an empty prediction, and lower the others. They have a table and a summary of their own.
"""

from __future__ import annotations

import json
import logging
import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from monai.engines import Evaluator

from monai_tunevlseg.atomic_files import write_text_atomically
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.evaluation.bootstrap import Bootstrap
from monai_tunevlseg.evaluation.example_overlays import mask_name, remove_earlier, write_example_overlays, write_mask
from monai_tunevlseg.evaluation.metrics import PAIR_METRICS
from monai_tunevlseg.evaluation.pair_scores import PairScores, write_pair_scores
from monai_tunevlseg.evaluation.summary import summarize
from monai_tunevlseg.evaluation.volume_scores import (
    is_empty_slice,
    summarize_empty_slices,
    summarize_volumes,
    volumes_of,
)

__all__ = ["FORMAT_VERSION", "EvaluationReportHandler", "describe_network"]

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
EMPTY_SLICES = "slices_without_foreground.csv"
DECIMALS = 4  # of scores; MONAI's are float32
AREAS = {
    "label_pixels": "label",
    "predicted_pixels": "pred",
    "label_pixels_original": "label_original",
    "predicted_pixels_original": "pred_original",
}


def describe_network(network: torch.nn.Module) -> dict[str, Any]:
    """Return what identifies a prompt-tuned network, and how many parameters of it are trained."""
    state: Any = network.get_extra_state()
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return {**json.loads(bytes(state.cpu().tolist())), "trained_parameters": trained}


class EvaluationReportHandler:
    """Writes the report when an evaluation of grouped pairs has finished. Attach it to the evaluator.

    The scores are those of the evaluator's metrics that bear a name in ``PAIR_METRICS``. Only numbers stay in memory;
    predictions go to files as they come.

    Args:
        output_dir: gets ``metrics.json``, ``pairs.csv``, ``predicted_masks/`` and ``overlays/``, and for volumes
            ``slices_without_foreground.csv``.
        split: name of the split.
        dataset_dir: paths in ``pairs.csv`` are relative to it, so that reports of two machines can be compared.
        about: what else ``metrics.json`` should hold, such as ``network``.
        bootstrap: how intervals are drawn.
        num_overlays: how many of the worst, median and best cases each get a picture; 0 = none.
        save_masks: keep the predictions, at the images' own resolution.
        whole_volumes: whether all slices of volumes are among the pairs, so that Dice of whole volumes can be told.

    Raises:
        ValueError: when ``num_overlays`` is negative.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        dataset_dir: str | Path | None = None,
        about: Mapping[str, Any] | None = None,
        bootstrap: Bootstrap | None = None,
        num_overlays: int = 3,
        save_masks: bool = True,
        whole_volumes: bool = False,
    ) -> None:
        if num_overlays < 0:
            raise ValueError(f"num_overlays is {num_overlays}; it must be 0 or more.")
        self.output_dir = Path(output_dir).expanduser()
        self.split = split
        self.dataset_dir = None if dataset_dir is None else Path(dataset_dir).expanduser().absolute()
        self.about = dict(about or {})
        self.bootstrap = bootstrap or Bootstrap()
        self.num_overlays = num_overlays
        self.save_masks = save_masks
        self.whole_volumes = whole_volumes
        self._masks_dir = self.output_dir / "predicted_masks"
        self._temporary = ExitStack()
        self._pairs: list[Sample] = []  # in the order in which they came, as the metrics have them
        self._areas: list[dict[str, int]] = []
        self._common: list[int] = []

    def attach(self, engine: Evaluator) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def start(self, engine: Evaluator) -> None:
        """Forget an earlier run."""
        self._pairs.clear()
        self._areas.clear()
        self._common.clear()
        self._temporary.close()
        remove_earlier(self.output_dir)
        if not self.save_masks:
            folder = self._temporary.enter_context(tempfile.TemporaryDirectory(prefix="tunevlseg_"))
            self._masks_dir = Path(folder)

    def collect(self, engine: Evaluator) -> None:
        """Remember a batch's pairs and their areas, and write the predictions."""
        pairs = [pair for group in engine.state.batch["pairs"] for pair in group]
        for index, pair in enumerate(pairs):
            self._pairs.append(pair)
            self._areas.append({area: int(engine.state.output[mask][index].sum()) for area, mask in AREAS.items()})
            original = [engine.state.output[f"{name}_original"][index] for name in ("pred", "label")]
            self._common.append(int((original[0] & original[1]).sum()))
            if self.save_masks or self.num_overlays:
                predicted = engine.state.output["pred_original"][index][0].cpu().numpy()
                write_mask(self._masks_dir / mask_name(pair), predicted.astype(bool))

    def write(self, engine: Evaluator) -> None:
        """Write all files.

        Raises:
            ValueError: when the evaluator has seen no pair, or has no metric ``dice``.
        """
        details = {
            name: engine.state.metric_details[name] for name in PAIR_METRICS if name in engine.state.metric_details
        }
        if "dice" not in details:
            raise ValueError("the evaluator has no metric named 'dice', which its report is about.")
        order = np.argsort([pair["number"] for pair in self._pairs], kind="stable")
        scores = {name: buffer.flatten().tolist() for name, buffer in details.items()}
        found = [self._case(index, {name: values[index] for name, values in scores.items()}) for index in order]
        places = [place for place, case in enumerate(found) if not is_empty_slice(case)]
        cases = [found[place] for place in places]
        empty = [case for case in found if is_empty_slice(case)]
        if not cases:
            raise ValueError(f"none of the {len(found)} slices of the split {self.split!r} shows a class.")
        metrics = self._summary(cases, list(scores)) | self._of_volumes(found, empty, [self._common[i] for i in order])
        write_pair_scores(self.output_dir / "pairs.csv", cases)
        (self.output_dir / EMPTY_SLICES).unlink(missing_ok=True)
        if empty:
            write_pair_scores(self.output_dir / EMPTY_SLICES, empty)
        write_text_atomically(
            self.output_dir / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False, default=str) + "\n"
        )
        pairs = [self._pairs[order[place]] for place in places]
        files = {place: self._masks_dir / mask_name(pair) for place, pair in enumerate(pairs)}
        with self._temporary:
            write_example_overlays(self.output_dir / "overlays", cases, pairs, files, self.num_overlays)
        logger.info(f"{len(cases)} pairs: {metrics['dice']:.2f} % Dice; the report is in {self.output_dir}")
        if volumes := metrics.get("volumes"):
            logger.info(f"{volumes['pairs']} whole volumes and classes: {volumes['dice']:.2f} % Dice")
            logger.info(
                "something was found in {with_prediction} of {pairs} slices without the class".format_map(
                    metrics["slices_without_foreground"]
                )
            )

    def _case(self, index: int, scores: Mapping[str, float]) -> PairScores:
        pair = self._pairs[index]
        image = Path(pair["image"])
        if self.dataset_dir is not None and image.is_relative_to(self.dataset_dir):
            image = image.relative_to(self.dataset_dir)
        return PairScores(
            image=image.as_posix(),
            slice=pair.get("slice"),
            class_name=pair["class_name"],
            text=pair["text"],
            group=pair.get("group"),
            mask=f"{self._masks_dir.name}/{mask_name(pair)}" if self.save_masks else None,
            **self._areas[index],
            **{name: _rounded(PAIR_METRICS[name].factor * value) for name, value in scores.items()},  # type: ignore[arg-type]
        )

    def _of_volumes(
        self, found: Sequence[PairScores], empty: Sequence[PairScores], common: Sequence[int]
    ) -> dict[str, Any]:
        """Return what is told of volumes beside the slices that show a class; nothing where slices are missing."""
        volumes = volumes_of(found, common)
        if not (self.whole_volumes and volumes):
            return {}
        return {
            "slices_without_foreground": summarize_empty_slices(empty),
            "volumes": summarize_volumes(volumes, self.bootstrap),
        }

    def _summary(self, cases: Sequence[PairScores], scores: Sequence[str]) -> dict[str, Any]:
        names = sorted({case.class_name for case in cases})
        return {
            "format_version": FORMAT_VERSION,
            "split": self.split,
            **summarize(cases, scores, self.bootstrap),
            "classes": {
                name: summarize([case for case in cases if case.class_name == name], scores, self.bootstrap)
                for name in names
            },
            "bootstrap": {**asdict(self.bootstrap), "method": "BCa", "cluster": _cluster(cases)},
            **self.about,
        }


def _rounded(value: float) -> float | None:
    return round(value, DECIMALS) if math.isfinite(value) else None


def _cluster(cases: Sequence[PairScores]) -> str:
    """Say what is drawn as a whole: every image, or every group of images such as a patient's."""
    return "group" if any(case.group is not None for case in cases) else "image"
