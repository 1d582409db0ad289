"""``tunevlseg label-app``: the folder of the app for MONAI Label's server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.commands.error_handling import exit_on_error

__all__ = ["label_app"]


def label_app(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Folder of the app; the default is in the user's cache.")
    ] = None,
) -> None:
    """Print the folder of the MONAI Label app: monailabel start_server --app $(tunevlseg label-app) ..."""
    from monai_tunevlseg.monai_label import write_app_folder

    with exit_on_error():
        typer.echo(write_app_folder(folder))
