"""``tunevlseg inspect``: what code a bundle of unknown origin would run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.commands.error_handling import exit_on_error
from monai_tunevlseg.commands.options import BundlesDir

__all__ = ["inspect"]


def inspect(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE_OR_ZIP", help="Folder or zip file of a bundle.")],
    bundles_dir: BundlesDir,
) -> None:
    """List code in a bundle that the bundles of this package do not have, and verify digests.

    Nothing of the bundle is run, unpacked or loaded. The exit code is 1 if anything unknown is found.
    """
    from monai_tunevlseg.inspection import inspect_bundle
    from monai_tunevlseg.inspection.findings import printable

    with exit_on_error():
        result = inspect_bundle(bundle, bundles_dir)
    for finding in result.findings:
        typer.echo(f"unknown: {finding}")
    for sentence in result.digests:
        typer.echo(f"digest: {printable(sentence)}")
    if result.sha256:
        typer.echo(f"SHA-256 of {bundle.name}: {result.sha256}")
    typer.echo(
        f"{result.files} files: {result.known} pieces of code are those of this package's bundles, and "
        f"{len(result.findings)} findings are unknown"
    )
    if result.findings:
        raise typer.Exit(1)
