"""`dataset.json`, which may lie in a folder of the layout `folder` and says what its label maps mean.

{"class_names": ["aeroplane", ...], "ignore_value": 255}: the classes of the values 1, 2 and so on, and the value of
pixels that are neither foreground nor background, or null.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.json_files import read_json
from monai_tunevlseg.messages import shorten

__all__ = ["DATASET_JSON", "DatasetJson", "read_dataset_json", "write_dataset_json"]

DATASET_JSON = "dataset.json"


@dataclass(frozen=True)
class DatasetJson:
    """What label maps mean.

    Args:
        path: the file.
        class_names: the classes of the values 1, 2 and so on.
        ignore_value: the value of pixels that count neither as foreground nor as background; None = none.
    """

    path: Path
    class_names: tuple[str, ...]
    ignore_value: int | None

    def coding_of(self, encoding: MaskEncoding) -> MaskEncoding:
        """Give the chosen classes their values.

        Raises:
            ValueError: when a class is unknown, or a threshold is given.
        """
        unknown = [name for name in encoding.class_names if name not in self.class_names]
        if unknown:
            raise ValueError(
                f"{self.path} has no class {shorten(map(repr, unknown))}: class_names may be "
                f"{', '.join(self.class_names)}; to name a class otherwise for the network, set neutral_text."
            )
        if encoding.mask_threshold is not None:
            raise ValueError(
                f"by {self.path} masks are label maps, so that mask_threshold {encoding.mask_threshold} has no "
                "meaning; set mask_threshold to null."
            )
        values = {name: self.class_names.index(name) + 1 for name in encoding.class_names}
        return replace(encoding, label_values=values)


def read_dataset_json(dataset_dir: Path) -> DatasetJson | None:
    """Read the file, if there is one.

    Raises:
        ValueError: when it is no such file.
    """
    path = dataset_dir / DATASET_JSON
    if not path.is_file():
        return None
    content = read_json(path)
    names, ignored = (
        content.get(key) if isinstance(content, dict) else None for key in ("class_names", "ignore_value")
    )
    if not isinstance(names, list) or not (ignored is None or type(ignored) is int):
        raise ValueError(f"{path} must have class_names, a list of names, and ignore_value, an integer or null.")
    MaskEncoding(names)  # refuses names that are empty or twice
    if ignored is not None and 0 <= ignored <= len(names):
        meaning = "background" if ignored == 0 else f"the class {names[ignored - 1]!r}"
        raise ValueError(
            f"{path} gives ignore_value {ignored}, the value of {meaning}; give a value of its own, or null."
        )
    return DatasetJson(path, tuple(names), ignored)


def write_dataset_json(dataset_dir: Path, class_names: tuple[str, ...], ignore_value: int | None) -> None:
    """Write the file."""
    content = {"class_names": list(class_names), "ignore_value": ignore_value}
    (dataset_dir / DATASET_JSON).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
