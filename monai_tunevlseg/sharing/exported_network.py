"""Inference with an exported TorchScript file, from the configs and the metadata that it contains."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from monai.bundle import ConfigParser
from torch import Tensor

__all__ = ["infer_exported"]

Network = Callable[[Tensor], Tensor]


def infer_exported(parser: ConfigParser, network: Network, image: Tensor) -> Tensor:
    """Return the label map that the bundle's own inference gives, calibrated like it.

    The calibration is that in the file's metadata, because the configs look for one beside a checkpoint.

    Args:
        parser: the configs and the metadata in the file.
        network: the network in the file, from (B, 3, h, w) to the logits (B, K, h, w) of its K classes.
        image: (B, 3, H, W) in [0, 1].

    Returns:
        (B, 1, H, W) uint8: 0 is background, k + 1 class k.

    Raises:
        ValueError: when the configs ask for what an exported network does not give.
    """
    inferer: Any = copy.copy(parser.get_parsed_content("inferer"))
    for option in ("presence_threshold", "text_sets"):
        if (value := getattr(inferer, option)) not in (None, {}):
            raise ValueError(
                f"{option} is {value!r:.100}, but an exported network has fixed texts and gives no presence; set it to "
                "null in the config of the export."
            )
    inferer.calibration = None
    fitted = parser["_meta_"].get("calibration", {})
    of_classes = [fitted.get(name, {}) for name in parser.get_parsed_content("class_names")]
    labels: Tensor = inferer(image, lambda pictures: _above_thresholds(network(pictures), of_classes))
    return labels


def _above_thresholds(logits: Tensor, of_classes: list[Mapping[str, float]]) -> Tensor:
    """Return how far the calibrated logits (B, K, h, w) are above the threshold of their class."""
    temperatures = logits.new_tensor([fitted.get("temperature", 1.0) for fitted in of_classes])
    thresholds = logits.new_tensor([fitted.get("threshold", 0.5) for fitted in of_classes])
    return logits / temperatures[:, None, None] - thresholds.logit()[:, None, None]
