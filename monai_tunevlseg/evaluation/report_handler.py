"""The report of an evaluation: ``metrics.json``, ``pairs.csv``, the predicted masks, and overlays of some pairs.

Slices of volumes that do not show their class are not part of the means: they would raise means that count an empty
prediction as 100, and lower the others. They have a table and a summary of their own, and so have absent texts.
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
from monai.engines import Evaluator, SupervisedEvaluator

from monai_tunevlseg.atomic_files import write_text_atomically
from monai_tunevlseg.calibration import Calibration
from monai_tunevlseg.data.sample_masks import IGNORE_INDEX
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.evaluation.bootstrap import Bootstrap
from monai_tunevlseg.evaluation.calibration_scores import CalibrationScores
from monai_tunevlseg.evaluation.class_confusion import ClassConfusion
from monai_tunevlseg.evaluation.compared_pairs import ComparedPair, ComparedPairs, write_compared_pairs
from monai_tunevlseg.evaluation.example_overlays import mask_name, remove_earlier, write_example_overlays, write_mask
from monai_tunevlseg.evaluation.metrics import PAIR_METRICS
from monai_tunevlseg.evaluation.pair_scores import PairScores, write_pair_scores
from monai_tunevlseg.evaluation.summary import (
    DECIMALS,
    is_empty_slice,
    summarize,
    summarize_empty_slices,
    summarize_volumes,
    volumes_of,
)
from monai_tunevlseg.evaluation.text_obedience import (
    ABSENT_PAIRS,
    AbsentPair,
    summarize_obedience,
    write_absent_pairs,
)
from monai_tunevlseg.evaluation.text_variation import summarize_variation

__all__ = ["FORMAT_VERSION", "EvaluationReportHandler", "describe_network"]

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
MAIN_SCORES = ("dice", "dice_original")
"""Scores of which an evaluation has one or both; the first one ranks the overlays."""
EMPTY_SLICES = "slices_without_foreground.csv"
COMPARED_TEXTS = "compared_texts.csv"
AREAS = {
    "label_pixels": "label",
    "predicted_pixels": "pred",
    "label_pixels_original": "label_original",
    "predicted_pixels_original": "pred_original",
}


def describe_network(network: torch.nn.Module) -> dict[str, Any]:
    """Return the identity of a network, and its number of trained parameters."""
    state: Any = network.get_extra_state()
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return {**json.loads(bytes(state.cpu().tolist())), "trained_parameters": trained}


class EvaluationReportHandler:
    """Writes the report at the end of an evaluation of image groups. Attach it to the evaluator.

    The scores are those of the evaluator's metrics with a name in ``PAIR_METRICS``. Its output has the masks
    ``pred_original`` and ``label_original`` and, at a model's resolution, ``pred``, ``label``, ``logits`` and
    ``target``. Only numbers are kept in memory; predictions are written to files at once.

    Args:
        output_dir: output folder of ``metrics.json``, ``pairs.csv``, ``predicted_masks/`` and ``overlays/``, and for
            volumes ``slices_without_foreground.csv``; for absent texts ``absent_pairs.csv``; for compared texts, which
            samples name, ``compared_texts.csv``.
        split: name of the split.
        dataset_dir: folder to which paths in ``pairs.csv`` are relative, so that two machines' reports match.
        about: further entries of ``metrics.json``, such as ``network``.
        bootstrap: settings of the intervals.
        num_overlays: number of overlays of each of the worst, median and best pairs; 0 = none.
        save_masks: whether to keep the predictions, at the images' own resolution.
        whole_volumes: whether all slices of volumes are among the pairs, as Dice of whole volumes needs them.
        obedience_to: names of the dataset's classes; the report then covers absent texts and the confusion of classes,
            and the engine's output has the masks ``absent`` and ``absent_original``. None = no such report.
        calibration: the calibration of the logits, which the report shows beside its errors; None = none.

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
        obedience_to: Sequence[str] | None = None,
        calibration: Calibration | None = None,
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
        self.obedience_to = obedience_to
        self.calibration = calibration
        self._masks_dir = self.output_dir / "predicted_masks"
        self._temporary = ExitStack()
        self._samples: list[Sample] = []  # in the order of the metrics' values
        self._areas: list[dict[str, int]] = []
        self._common: list[int] = []
        self._absent: list[tuple[int, AbsentPair]] = []  # with the number of the image's first sample
        self._confusion = ClassConfusion()
        self._calibration_scores = CalibrationScores()
        self._compared = ComparedPairs(calibration)

    def attach(self, engine: Evaluator) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def start(self, engine: Evaluator) -> None:
        """Discard the results of an earlier run."""
        self._samples.clear()
        self._areas.clear()
        self._common.clear()
        self._absent.clear()
        self._confusion = ClassConfusion()
        self._calibration_scores = CalibrationScores()
        self._compared = ComparedPairs(self.calibration)
        self._temporary.close()
        remove_earlier(self.output_dir)
        if not self.save_masks:
            folder = self._temporary.enter_context(tempfile.TemporaryDirectory(prefix="tunevlseg_"))
            self._masks_dir = Path(folder)

    def collect(self, engine: Evaluator) -> None:
        """Collect a batch's samples and areas, and write the predictions."""
        samples = [sample for group in engine.state.batch["pairs"] for sample in group]
        for index, sample in enumerate(samples):
            self._samples.append(sample)
            masks = {name: of_pairs[index] for name, of_pairs in engine.state.output.items() if name in AREAS.values()}
            self._areas.append({area: int(masks[name].sum()) for area, name in AREAS.items() if name in masks})
            original = [masks[f"{name}_original"] for name in ("pred", "label")]
            self._common.append(int((original[0] & original[1]).sum()))
            if "logits" in engine.state.output and not ("slice" in sample and not masks["label_original"].any()):
                self._collect_logits(sample, *(engine.state.output[name][index] for name in ("logits", "target")))
            if self.save_masks or self.num_overlays:
                predicted = masks["pred_original"][0].cpu().numpy()
                write_mask(self._masks_dir / mask_name(sample), predicted.astype(bool))
        if self.obedience_to is not None:
            for index in range(len(engine.state.batch["pairs"])):
                self._collect_image(engine, index, self.obedience_to)
        # masks of other tools have no network to ask
        if isinstance(engine, SupervisedEvaluator) and any("compared_texts" in sample for sample in samples):
            self._compared.collect(engine, self._path)

    def _collect_logits(self, sample: Sample, logits: torch.Tensor, target: torch.Tensor) -> None:
        """Collect the logits of a pair, (h, w), with their truth in {0, 1, 255}."""
        counted = target != IGNORE_INDEX
        cluster = sample.get("group") or self._path(sample)
        self._calibration_scores.add(sample["class_name"], logits[counted], target[counted] > 0, cluster)

    def _collect_image(self, engine: Evaluator, index: int, class_names: Sequence[str]) -> None:
        """Collect the absent texts and the confusion of classes of one image of a batch."""
        batch, masks = engine.state.batch, engine.state.output
        samples, texts, label = (batch[name][index] for name in ("pairs", "absent_texts", "full_label"))
        of_pairs, of_absent = (slice(index * len(each), (index + 1) * len(each)) for each in (samples, texts))
        pixels = int((label != IGNORE_INDEX).all(axis=0).sum())
        image, number, group = self._path(samples[0]), samples[0].get("slice"), samples[0].get("group")
        for text, mask in zip(texts, masks["absent_original"][of_absent], strict=True):
            pair = AbsentPair(image, number, text, group, int(mask.sum()), pixels)
            self._absent.append((samples[0]["number"], pair))
        names = [sample["class_name"] for sample in samples]
        predictions = dict(zip((*texts, *names), masks["absent"][of_absent] + masks["pred"][of_pairs], strict=True))
        asked = {name: mask for name, mask in predictions.items() if name in (*class_names, *names)}
        self._confusion.add(asked, dict(zip(names, masks["label"][of_pairs], strict=True)))

    def write(self, engine: Evaluator) -> None:
        """Write all files.

        Raises:
            ValueError: when no slice shows a class, or the evaluator has none of the metrics ``MAIN_SCORES``.
        """
        measured = engine.state.metric_details
        scores = {name: measured[name].flatten().tolist() for name in PAIR_METRICS if name in measured}
        main = next((name for name in MAIN_SCORES if name in scores), None)
        if main is None:
            raise ValueError(f"the evaluator has no metric named {' or '.join(map(repr, MAIN_SCORES))}; add one.")
        order = np.argsort([sample["number"] for sample in self._samples], kind="stable")
        found = [self._pair_scores(index, {name: values[index] for name, values in scores.items()}) for index in order]
        places = [place for place, pair in enumerate(found) if not is_empty_slice(pair)]
        pairs = [found[place] for place in places]
        if not pairs:
            raise ValueError(f"none of the {len(found)} slices of the split {self.split!r} shows a class.")
        empty = [pair for pair in found if is_empty_slice(pair)]
        metrics = self._summary(pairs, list(scores)) | self._of_volumes(found, empty, [self._common[i] for i in order])
        metrics |= self._of_absent_texts(found) | self._of_calibration()
        if compared := self._compared.pairs():
            metrics["texts"] = summarize_variation(compared, self.bootstrap)
        self._write_tables(pairs, empty, compared, metrics)
        samples = [self._samples[order[place]] for place in places]
        files = {place: self._masks_dir / mask_name(sample) for place, sample in enumerate(samples)}
        with self._temporary:
            write_example_overlays(self.output_dir / "overlays", pairs, samples, files, self.num_overlays, main)
        self._log(metrics, main)

    def _write_tables(
        self,
        pairs: Sequence[PairScores],
        empty: Sequence[PairScores],
        compared: Sequence[ComparedPair],
        metrics: Mapping[str, Any],
    ) -> None:
        write_pair_scores(self.output_dir / "pairs.csv", pairs)
        for name in (EMPTY_SLICES, ABSENT_PAIRS, COMPARED_TEXTS):
            (self.output_dir / name).unlink(missing_ok=True)
        if empty:
            write_pair_scores(self.output_dir / EMPTY_SLICES, empty)
        if self.obedience_to is not None:
            write_absent_pairs(self.output_dir / ABSENT_PAIRS, self._absent_pairs())
        if compared:
            write_compared_pairs(self.output_dir / COMPARED_TEXTS, compared)
        content = json.dumps(metrics, indent=2, allow_nan=False, default=str)
        write_text_atomically(self.output_dir / "metrics.json", content + "\n")

    def _log(self, metrics: Mapping[str, Any], main: str) -> None:
        logger.info(f"{metrics['pairs']} pairs: {metrics[main]:.2f} % Dice; the report is in {self.output_dir}")
        if volumes := metrics.get("volumes"):
            logger.info(f"{volumes['pairs']} whole volumes and classes: {volumes['dice']:.2f} % Dice")
            empty = metrics["slices_without_foreground"]
            logger.info(f"false positives in {empty['with_prediction']} of {empty['pairs']} slices without the class")
        if absent := metrics.get("absent", {}).get("pairs"):
            logger.info(f"{absent} absent texts: {metrics['absent']['false_positive_rate']:.2f} % with any foreground")
        of_set = metrics.get("texts", {}).get("text_set", {})
        if of_set.get("pairs"):
            worst = of_set["worst"]["dice"]
            logger.info(f"{of_set['texts']} texts: {of_set['dice']:.2f} % Dice, with the worst one {worst:.2f} %")

    def _pair_scores(self, index: int, scores: Mapping[str, float]) -> PairScores:
        sample = self._samples[index]
        return PairScores(
            image=self._path(sample),
            slice=sample.get("slice"),
            class_name=sample["class_name"],
            text=sample["text"],
            group=sample.get("group"),
            mask=f"{self._masks_dir.name}/{mask_name(sample)}" if self.save_masks else None,
            **self._areas[index],
            **{name: _rounded(PAIR_METRICS[name].factor * value) for name, value in scores.items()},  # type: ignore[arg-type]
        )

    def _path(self, sample: Sample) -> str:
        """Return the path of a sample's image, relative to the dataset's folder if it is inside."""
        image = Path(sample["image"])
        if self.dataset_dir is not None and image.is_relative_to(self.dataset_dir):
            image = image.relative_to(self.dataset_dir)
        return image.as_posix()

    def _absent_pairs(self) -> list[AbsentPair]:
        """Return the pairs of absent texts in the order of the datalist."""
        return [pair for _, pair in sorted(self._absent, key=lambda item: item[0])]

    def _of_absent_texts(self, found: Sequence[PairScores]) -> dict[str, Any]:
        """Return the summary of absent texts and, with several classes, the table of their confusion."""
        if self.obedience_to is None:
            return {}
        summary = {"absent": summarize_obedience(found, self._absent_pairs(), self.bootstrap)}
        return summary | ({"confusion": self._confusion.table()} if len(self.obedience_to) > 1 else {})

    def _of_calibration(self) -> dict[str, Any]:
        """Return the summary of calibration; empty where only masks are known."""
        if not (scores := self._calibration_scores.summary(self.bootstrap)):
            return {}
        applied = {} if self.calibration is None else self.calibration.classes
        used = {name: {"temperature": of.temperature, "threshold": of.threshold} for name, of in applied.items()}
        return {"calibration": {"applied": used or None, **scores}}

    def _of_volumes(
        self, found: Sequence[PairScores], empty: Sequence[PairScores], common: Sequence[int]
    ) -> dict[str, Any]:
        """Return the summaries of empty slices and of whole volumes; empty where slices are missing."""
        volumes = volumes_of(found, common)
        if not (self.whole_volumes and volumes):
            return {}
        return {
            "slices_without_foreground": summarize_empty_slices(empty),
            "volumes": summarize_volumes(volumes, self.bootstrap),
        }

    def _summary(self, pairs: Sequence[PairScores], scores: Sequence[str]) -> dict[str, Any]:
        names = sorted({pair.class_name for pair in pairs})
        cluster = "group" if any(pair.group is not None for pair in pairs) else "image"
        return {
            "format_version": FORMAT_VERSION,
            "split": self.split,
            **summarize(pairs, scores, self.bootstrap),
            "classes": {
                name: summarize([pair for pair in pairs if pair.class_name == name], scores, self.bootstrap)
                for name in names
            },
            "bootstrap": {**asdict(self.bootstrap), "method": "BCa", "cluster": cluster},
            **self.about,
        }


def _rounded(value: float) -> float | None:
    return round(value, DECIMALS) if math.isfinite(value) else None
