"""Samples that cannot be read, which end a run on a folder of images no earlier than its last image."""

from __future__ import annotations

from typing import Any

from monai.data import Dataset

from monai_tunevlseg.errors import root_cause

__all__ = ["UNREADABLE", "SkippingDataset", "unreadable_in"]

UNREADABLE = "unreadable"
"""The key of the reason, in the place of a sample that cannot be read."""


class SkippingDataset(Dataset):
    """A MONAI dataset that gives ``{"unreadable": reason}`` for a sample that cannot be read.

    Only wrong or damaged files (OSError and ValueError) are such samples; other errors end the run.

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
    """Read every sample of a dataset, and return the reasons of those that cannot be read, in their order."""
    samples = SkippingDataset(dataset.data, dataset.transform)
    found = (samples[index] for index in range(len(samples)))
    return [sample[UNREADABLE] for sample in found if UNREADABLE in sample]
