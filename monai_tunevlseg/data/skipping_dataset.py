"""A dataset that skips unreadable samples, so that they do not end a run before its last image."""

from __future__ import annotations

from typing import Any

from monai.data import Dataset

from monai_tunevlseg.errors import root_cause

__all__ = ["UNREADABLE", "SkippingDataset", "unreadable_in"]

UNREADABLE = "unreadable"
"""Key of the reason in the item of an unreadable sample."""


class SkippingDataset(Dataset):
    """A MONAI dataset whose item is ``{"unreadable": reason}`` for a sample that cannot be read.

    This covers wrong and damaged files (OSError and ValueError); other errors end the run.

    Args:
        data: the samples.
        transform: reads a sample.
    """

    def _transform(self, index: int) -> Any:
        try:
            return super()._transform(index)
        except (OSError, RuntimeError, ValueError) as error:
            reason = root_cause(error)
            if not isinstance(reason, OSError | ValueError):
                raise
            return {UNREADABLE: str(reason)}


def unreadable_in(dataset: Dataset) -> list[str]:
    """Read every sample of a dataset, and return the reasons of the unreadable ones, in order."""
    samples = SkippingDataset(dataset.data, dataset.transform)
    found = (samples[index] for index in range(len(samples)))
    return [sample[UNREADABLE] for sample in found if UNREADABLE in sample]
