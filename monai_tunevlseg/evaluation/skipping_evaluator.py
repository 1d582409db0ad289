"""Runs over folders with unreadable files: the other files are processed, and one message lists all unreadable ones."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import Any

from ignite.engine import Events
from monai.data import Dataset
from monai.engines import Evaluator, SupervisedEvaluator
from monai.transforms import Transform

from monai_tunevlseg.data.skipping_dataset import UNREADABLE, unreadable_in
from monai_tunevlseg.data.transforms.background import BackgroundTransform

__all__ = ["SkippingEvaluator", "run_or_list_unreadable"]

logger = logging.getLogger(__name__)


class SkippingEvaluator(SupervisedEvaluator):
    """MONAI's `SupervisedEvaluator` for batches of a `SkippingDataset`: unreadable samples are logged and skipped.

    Its postprocessing, which writes results, can run in threads beside the network, with `BackgroundTransform`.

    Args:
        postprocessing: transform of each item, which writes its results.
        num_writers: threads of the postprocessing, whose results handlers do not see; 0 = none, and they do.
        kwargs: other arguments of `SupervisedEvaluator`.

    Attributes:
        unreadable: reasons why samples could not be read, in the order of the last run.
    """

    def __init__(self, *, postprocessing: Transform | None = None, num_writers: int = 0, **kwargs: Any) -> None:
        self._writing = BackgroundTransform(postprocessing, num_writers) if postprocessing and num_writers else None
        super().__init__(postprocessing=self._writing or postprocessing, **kwargs)
        self.unreadable: list[str] = []
        self.add_event_handler(Events.STARTED, self.unreadable.clear)

    def run(self, global_epoch: int = 1) -> None:  # type: ignore[override]
        """Process all batches, and wait for their postprocessing.

        Args:
            global_epoch: as for `SupervisedEvaluator`.

        Raises:
            Exception: the error of the postprocessing.
        """
        with self._writing or nullcontext():
            super().run(global_epoch)

    def raise_for_unreadable(self) -> None:
        """Report the samples that the last run skipped.

        Raises:
            ValueError: when a sample could not be read; lists the reasons.
        """
        if self.unreadable:
            raise ValueError(_listed(self.unreadable, self.state.epoch_length, "the others were processed"))

    def _iteration(self, engine: SupervisedEvaluator, batchdata: dict[str, Any]) -> dict[str, Any]:
        if UNREADABLE not in batchdata:
            return super()._iteration(engine, batchdata)
        for reason in batchdata[UNREADABLE]:
            logger.error("skipped: %s", reason)
        self.unreadable += batchdata[UNREADABLE]
        return {}


def run_or_list_unreadable(evaluator: Evaluator, dataset: Dataset) -> None:
    """Run the evaluation of a dataset, which needs all of its data; list all unreadable files if there are any.

    Raises:
        ValueError: when files cannot be read; lists the reasons.
    """
    try:
        evaluator.run()
    except (OSError, RuntimeError, ValueError) as error:
        if "applying transform" not in str(error):  # MONAI's message, in this process or in a loader's
            raise
        if not (reasons := unreadable_in(dataset)):
            raise
        raise ValueError(_listed(reasons, len(dataset), "nothing was measured")) from None


def _listed(reasons: list[str], count: int, result: str) -> str:
    return "\n- ".join([f"{len(reasons)} of {count} images or their masks cannot be read; {result}:", *reasons])
