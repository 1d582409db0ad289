"""The overview figure of a demo run: image, ground truth, and the predictions before and after training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from monai_tunevlseg.data.io.file_suffixes import stem_of
from monai_tunevlseg.data.io.reading import read_image, read_stored_mask
from monai_tunevlseg.data.label_overlay import draw_overlay

__all__ = ["draw_overview"]

NUM_ROWS = 4


def draw_overview(output_dir: Path, num_classes: int) -> Path:
    """Draw the first test images of a demo run with their masks.

    Args:
        output_dir: output folder of the demo, with ``new_images``, ``data``, ``predictions`` and, with a base
            model, ``predictions_zero_shot``.
        num_classes: number of classes in the masks.

    Returns:
        path of the figure, ``overview.png`` in ``output_dir``.
    """
    folders = {
        "truth": output_dir / "data" / "masks",
        "zero-shot": output_dir / "predictions_zero_shot" / "masks",
        "tuned": output_dir / "predictions" / "masks",
    }
    folders = {title: folder for title, folder in folders.items() if folder.is_dir()}
    images = sorted((output_dir / "new_images").iterdir())[:NUM_ROWS]
    figure = Figure(figsize=(8, 2.1 * len(images)), layout="constrained")
    axes = figure.subplots(len(images), 1 + len(folders), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, title in zip(axes[0], ["image", *folders], strict=True):
        axis.set_title(title)
    for row, path in zip(axes, images, strict=True):
        image = read_image(path)
        row[0].imshow(image)
        for axis, folder in zip(row[1:], folders.values(), strict=True):
            labels = _labels(folder, path, num_classes)
            axis.imshow(draw_overlay(image, labels, num_classes))
    target = output_dir / "overview.png"
    figure.savefig(target, dpi=110)
    return target


def _labels(folder: Path, image: Path, num_classes: int) -> np.ndarray:
    (mask,) = folder.glob(f"{stem_of(image)}.*")
    values = read_stored_mask(mask).values
    return values > 0 if num_classes == 1 else values
