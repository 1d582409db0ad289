"""The calibration of the best network on the validation data, when training has finished."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import Evaluator, Trainer
from torch import Tensor, nn

from monai_tunevlseg.calibration import Calibration, LogitStatistics, fit_calibration, fit_evidence, write_calibration
from monai_tunevlseg.data import IGNORE_INDEX, DatasetSpec, Sample
from monai_tunevlseg.data.absent_texts import POOL
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.segmentation import Segmentation
from monai_tunevlseg.training.drawn_texts import PrepareBatchDrawnTexts
from monai_tunevlseg.training.presence import presence_truth
from monai_tunevlseg.training.seeding import SeededDataset
from monai_tunevlseg.training.weights import load_weights

__all__ = ["CalibrationFit", "with_pool_texts"]

logger = logging.getLogger(__name__)

ABSENT_TEXTS = 3
"""Texts of the pool for each validation pair: enough for few pairs, and each costs a decoding only."""


def with_pool_texts(
    prepare_batch: Callable[..., Any], dataset: SeededDataset, spec: DatasetSpec, other_samples: Sequence[Sample] = ()
) -> Callable[..., Any]:
    """Return a preparation of batches with texts of the pool, which images do not show, after the text of each pair.

    It is ``prepare_batch`` itself, with a warning, if the dataset can show all texts of the pool.

    Args:
        prepare_batch: as for :class:`PrepareBatchDrawnTexts`, like the other arguments.
        dataset: the validation dataset.
        spec: the dataset's classes and layout.
        other_samples: samples of other splits.
    """
    try:
        return PrepareBatchDrawnTexts(prepare_batch, dataset, spec, other_samples, ABSENT_TEXTS, POOL, validates=True)
    except ValueError:
        logger.warning(
            "presence is calibrated with the pairs of the dataset only, because their texts share words with each kind "
            "of images in the pool of absent texts."
        )
        return prepare_batch


@dataclass
class _Presence:
    """Evidence (N, D) and truth (N,) of the pairs of each batch."""

    evidence: list[Tensor] = field(default_factory=list)
    shown: list[Tensor] = field(default_factory=list)


class CalibrationFit:
    """Fits the calibration of ``model.pt`` and writes it beside it. Attach it to the trainer, after the checkpoints.

    It is a handler, not a step of the config after training, so that whatever runs the trainer calibrates. One pass
    over the validation data suffices, because only sums over pixels and the evidence of presence are kept. The masks
    are those at the model's resolution, as for the validation metrics; presence silences none of them. Presence is
    calibrated where the texts of the pairs, and those that the evaluator adds, are both present and absent.

    Args:
        checkpoint: path of the best network.
        network: the network, not wrapped for several processes, with its ``class_names``; its weights stay those of the
            last epoch.
        evaluator: runs the network on the validation data of this process, with ``text`` and ``class_name`` in the
            batches, and without decollating. Its predictions are a ``Segmentation`` each, and further texts than that
            of the pair follow it.
        neutral_text: the text of all pairs, which is calibrated beside the classes; None = the texts are the classes'.
    """

    def __init__(
        self, checkpoint: str | Path, network: nn.Module, evaluator: Evaluator, neutral_text: str | None = None
    ) -> None:
        self.checkpoint = Path(checkpoint).expanduser()
        self.network = network
        class_names: list[str] = list(network.class_names)  # type: ignore[arg-type]
        self.names = list(dict.fromkeys(class_names + ([neutral_text] if neutral_text else [])))
        self.evaluator = evaluator

    def attach(self, engine: Trainer) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Trainer) -> None:
        """Fit, and write the file in the main process."""
        last = copy.deepcopy(self.network.state_dict())
        idist.barrier()  # the main process has written the checkpoint
        digest = file_digest(self.checkpoint)
        load_weights(self.network, self.checkpoint)
        try:
            masks, evidence, shown = self._collected()
        finally:
            self.network.load_state_dict(last)
        calibration = Calibration(fit_calibration(masks, self.names).classes, fit_evidence(evidence, shown))
        if idist.get_rank() == 0 and (calibration.classes or calibration.presence):
            path = write_calibration(self.checkpoint, calibration, digest)
            logger.info(f"The calibration on the validation data is {path}.")

    def _collected(self) -> tuple[LogitStatistics, Tensor, Tensor]:
        """Return the statistics of masks, and evidence and truth of presence, of all processes' validation data."""
        masks, presence = LogitStatistics(len(self.names)), _Presence()
        with self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._collect, masks, presence):
            self.evaluator.run()
        evidence, shown = torch.cat(presence.evidence), torch.cat(presence.shown)
        if idist.get_world_size() > 1:
            for tensor in masks.tensors():
                tensor.copy_(idist.all_reduce(tensor.clone()))  # type: ignore[arg-type]
            evidence, shown = _of_all_processes(evidence), _of_all_processes(shown)
        return masks, evidence, shown

    def _collect(self, engine: Evaluator, masks: LogitStatistics, presence: _Presence) -> None:
        """Add the pairs of a batch: logits and labels (B, 1 + n, h, w), of which the first are the pairs' own."""
        found: Segmentation = engine.state.output["pred"]
        label = torch.as_tensor(engine.state.output["label"])
        shown, known = presence_truth(label)
        presence.evidence.append(torch.as_tensor(found.evidence)[known].detach().cpu())
        presence.shown.append(shown[known].cpu())
        own = zip(self._asked(engine.state.batch), torch.as_tensor(found.logits)[:, 0], label[:, 0], strict=True)
        for asked, logits, truth in own:
            counted = truth != IGNORE_INDEX
            for name in asked:
                masks.add(self.names.index(name), logits[counted].float(), truth[counted] > 0)

    def _asked(self, batch: dict[str, Any]) -> list[set[str]]:
        """Return the names by which inference asks for each pair: its text, its class name if texts vary, or both."""
        texts: Sequence[str] = batch["text"]
        classes: Sequence[str] = batch.get("class_name", texts)
        return [{*pair}.intersection(self.names) for pair in zip(texts, classes, strict=True)]


def _of_all_processes(rows: Tensor) -> Tensor:
    """Return the rows of all processes, which may have different numbers of them."""
    parts: list[Tensor] = [rows] * idist.get_world_size()
    torch.distributed.all_gather_object(parts, rows)
    return torch.cat(parts)
