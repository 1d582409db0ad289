"""Saving of probability and uncertainty maps beside the masks."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from scipy.special import entr

from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.reading import read_shape
from monai_tunevlseg.data.io.writing import write_map
from monai_tunevlseg.data.monai_label_stock_app import STOCK_APP_KEY

__all__ = ["SaveProbabilitiesd", "uncertainty_of"]

FULL_SCALE = np.iinfo(np.uint16).max


class SaveProbabilitiesd(MapTransform):
    """Writes a map of each class to `probabilities/CLASS/` and `uncertainty/CLASS/`, and leaves the label map.

    A map has the name, size, orientation and, as NIfTI, the header of the mask that `SavePredictiond` writes. That of a
    volume is float32. That of a picture is a 16-bit PNG of the value times 65535, rounded. The uncertainty is that of
    :func:`uncertainty_of`. In the folder's name, characters of the class name that few file systems allow are
    percent-encoded.

    Args:
        keys: keys of tensors (1 + K, H, W) or (1 + K, S, A, R), upright as from `LoadImageMaskd`, at the size of
            `image`, whose metadata names the file: a label map, then the probabilities of the K classes.
        output_dir: the folder; created for the first prediction.
        class_names: names of the K classes.
    """

    def __init__(
        self, keys: KeysCollection = "pred", output_dir: str | Path = "output", class_names: Sequence[str] = ()
    ) -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir).expanduser()
        self.folders = [_folder_name(name) for name in class_names]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the maps of one decollated item, and return it with label maps (1, ...), uint8.

        Nothing is written for an item of MONAI Label's bundle app.

        Raises:
            ValueError: when a tensor differs in size from its image, or does not have a probability of each class.
        """
        sample = dict(data)
        source = Path(sample["image"].meta["filename_or_obj"])
        for key in self.key_iterator(sample):
            labels, probabilities = sample[key][:1], sample[key][1:]
            sample[key] = labels.to(torch.uint8)
            if STOCK_APP_KEY not in sample:
                self._check(probabilities, source)
                for folder, of_class in zip(self.folders, probabilities, strict=True):
                    self._write(of_class.detach().cpu().numpy(), source, folder)
        return sample

    def _check(self, probabilities: torch.Tensor, source: Path) -> None:
        expected = (len(self.folders), *read_shape(source))
        if tuple(probabilities.shape) != expected:
            raise ValueError(
                f"the probabilities for {source} have the shape {tuple(probabilities.shape)} instead of {expected}; "
                "pass one of each class, at the image's own size."
            )

    def _write(self, probability: np.ndarray, source: Path, folder: str) -> None:
        for kind, values in (("probabilities", probability), ("uncertainty", uncertainty_of(probability))):
            stored = values if is_volume_file(source) else np.rint(values * FULL_SCALE).astype(np.uint16)
            write_map(stored, source, self.output_dir / kind / folder)


def uncertainty_of(probability: np.ndarray) -> np.ndarray:
    """Return the entropy of probabilities in bits, of the same shape and type: 0 is certain, 1 a guess.

    This is the predictive entropy of each class by itself, because classes may overlap; see Mehrtash et al.,
    "Confidence Calibration and Predictive Uncertainty Estimation for Deep Medical Image Segmentation", IEEE TMI 2020.
    """
    return (entr(probability) + entr(1 - probability)) / probability.dtype.type(math.log(2))


def _folder_name(class_name: str) -> str:
    return re.sub(r"[^\w .,()'+-]|^\.", lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), class_name)
