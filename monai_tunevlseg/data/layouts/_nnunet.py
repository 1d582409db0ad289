"""The parts of nnU-Net v2's raw format that are not in a folder of this package's own form.

`DatasetXXX_NAME/` holds `imagesTr/CASE_0000.png`, `labelsTr/CASE.png`, the same for the test images in `imagesTs/` and
`labelsTs/`, `dataset.json`, and optionally `splits_final.json`, which divides the images of `imagesTr/` for each fold.
See nnU-Net's `documentation/dataset_format.md` and `documentation/manual_data_splits.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from monai_tunevlseg.data.image_files import normalized
from monai_tunevlseg.data.samples import Splits
from monai_tunevlseg.json_files import read_json
from monai_tunevlseg.messages import shorten

__all__ = ["BACKGROUND", "CHANNEL_ENDING", "IGNORE", "SPLITS_FINAL", "parse_labels", "read_fold"]

BACKGROUND, IGNORE = "background", "ignore"
"""Names of labels that are not classes."""
CHANNEL_ENDING = "_0000"
"""Ending of the images' names: the number of the first channel, or of a file with red, green and blue."""
SPLITS_FINAL = "splits_final.json"


def parse_labels(path: Path, labels: Any) -> tuple[list[str], int | None]:
    """Return the classes of the values 1, 2 and so on, and the value of ignored pixels.

    Args:
        path: the `dataset.json`, for messages.
        labels: its entry `labels`, such as {"background": 0, "polyp": 1, "ignore": 2}.

    Raises:
        ValueError: when the values are not consecutive numbers, as those of regions.
    """
    names: list[str] = []
    if isinstance(labels, dict) and all(type(value) is int for value in labels.values()):
        names = sorted(labels, key=labels.__getitem__)
    classes = [name for name in names if name not in (BACKGROUND, IGNORE)]
    in_order = [BACKGROUND, *classes, *([IGNORE] if IGNORE in names else [])]
    if not classes or labels != {name: value for value, name in enumerate(in_order)}:
        raise ValueError(
            f"{path} has the labels {labels!r:.200}; they must be background 0, the classes 1, 2 and so on, and "
            "optionally ignore as the last: regions of several values are not read."
        )
    return classes, labels.get(IGNORE)


def read_fold(dataset_dir: Path, stems: Iterable[str]) -> Splits | None:
    """Read the training and validation images of the first fold in `splits_final.json`; None without that file.

    Args:
        dataset_dir: the dataset's folder.
        stems: the stems of `imagesTr/`; they may begin with the split and `/`.

    Raises:
        ValueError: when the file is not a list of folds, or names other images.
    """
    path = dataset_dir / SPLITS_FINAL
    if not path.is_file():
        return None
    content = read_json(path)
    fold = content[0] if isinstance(content, list) and content else None
    if not isinstance(fold, dict) or not all(_is_list_of_names(fold.get(split)) for split in ("train", "val")):
        raise ValueError(f'{path} must be a list of folds, [{{"train": [name, ...], "val": [name, ...]}}, ...].')
    known = {stem.rpartition("/")[2]: stem for stem in stems}
    splits = {split: [normalized(name) for name in fold[split]] for split in ("train", "val")}
    unknown = sorted(set().union(*splits.values()) - known.keys())
    if unknown:
        raise ValueError(f"{path} lists {shorten(unknown)}, of which no image is in imagesTr/; correct the names.")
    return {split: [known[name] for name in names] for split, names in splits.items()}


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
