"""Texts that are drawn for each image, anew in each epoch: one of its own, and some that it does not show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.engines import PrepareBatch
from torch import Tensor

from monai_tunevlseg.data import IGNORE_INDEX, DatasetSpec, Sample, group_by_image, with_absent_texts
from monai_tunevlseg.data.absent_texts import CLASSES, POOL
from monai_tunevlseg.training.seeding import NUMBER, SeededDataset

__all__ = ["PrepareBatchDrawnTexts"]


class PrepareBatchDrawnTexts(PrepareBatch):
    """Another preparation of batches with one text per image, which is replaced by drawn ones.

    The first text of an image is its own, or one of its ``text_set``, all of them equally likely. Then come texts that
    the image is known not to show, without repetitions. An image with too few of them repeats its own text, with a
    target whose pixels are all ignored, so that all images have equally many. Ignored pixels may show any class of the
    dataset, so that they stay ignored for absent classes; other absent texts are absent there, too.

    What is drawn depends on the seed and the epoch of the dataset and the ``number`` of the sample only, so that a
    resumed run, several processes and a feature cache draw the same, and so do all validations of a run.

    Args:
        prepare_batch: preparation of a batch with the labels (B, 1, H, W) and the keyword argument ``text``, B strings.
        dataset: the dataset of training or validation.
        spec: the dataset's classes and layout.
        other_samples: samples of other splits, none of whose texts may be absent.
        negative_texts: absent texts of each image, 0 or more.
        negative_source: source of the absent texts, as ``absent_texts`` of
            :func:`~monai_tunevlseg.data.with_absent_texts`.
        validates: whether the batches are for validation: the first text of an image is then always its own, and
            ``negative_texts`` is lowered to the most that an image has.

    Attributes:
        source: ``negative_source``, with the texts in place of their file.

    Raises:
        FileNotFoundError: when ``negative_source`` is a file that does not exist.
        ValueError: as :func:`~monai_tunevlseg.data.with_absent_texts`, or when no image has ``negative_texts`` of them
            in training.
    """

    def __init__(
        self,
        prepare_batch: Callable[..., Any],
        dataset: SeededDataset,
        spec: DatasetSpec,
        other_samples: Sequence[Sample] = (),
        negative_texts: int = 0,
        negative_source: str | Sequence[str] = "pool",
        validates: bool = False,
    ) -> None:
        self.prepare_batch = prepare_batch
        self.dataset = dataset
        self.negative_texts = negative_texts
        self.validates = validates
        self.own_texts = [
            list(dict.fromkeys([each["text"], *(() if validates else each.get("text_set", ()))]))
            for each in dataset.data
        ]
        self.absent_texts: list[list[str]] = [[] for _ in dataset.data]
        self.source = POOL if _is_file(negative_source) else negative_source  # a file is not read for no texts
        self.ignores = negative_source == CLASSES
        if negative_texts:
            self._find_absent_texts(spec, other_samples, negative_source)

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Prepare a batch.

        Returns:
            images, targets (B, 1 + negative_texts, H, W), and the arguments of the network; its ``text`` has as many
            texts for each image.
        """
        image, label, arguments, options = self.prepare_batch(batchdata, device, non_blocking, **kwargs)
        drawn = [self.draw(int(number)) for number in batchdata[NUMBER]]
        counts = torch.tensor([len(absent) for _, absent in drawn])
        known = torch.arange(self.negative_texts) < counts[:, None]  # (B, negative_texts)
        # a filler costs a decoding, but no encoding
        texts = [[own, *absent, *[own] * (self.negative_texts - len(absent))] for own, absent in drawn]
        target = _with_empty_targets(label, known.to(label.device), self.ignores)
        return image, target, arguments, {**options, "text": texts}

    def draw(self, number: int) -> tuple[str, list[str]]:
        """Return the own text of a sample in this epoch, and its absent texts."""
        generator = np.random.default_rng([self.dataset.seed, self.dataset.epoch, number])
        own, absent = self.own_texts[number], self.absent_texts[number]
        count = min(self.negative_texts, len(absent))
        chosen = generator.choice(len(absent), count, replace=False) if count else ()
        # last, so that text sets do not change which texts are absent
        return own[generator.integers(len(own))], [absent[index] for index in chosen]

    def _find_absent_texts(
        self, spec: DatasetSpec, other_samples: Sequence[Sample], negative_source: str | Sequence[str]
    ) -> None:
        splits = {"train": self.dataset.data, "other": other_samples}
        groups = with_absent_texts(
            group_by_image(self.dataset.data), negative_source, spec, splits, option="negative_source"
        )
        for group in groups:
            for pair in group["pairs"]:
                self.absent_texts[pair["number"]] = group["absent_texts"]
        most = max(map(len, self.absent_texts), default=0)
        if most < self.negative_texts and not self.validates:
            raise ValueError(
                f"negative_texts is {self.negative_texts}, but negative_source {negative_source!r:.80} has at most "
                f"{most} texts for an image; lower negative_texts, or give more texts."
            )
        self.negative_texts = min(self.negative_texts, most)
        if _is_file(negative_source):
            self.source = groups[0]["absent_texts"]


def _is_file(source: str | Sequence[str]) -> bool:
    return isinstance(source, str) and source not in (CLASSES, POOL)


def _with_empty_targets(label: Tensor, known: Tensor, ignores: bool) -> Tensor:
    """Append n empty targets to labels (B, 1, H, W); those that are not known, (B, n) bool, are ignored.

    Args:
        label: the labels.
        known: which of the targets are known to be empty.
        ignores: whether the ignored pixels of a label are ignored in its empty targets, too.
    """
    ignored = ~known[:, :, None, None] | ((label == IGNORE_INDEX) & ignores)  # (B, n, H, W) or (B, n, 1, 1)
    empty = ignored.to(label.dtype).expand(-1, -1, *label.shape[2:]) * IGNORE_INDEX
    return torch.cat([label, empty], dim=1)
