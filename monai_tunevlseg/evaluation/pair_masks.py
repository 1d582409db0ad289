"""The masks of a batch's pairs and absent texts, at the model's resolution and at the images' own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from monai.transforms import Transform

from monai_tunevlseg.calibration import Calibration
from monai_tunevlseg.data.sample_masks import IGNORE_INDEX
from monai_tunevlseg.data.transforms.resizing import resize_logits

__all__ = ["LogitsToPairMasks", "counted_masks"]


class LogitsToPairMasks(Transform):
    """Converts the logits and labels of a batch of image groups into masks, one per text, for MONAI's metrics.

    Foreground is where the sigmoid of the logit is above 0.5, or the calibrated one above its threshold. At an image's
    own resolution the logits are resized bilinearly, as in inference, before the threshold. Ignored pixels are
    background in both mask and prediction, so that overlap metrics do not count them. (For distances, contours in both
    end at an ignored region.)

    Args:
        calibration: temperatures and thresholds; None = the network's own logits, and a threshold of 0.5.
    """

    def __init__(self, calibration: Calibration | None = None) -> None:
        self.calibration = calibration

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Convert one batch of B images with k pairs, m absent and n further texts each.

        Args:
            data: `pred` (B, k + m + n, h, w), logits of the pairs, the absent and the further texts; `label`
                (B, k, h, w) in {0, 1, 255}; `full_label`, B arrays of the same at an image's own size (k, H, W);
                `further_texts`, the n texts of each image, without which n is 0; for a calibration also `pairs`, the k
                samples of each image, and `absent_texts`, its m texts.

        Returns:
            the same with `pred`, `label`, `pred_original` and `label_original` as lists of B * k masks, uint8 in {0, 1}
            of shape (1, h, w) or (1, H, W), `absent` and `absent_original`, B * m masks of the absent texts,
            `foreground`, the predictions of all texts, ignored pixels included, bool (B, k + m + n, h, w), and `logits`
            and `target`, B * k calibrated logits and labels (h, w).
        """
        batch = dict(data)
        labels, originals = torch.as_tensor(batch["label"]), list(map(torch.as_tensor, batch["full_label"]))
        scaled, margins = self._calibrated(torch.as_tensor(batch["pred"]).float(), batch)
        batch["logits"], batch["target"] = (list(part.flatten(0, 1)) for part in (scaled[:, : labels.shape[1]], labels))
        batch["foreground"] = margins > 0
        last = margins.shape[1] - len(batch.get("further_texts", [[]])[0])
        logits, absent, _ = margins.tensor_split([labels.shape[1], last], dim=1)
        batch["pred"], batch["label"] = _at_model(logits, labels)
        batch["pred_original"], batch["label_original"] = _at_original(logits, originals)
        count = absent.shape[1]
        batch["absent"], _ = _at_model(absent, _without_foreground(labels, count))
        batch["absent_original"], _ = _at_original(absent, [_without_foreground(mask, count) for mask in originals])
        return batch

    def _calibrated(self, logits: torch.Tensor, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return calibrated logits, and by how much they exceed their thresholds' logits, (B, k + m + n, h, w) each."""
        if self.calibration is None:
            return logits, logits
        names = [
            [self.calibration.name_of(pair["class_name"], pair["text"]) for pair in pairs] + [*absent, *further]
            for pairs, absent, further in zip(
                batch["pairs"], batch["absent_texts"], batch["further_texts"], strict=True
            )
        ]
        scaled = self.calibration.scaled(logits, names)
        return scaled, scaled - self.calibration.cuts(names).to(scaled)[:, :, None, None]


def _at_model(logits: torch.Tensor, labels: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return predictions and masks, B * k each, of logits and labels (B, k, h, w)."""
    flat = zip(logits.flatten(0, 1)[:, None], labels.flatten(0, 1)[:, None], strict=True)
    return _separated(counted_masks(logit > 0, label) for logit, label in flat)


def _at_original(logits: torch.Tensor, labels: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return predictions and masks, B * k each, of logits (B, k, h, w) and B labels (k, H, W)."""
    flat = zip(logits.flatten(0, 1)[:, None], (label[None] for masks in labels for label in masks), strict=True)
    return _separated(
        # one at a time, because the logits of all texts of a large picture take much memory
        counted_masks(resize_logits(logit[None], label.shape[-2:])[0] > 0, label.to(logit.device))
        for logit, label in flat
    )


def _separated(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    listed = list(pairs)
    return [prediction for prediction, _ in listed], [label for _, label in listed]


def _without_foreground(labels: torch.Tensor, count: int) -> torch.Tensor:
    """Return the masks of absent texts (..., count, H, W): empty, ignored where one of the masks (..., k, H, W) is."""
    ignored = (labels == IGNORE_INDEX).any(dim=-3, keepdim=True).to(torch.uint8) * IGNORE_INDEX
    return ignored.repeat_interleave(count, dim=-3)


def counted_masks(foreground: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return prediction and mask, uint8 (1, H, W) each in {0, 1}, with ignored pixels as 0.

    Args:
        foreground: the predicted foreground, bool (1, H, W).
        label: the mask (1, H, W) in {0, 1, 255}.
    """
    counted = label != IGNORE_INDEX
    return (foreground & counted).to(torch.uint8), ((label > 0) & counted).to(torch.uint8)
