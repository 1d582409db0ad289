"""``tunevlseg init``: copy bundles and configs to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.commands.error_handling import exit_on_error
from monai_tunevlseg.commands.options import ConfigsDir

__all__ = ["init"]


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for bundles/ and configs/.")],
    configs_dir: ConfigsDir,
    bundle: Annotated[
        list[str] | None, typer.Option(help="Name of a bundle, such as clipseg_vpt; may be repeated; all by default.")
    ] = None,
) -> None:
    """Write bundles, and their configs for all datasets, to a folder to run them in."""
    from monai_tunevlseg.bundles import init_folder

    with exit_on_error():
        for path in init_folder(folder, configs_dir, bundle or []):
            typer.echo(path)
