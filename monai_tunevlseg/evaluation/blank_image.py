"""What a network segments in an image without content, which is what its texts alone give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from monai.engines import SupervisedEvaluator

from monai_tunevlseg.calibration import Calibration
from monai_tunevlseg.evaluation.pair_masks import LogitsToPairMasks

__all__ = ["BlankImage"]


class BlankImage:
    """An image of one color, the mean of the network's training images, and its mask for each text.

    A text is asked once. Masks stay in memory, a bit for each pixel at the model's resolution, because published texts
    can be as many as pairs.

    Args:
        calibration: temperatures and thresholds; None = the network's own logits, and a threshold of 0.5.
    """

    def __init__(self, calibration: Calibration | None = None) -> None:
        self._to_masks = LogitsToPairMasks(calibration)
        self._packed: dict[str, np.ndarray] = {}

    def masks(self, engine: SupervisedEvaluator, texts: Iterable[str]) -> Mapping[str, torch.Tensor]:
        """Return the mask of each text, bool (h, w) in the memory of the CPU.

        Args:
            engine: an evaluation with a batch; its network, inferer and precision are used.
            texts: the texts.
        """
        asked = dict.fromkeys(texts)
        if missing := [text for text in asked if text not in self._packed]:
            for text, mask in zip(missing, self._segment(engine, missing), strict=True):
                self._packed[text] = np.packbits(mask, axis=1)
        width = engine.state.batch["image"].shape[3]
        return {text: torch.from_numpy(np.unpackbits(self._packed[text], axis=1, count=width)).bool() for text in asked}

    def _segment(self, engine: SupervisedEvaluator, texts: list[str]) -> np.ndarray:
        """Return the masks of n texts, bool (n, h, w)."""
        # images are normalized, so that zero is the mean
        image = torch.zeros_like(engine.state.batch["image"][:1], device=engine.state.device)
        with engine.mode(engine.network), torch.autocast(image.device.type, enabled=engine.amp):
            logits = engine.inferer(image, engine.network, text=[texts])
        size = image.shape[2:]
        nothing = {"label": torch.zeros(1, 0, *size), "full_label": [torch.zeros(0, *size)]}
        texts_of_image = {"pairs": [[]], "absent_texts": [[]], "further_texts": [texts]}
        foreground: torch.Tensor = self._to_masks({"pred": logits, **nothing, **texts_of_image})["foreground"]
        return foreground[0].cpu().numpy()
