"""Runs over folders with unreadable files: the other files are processed, and one message lists all unreadable ones."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import Any

import torch
from ignite.engine import Events
from monai.data import Dataset
from monai.engines import Evaluator, SupervisedEvaluator
from monai.engines.utils import CommonKeys as Keys
from monai.engines.utils import IterationEvents
from monai.transforms import Transform

from monai_tunevlseg.data.skipping_dataset import UNREADABLE, unreadable_in
from monai_tunevlseg.data.transforms.background import BackgroundTransform

__all__ = ["SkippingEvaluator", "run_or_list_unreadable"]

logger = logging.getLogger(__name__)


class SkippingEvaluator(SupervisedEvaluator):
    """MONAI's `SupervisedEvaluator` for a `SkippingDataset`: unreadable samples are logged and skipped.

    A batch is the list of its samples (`collate_fn: list`), whose images may differ in size; the inferer takes their
    list, as `ResizedInferer` does. The postprocessing, which writes results, can run in threads beside the network.

    Args:
        postprocessing: transform of each item, which writes its results.
        num_writers: threads of the postprocessing, whose results handlers do not see; 0 = none, and they do.
        kwargs: other arguments of `SupervisedEvaluator`.

    Attributes:
        unreadable: reasons why samples could not be read, in the order of the last run.
    """

    def __init__(self, *, postprocessing: Transform | None = None, num_writers: int = 0, **kwargs: Any) -> None:
        self._writing = BackgroundTransform(postprocessing, num_writers) if postprocessing and num_writers else None
        transform = self._writing or postprocessing
        super().__init__(iteration_update=self._segment, decollate=False, postprocessing=transform, **kwargs)
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
            count = len(self.data_loader.dataset)  # type: ignore[union-attr, arg-type]
            raise ValueError(_listed(self.unreadable, count, "the others were processed"))

    def _segment(self, engine: Any, batchdata: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Run the network on the readable samples of a batch; return image and prediction of each."""
        reasons = [sample[UNREADABLE] for sample in batchdata if UNREADABLE in sample]
        for reason in reasons:
            logger.error("skipped: %s", reason)
        self.unreadable += reasons
        state = engine.state
        state.batch = [sample for sample in batchdata if UNREADABLE not in sample]
        state.output = []
        if state.batch:
            images = [sample[Keys.IMAGE].to(state.device, non_blocking=engine.non_blocking) for sample in state.batch]
            with engine.mode(engine.network), torch.autocast("cuda", enabled=engine.amp, **engine.amp_kwargs):
                found = engine.inferer(images, engine.network)
            state.output = [{Keys.IMAGE: image, Keys.PRED: of} for image, of in zip(images, found, strict=True)]
            engine.fire_event(IterationEvents.FORWARD_COMPLETED)
            engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return state.output


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
