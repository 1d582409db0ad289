"""``tunevlseg export``: a bundle's network in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.commands.endings import ending_in_a_sentence, hide_loading_bars

__all__ = ["export"]


def export(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder that 'tunevlseg bundle' has written.")],
    onnx: Annotated[Path, typer.Option(help="Path of the ONNX file to write.")],
    pretrained: Annotated[Path | None, typer.Option(help="Folder of the base model on this machine.")] = None,
) -> None:
    """Write a bundle's network as ONNX, texts folded in, and compare it with the network.

    TorchScript is MONAI's own command: python -m monai.bundle ckpt_export --use_trace True.
    """
    from monai_tunevlseg.sharing import export_onnx

    hide_loading_bars()
    with ending_in_a_sentence(ImportError, RuntimeError):
        written = export_onnx(bundle, onnx, pretrained)
        size = written.path.stat().st_size / 1e6
        typer.echo(f"{written.path}: {size:.1f} MB; onnxruntime's logits differ by {written.difference:.1g} at most")
