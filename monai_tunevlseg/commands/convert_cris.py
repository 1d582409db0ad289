"""``tunevlseg convert-cris``: the published checkpoint of CRIS as a base model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.commands.error_handling import exit_on_error

__all__ = ["convert_cris"]


def convert_cris(
    clip: Annotated[Path, typer.Option(help="Path of CLIP's RN50.pt: a TorchScript archive, or its state dict.")],
    cris: Annotated[Path, typer.Option(help="Path of CRIS's cris_best.pth.")],
    tokenizer: Annotated[Path, typer.Option(help="Folder of CLIP's tokenizer in transformers' format.")],
    output_dir: Annotated[
        Path, typer.Argument(metavar="OUT", help="Output folder, the value of the option pretrained.")
    ],
) -> None:
    """Check the published checkpoint of CRIS, and write it as a base model folder for the option pretrained."""
    from monai_tunevlseg.networks.cris import conversion

    with exit_on_error():
        typer.echo(conversion.convert_cris(clip, cris, tokenizer, output_dir))
