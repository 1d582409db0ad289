"""Options that describe a dataset, which several commands share."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from monai_tunevlseg.data import DatasetSpec

__all__ = [
    "ClassNames",
    "Folder",
    "GroupPattern",
    "IntensityWindow",
    "LabelValues",
    "MaskEnding",
    "MaskThreshold",
    "Name",
    "NeutralText",
    "SliceAxis",
    "SplitsFile",
    "dataset_spec",
    "parse_label_values",
]

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a dataset, or of a layout: folder or annotations.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the dataset.")]
ClassNames = Annotated[
    list[str] | None,
    typer.Option("--class-name", help="Name of a class; may be repeated; all classes of a public dataset by default."),
]
SplitsFile = Annotated[Path | None, typer.Option(help="JSON file of the splits; the one of training by default.")]
LabelValues = Annotated[
    list[str] | None,
    typer.Option("--label-value", metavar="CLASS=VALUE", help="Label value of a class; may be repeated."),
]
MaskThreshold = Annotated[float | None, typer.Option(help="Foreground threshold (0..255) for binary masks.")]
MaskEnding = Annotated[
    str | None, typer.Option(help="Ending of the masks' names, such as _mask; their common ending by default.")
]
SliceAxis = Annotated[int, typer.Option(help="Slicing axis of volumes: 0 sagittal, 1 coronal, 2 axial.")]
IntensityWindow = Annotated[
    tuple[float, float] | None,
    typer.Option(
        metavar="LOW HIGH", help="Intensities of the image files that become black and white, such as -160 240."
    ),
]
GroupPattern = Annotated[str | None, typer.Option(help="Regular expression that finds the patient in a file name.")]
NeutralText = Annotated[str | None, typer.Option(help="Text that replaces all texts.")]


def dataset_spec(context: typer.Context) -> DatasetSpec:
    """Return the dataset that a command's options describe; options of other names are the command's own.

    Raises:
        ValueError: when an option is malformed, or `DatasetSpec` refuses a value.
    """
    from monai_tunevlseg.data import DatasetSpec

    options = context.params
    known = {field.name for field in fields(DatasetSpec)}
    return DatasetSpec(
        layout=options["name"],
        class_names=options["class_name"] or None,
        label_values=parse_label_values(options["label_value"], "--label-value"),
        **{name: value for name, value in options.items() if name in known},
    )


def parse_label_values(pairs: list[str] | None, option: str) -> dict[str, int] | None:
    """Read the CLASS=VALUE texts of an option; None without any.

    Raises:
        ValueError: when one is not CLASS=VALUE.
    """
    if not pairs:
        return None
    values = {}
    for pair in pairs:
        name, _, value = pair.rpartition("=")
        if not name or not value.lstrip("-").isdigit():
            raise ValueError(f"{option} {pair!r} must be CLASS=VALUE, such as 'left atrium cavity=3'.")
        values[name] = int(value)
    return values
