"""The calibration of the best network on the validation data, when training has finished."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import Evaluator, Trainer
from torch import nn

from monai_tunevlseg.calibration import LogitStatistics, fit_calibration, write_calibration
from monai_tunevlseg.data import IGNORE_INDEX
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.segmentation import Segmentation
from monai_tunevlseg.training.weights import load_weights

__all__ = ["CalibrationFit"]

logger = logging.getLogger(__name__)


class CalibrationFit:
    """Fits the calibration of ``model.pt`` and writes it beside it. Attach it to the trainer, after the checkpoints.

    It is a handler, not a step of the config after training, so that whatever runs the trainer calibrates. One pass
    over the validation data suffices, because only sums over pixels are kept. The masks are those at the model's
    resolution, as for the validation metrics; presence silences none of them.

    Args:
        checkpoint: path of the best network.
        network: the network, not wrapped for several processes, with its ``class_names``; its weights stay those of the
            last epoch.
        evaluator: runs the network on the validation data of this process, with ``text`` and ``class_name`` in the
            batches, and without decollating.
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
            statistics = self._collected()
        finally:
            self.network.load_state_dict(last)
        calibration = fit_calibration(statistics, self.names)
        if idist.get_rank() == 0 and calibration.classes:
            path = write_calibration(self.checkpoint, calibration, digest)
            logger.info(f"The calibration on the validation data is {path}.")

    def _collected(self) -> LogitStatistics:
        """Return the statistics of the logits of all processes' validation data."""
        statistics = LogitStatistics(len(self.names))
        with self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._collect, statistics):
            self.evaluator.run()
        if idist.get_world_size() > 1:
            for tensor in statistics.tensors():
                tensor.copy_(idist.all_reduce(tensor.clone()))  # type: ignore[arg-type]
        return statistics

    def _collect(self, engine: Evaluator, statistics: LogitStatistics) -> None:
        """Add the pairs of a batch: logits and labels (B, 1, h, w)."""
        predicted, label = engine.state.output["pred"], engine.state.output["label"]
        logits = predicted.logits if isinstance(predicted, Segmentation) else predicted
        for asked, logit, truth in zip(self._asked(engine.state.batch), logits, label, strict=True):
            counted = torch.as_tensor(truth) != IGNORE_INDEX
            for name in asked:
                statistics.add(self.names.index(name), torch.as_tensor(logit)[counted].float(), truth[counted] > 0)

    def _asked(self, batch: dict[str, Any]) -> list[set[str]]:
        """Return the names by which inference asks for each pair: its text, its class name if texts vary, or both."""
        texts: Sequence[str] = batch["text"]
        classes: Sequence[str] = batch.get("class_name", texts)
        return [{*pair}.intersection(self.names) for pair in zip(texts, classes, strict=True)]
