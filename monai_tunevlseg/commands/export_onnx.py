"""``tunevlseg export-onnx``: the network of a bundle as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.commands.error_handling import disable_progress_bars, exit_on_error

__all__ = ["export_onnx"]


def export_onnx(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle that has models/model.pt.")],
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Path of the ONNX file to write.")],
    pretrained: Annotated[Path | None, typer.Option(help="Folder of the base model on this machine.")] = None,
    calibration: Annotated[
        str, typer.Option(help="Calibration in the graph: auto, that of the checkpoint if it has one, or off.")
    ] = "auto",
) -> None:
    """Export the network of a bundle to ONNX, with its texts folded in, and compare the logits of both.

    For TorchScript use MONAI's own command: python -m monai.bundle ckpt_export.
    """
    from monai_tunevlseg import sharing

    disable_progress_bars()
    with exit_on_error(ImportError, RuntimeError):
        written = sharing.export_onnx(bundle, output, pretrained, calibration)
        size = written.path.stat().st_size / 1e6
        typer.echo(f"{written.path}: {size:.1f} MB; onnxruntime's logits differ by {written.difference:.1g} at most")
