"""Runs over folders with unreadable files: the other files are processed, and one message lists all unreadable ones."""

from __future__ import annotations

import logging
from typing import Any

from ignite.engine import Events
from monai.data import Dataset
from monai.engines import Evaluator, SupervisedEvaluator

from monai_tunevlseg.data.skipping_dataset import UNREADABLE, unreadable_in

__all__ = ["SkippingEvaluator", "run_or_list_unreadable"]

logger = logging.getLogger(__name__)


class SkippingEvaluator(SupervisedEvaluator):
    """MONAI's `SupervisedEvaluator` for batches of a `SkippingDataset`: unreadable samples are logged and skipped.

    It takes the arguments of `SupervisedEvaluator`.

    Attributes:
        unreadable: reasons why samples could not be read, in the order of the last run.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unreadable: list[str] = []
        self.add_event_handler(Events.STARTED, self.unreadable.clear)

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
