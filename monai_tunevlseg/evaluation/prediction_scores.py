"""Scores of predicted masks, with the metrics and the report of a bundle's evaluation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader, Dataset
from monai.engines import Evaluator
from monai.handlers import IgniteMetricHandler, from_engine
from monai.metrics import CumulativeIterationMetric, DiceMetric, MeanIoU
from monai.transforms import Transform

from monai_tunevlseg.data.image_groups import ImageGroup, group_by_image, group_samples
from monai_tunevlseg.data.issues import size_issue
from monai_tunevlseg.data.sample_masks import mask_paths, read_sample_mask
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.evaluation.metrics import Hausdorff95, SurfaceDice
from monai_tunevlseg.evaluation.pair_masks import counted_masks
from monai_tunevlseg.evaluation.report_handler import EvaluationReportHandler
from monai_tunevlseg.evaluation.skipping_evaluator import run_or_list_unreadable

__all__ = ["score_predictions"]

PREDICTION = "prediction"
MASKS = ["pred_original", "label_original"]


def score_predictions(
    samples: Sequence[Sample],
    predictions: Sequence[Sample | None],
    report: EvaluationReportHandler,
    hd95: bool = False,
    surface_tolerance: float | None = None,
) -> None:
    """Score predicted masks at the images' own resolution, and write the report.

    Args:
        samples: the pairs of a split.
        predictions: for each pair a sample whose mask is the prediction, None for an empty one, as
            `match_predictions` returns them.
        report: writes the files.
        hd95: whether to measure the 95th percentile of the Hausdorff distance.
        surface_tolerance: tolerance of the normalized surface Dice in pixels; None = it is not measured.

    Raises:
        ValueError: when masks of the dataset cannot be read or differ from their image in size, no slice shows a class,
            or the tolerance is negative.
    """
    metrics: dict[str, CumulativeIterationMetric] = {"iou_original": MeanIoU(ignore_empty=False)}
    if hd95:
        metrics["hd95"] = Hausdorff95()
    if surface_tolerance is not None:
        metrics["surface_dice"] = SurfaceDice(surface_tolerance)
    pairs = [sample | {PREDICTION: found} for sample, found in zip(samples, predictions, strict=True)]
    dataset = Dataset(group_by_image(pairs), _LoadPairMasks())
    evaluator = Evaluator(
        device="cpu",
        val_data_loader=DataLoader(dataset, batch_size=1, collate_fn=_listed),
        iteration_update=lambda engine, batch: {name: batch[name][0] for name in MASKS},
        key_val_metric={"dice_original": _handler(DiceMetric(ignore_empty=False))},
        additional_metrics={name: _handler(metric) for name, metric in metrics.items()},
        val_handlers=[report],
        decollate=False,
    )
    evaluator.logger = logging.Logger(__name__, logging.CRITICAL)  # what it would log is raised
    run_or_list_unreadable(evaluator, dataset)


class _LoadPairMasks(Transform):
    """Loads the masks and predictions of an image's pairs."""

    def __call__(self, group: ImageGroup) -> dict[str, Any]:
        """Load one group of k pairs.

        Returns:
            ``pairs``, k samples; ``pred_original`` and ``label_original``, k masks each, uint8 (1, H, W) in {0, 1}.
        """
        pairs = group_samples(group)
        masks = [_masks_of(pair) for pair in pairs]
        return {"pairs": pairs, **dict(zip(MASKS, map(list, zip(*masks, strict=True)), strict=True))}


def _masks_of(pair: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    label = read_sample_mask(pair)
    prediction = np.zeros_like(label) if pair[PREDICTION] is None else read_sample_mask(pair[PREDICTION])
    if prediction.shape != label.shape:
        paths = mask_paths(pair[PREDICTION])[0], mask_paths(pair)[0]
        raise ValueError(size_issue(paths[0], prediction.shape, paths[1], label.shape).message)
    return counted_masks(torch.from_numpy(prediction)[None] == 1, torch.from_numpy(label)[None])


def _handler(metric: CumulativeIterationMetric) -> IgniteMetricHandler:
    return IgniteMetricHandler(metric_fn=metric, output_transform=from_engine(MASKS))


def _listed(groups: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {key: [group[key] for group in groups] for key in groups[0]}
