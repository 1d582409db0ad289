"""The options for the folders of fragments and bundles, which many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.resources import bundles_dir, configs_dir

__all__ = ["BundlesDir", "ConfigsDir"]

ConfigsDir = Annotated[
    Path,
    typer.Option(default_factory=configs_dir, show_default="the package's", help="Folder of the config fragments."),
]
BundlesDir = Annotated[
    Path, typer.Option(default_factory=bundles_dir, show_default="the package's", help="Folder of the bundles.")
]
