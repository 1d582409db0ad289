"""`dataset.json`, an optional description of the label maps in a folder of the layout `folder`.

{"class_names": ["aeroplane", ...], "ignore_value": 255}: the classes of the values 1, 2 and so on, and the value of
pixels that are neither foreground nor background, or null. The `dataset.json` of nnU-Net v2 is read as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from monai_tunevlseg.data.layouts._nnunet import CHANNEL_ENDING, parse_labels
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.json_files import read_json
from monai_tunevlseg.messages import shorten

__all__ = ["DATASET_JSON", "DatasetJson", "read_dataset_json", "write_dataset_json"]

DATASET_JSON = "dataset.json"


@dataclass(frozen=True)
class DatasetJson:
    """The content of a `dataset.json`.

    Args:
        path: the file.
        class_names: the classes of the values 1, 2 and so on.
        ignore_value: the value of ignored pixels; None = no pixel is ignored.
        image_ending: the ending of the images' names beyond those of their masks.
    """

    path: Path
    class_names: tuple[str, ...]
    ignore_value: int | None
    image_ending: str = ""

    def encode(self, encoding: MaskEncoding) -> MaskEncoding:
        """Return the encoding with the values of its classes.

        Raises:
            ValueError: when a class is unknown, or a threshold is given.
        """
        unknown = [name for name in encoding.class_names if name not in self.class_names]
        if unknown:
            raise ValueError(
                f"{self.path} has no class {shorten(map(repr, unknown))}: class_names may be "
                f"{', '.join(self.class_names)}; to give the network another text, set neutral_text."
            )
        if encoding.mask_threshold is not None:
            raise ValueError(
                f"{self.path} declares label maps, to which mask_threshold {encoding.mask_threshold} does not apply; "
                "set mask_threshold to null."
            )
        values = {name: self.class_names.index(name) + 1 for name in encoding.class_names}
        return replace(encoding, label_values=values)


def read_dataset_json(dataset_dir: Path) -> DatasetJson | None:
    """Read the `dataset.json` of a folder; None if it does not exist.

    Raises:
        ValueError: when its content is wrong.
    """
    path = dataset_dir / DATASET_JSON
    if not path.is_file():
        return None
    content = read_json(path)
    if isinstance(content, dict) and "labels" in content:
        classes, ignore_value = parse_labels(path, content["labels"])
        return DatasetJson(path, tuple(classes), ignore_value, CHANNEL_ENDING)
    names, ignored = (
        content.get(key) if isinstance(content, dict) else None for key in ("class_names", "ignore_value")
    )
    if not isinstance(names, list) or not (ignored is None or type(ignored) is int):
        raise ValueError(f"{path} must have class_names, a list of names, and ignore_value, an integer or null.")
    MaskEncoding(names)  # refuses names that are empty or twice
    if ignored is not None and 0 <= ignored <= len(names):
        meaning = "background" if ignored == 0 else f"the class {names[ignored - 1]!r}"
        raise ValueError(
            f"{path} has ignore_value {ignored}, which is the value of {meaning}; give an unused value, or null."
        )
    return DatasetJson(path, tuple(names), ignored)


def write_dataset_json(dataset_dir: Path, class_names: tuple[str, ...], ignore_value: int | None) -> None:
    """Write the `dataset.json` of a folder."""
    content = {"class_names": list(class_names), "ignore_value": ignore_value}
    (dataset_dir / DATASET_JSON).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
