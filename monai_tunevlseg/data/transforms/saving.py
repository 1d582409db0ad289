"""Saving of predictions in the format of their images, with overlays."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from monai_tunevlseg.atomic_files import write_text_atomically
from monai_tunevlseg.data.io.file_suffixes import is_volume_file, stem_of
from monai_tunevlseg.data.io.orientation import array_axis
from monai_tunevlseg.data.io.reading import read_shape
from monai_tunevlseg.data.io.writing import write_map, write_png
from monai_tunevlseg.data.label_overlay import class_color, draw_overlay
from monai_tunevlseg.data.monai_label_stock_app import STOCK_APP_KEY

__all__ = ["SavePredictiond", "write_legend"]

LEGEND = "legend.json"


class SavePredictiond(MapTransform):
    """Writes label maps to `masks/` and overlays to `overlays/STEM.png` in a folder.

    The label map of a NIfTI image is a NIfTI file of the same name, in the image's order of voxels and with its affine,
    codes and units; that of a MetaImage or NRRD file is a NIfTI file of the same stem. The label map of a picture is a
    PNG of the same stem, with 0 and 255 for one class and label values for several. The overlay shows the upright
    image; for a volume, the slice with the largest predicted area, or the middle slice without a prediction.

    Args:
        keys: keys of label maps (1, H, W) or (1, S, A, R) at the size of `image`, which is as `LoadImageMaskd` loads
            it: upright, in [0, 1], with metadata that names the file.
        output_dir: the folder; created for the first prediction.
        num_classes: largest label value.
        slice_axis: sagittal (0), coronal (1) or axial (2) slices of volumes in overlays.
        class_names: names of the label values 1, 2 and so on; for several, `legend.json` holds names and colors.

    Raises:
        ValueError: when an argument is out of range.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        output_dir: str | Path = "output",
        num_classes: int = 1,
        slice_axis: int = 2,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(keys)
        if not 1 <= num_classes <= 254 or slice_axis not in (0, 1, 2):
            raise ValueError(f"num_classes {num_classes} must be in 1..254 and slice_axis {slice_axis} in 0..2.")
        self.output_dir = Path(output_dir).expanduser()
        self.num_classes = num_classes
        self.slice_axis = slice_axis
        self.class_names = class_names

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write one decollated item, and return it unchanged.

        An item of MONAI Label's bundle app is not written, because the app writes it.

        Raises:
            ValueError: when a label map differs in size from its image or has more classes than `num_classes`.
        """
        if STOCK_APP_KEY in data:
            return dict(data)
        source = Path(data["image"].meta["filename_or_obj"])
        for key in self.key_iterator(dict(data)):
            labels = self._check(data[key], source)
            visible = self.num_classes == 1 and not is_volume_file(source)
            write_map(labels * 255 if visible else labels, source, self.output_dir / "masks")
            overlay = self._overlay(labels, data["image"])
            write_png(self.output_dir / "overlays" / f"{stem_of(source)}.png", overlay, quick=True)
        if self.class_names is not None and self.num_classes > 1:
            write_legend(self.output_dir / LEGEND, self.class_names)
        return dict(data)

    def _check(self, prediction: torch.Tensor, source: Path) -> np.ndarray:
        """Return the label map as uint8 of shape (H, W) or (S, A, R)."""
        labels = prediction.detach().cpu().numpy()
        shape = read_shape(source)
        if labels.shape != (1, *shape):
            raise ValueError(
                f"the prediction for {source} has the shape {labels.shape} instead of {(1, *shape)}; "
                "resize it to the image's own size first."
            )
        fractions = labels.dtype.kind == "f" and (labels != np.rint(labels)).any()
        if labels.min() < 0 or labels.max() > self.num_classes or fractions:
            raise ValueError(
                f"the prediction for {source} holds {labels.min()}..{labels.max()} instead of label "
                f"values 0..{self.num_classes}; apply LogitsToLabelMapd first."
            )
        return labels[0].astype(np.uint8)

    def _overlay(self, labels: np.ndarray, image: torch.Tensor) -> np.ndarray:
        """Draw a label map (H, W), or a slice of (S, A, R), over its image (3, H, W) or (3, S, A, R)."""
        if labels.ndim == 3:
            axis = array_axis(self.slice_axis)
            slices = np.moveaxis(labels, axis, 0)
            areas = (slices > 0).sum(axis=(1, 2))
            index = int(areas.argmax()) if areas.any() else len(slices) // 2
            labels, image = slices[index], image.select(axis + 1, index)
        return draw_overlay(np.moveaxis(image.detach().cpu().numpy(), 0, -1), labels, self.num_classes)


def write_legend(path: Path, class_names: Sequence[str]) -> None:
    """Write name and overlay color of each label value, unless the file already holds them."""
    colors = {name: np.rint(class_color(index) * 255).astype(int).tolist() for index, name in enumerate(class_names)}
    legend: dict[str, dict[str, Any]] = {"0": {"name": "background"}}
    legend |= {str(value): {"name": name, "color": colors[name]} for value, name in enumerate(class_names, start=1)}
    content = json.dumps(legend, indent=2, ensure_ascii=False) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != content:
        write_text_atomically(path, content)
