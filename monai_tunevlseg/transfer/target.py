"""A target of a transfer: another dataset, which no training and no choice reads."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from monai_tunevlseg.data import LAYOUTS, DatasetSpec
from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS
from monai_tunevlseg.hyperparameters import parse_hyperparameter
from monai_tunevlseg.transfer.source_run import SPEC_OPTIONS, SourceRun

__all__ = ["TARGET_OPTIONS", "Target", "read_target", "target_of"]

TARGET_OPTIONS = tuple(name for name in SPEC_OPTIONS if name not in ("neutral_text", "text_source"))
"""Hyperparameters that a target may have of its own; its texts are those of the run."""
_NAME = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class Target:
    """A dataset to test on.

    Attributes:
        name: name of the dataset in tables.
        dataset_dir: its folder.
        options: its layout and other ``TARGET_OPTIONS``.
    """

    name: str
    dataset_dir: Path
    options: Mapping[str, Any]

    def spec(self, run: SourceRun) -> DatasetSpec:
        """Return how a run reads the dataset.

        A folder for any dataset has the classes of the run unless it has options of its own; so have volumes the
        slicing axis and the intensity window of the training, which belong to the input of the network.
        """
        info = LAYOUTS[self.options["layout"]].info
        own = {"slice_axis": run.spec.slice_axis, "intensity_window": run.spec.intensity_window, **self.options}
        if "class_names" not in own and info is None:
            own["class_names"] = run.spec.encoding().class_names
        return DatasetSpec(self.dataset_dir, every_slice=True, **own)


def read_target(name: str, dataset_dir: str | Path, options: Mapping[str, Any] | None = None) -> Target:
    """Return the target of a name.

    Args:
        name: a public dataset, a demo dataset, or any name of a dataset whose ``layout`` is among the options.
        dataset_dir: its folder.
        options: hyperparameters of ``TARGET_OPTIONS``.

    Raises:
        FileNotFoundError: when the folder does not exist.
        ValueError: when the dataset or an option is unknown, or the value of an option is wrong.
    """
    options = dict(options or {})
    if not _NAME.fullmatch(name):
        raise ValueError(f"the target name {name!r} is not a valid folder name; use letters, digits, '_', '-' and '.'.")
    if unknown := [option for option in options if option not in TARGET_OPTIONS]:
        raise ValueError(
            f"the target {name} has the unknown option {unknown[0]!r}; known are {', '.join(TARGET_OPTIONS)}."
        )
    options = {option: parse_hyperparameter(option, value) for option, value in options.items()}
    if "layout" not in options:
        options |= _known_options(name, options)
    if not (folder := Path(dataset_dir).expanduser().absolute()).is_dir():
        raise FileNotFoundError(f"the folder {dataset_dir} of the target {name} does not exist; correct the path.")
    return Target(name, folder, options)


def target_of(name: str, spec: DatasetSpec) -> Target:
    """Return the target for a dataset that other runs read in this way, without the options that are defaults."""
    defaults = {field.name: field.default for field in fields(DatasetSpec)}
    own = {option: value for option in TARGET_OPTIONS if (value := getattr(spec, option)) != defaults[option]}
    return Target(name, spec.folder, {"layout": spec.layout, **own})


def _known_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the layout of a known dataset and, of a demo dataset, its classes."""
    public = [layout for layout in LAYOUTS if LAYOUTS[layout].info is not None]
    if name in public:
        return {"layout": name}
    if name in DEMO_DATASETS:
        return {"layout": "folder", "class_names": options.get("class_names", DEMO_DATASETS[name].class_names)}
    nearest = difflib.get_close_matches(name, [*public, *DEMO_DATASETS], n=1)
    raise ValueError(
        f"unknown dataset {name!r}: known are {', '.join([*public, *DEMO_DATASETS])}"
        f"{f'; did you mean {nearest[0]!r}?' if nearest else '.'} For a folder with images/ and masks/, pass "
        f"--target-option {name}:layout=folder."
    )
