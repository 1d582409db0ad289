"""``tunevlseg label-app``: the folder that MONAI Label's server takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.commands.error_handling import exit_on_error

__all__ = ["label_app"]


def label_app(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Folder of the app; in the user's cache by default.")
    ] = None,
) -> None:
    """Print the folder of the MONAI Label app, for: monailabel start_server --app $(tunevlseg label-app) ..."""
    from monai_tunevlseg.monai_label import write_app_folder

    with exit_on_error():
        typer.echo(write_app_folder(folder))
