"""``tunevlseg bundle``: a pair, trained or not, as a bundle to share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_tunevlseg.commands.endings import ending_in_a_sentence, hide_loading_bars, named_values
from monai_tunevlseg.commands.folders import ConfigsDir

if TYPE_CHECKING:
    from monai_tunevlseg.sharing import Check

__all__ = ["bundle"]


def bundle(
    pair: Annotated[str, typer.Argument(metavar="PAIR", help="DATASET/MODEL_LEARNER, such as kvasir/clipseg_vpt.")],
    output: Annotated[Path, typer.Option(help="Folder that gets the bundle's folder.")],
    configs_dir: ConfigsDir,
    run: Annotated[
        Path | None, typer.Option(help="bundle_root of a training run, or a search's folder best; without: untrained.")
    ] = None,
    zipped: Annotated[bool, typer.Option("--zip", help="Pack it as NAME_vX.Y.Z.zip, too.")] = False,
    metrics: Annotated[Path | None, typer.Option(help="metrics.json, when it is not in the run's folder.")] = None,
    name: Annotated[str | None, typer.Option(help="The default is DATASET_CLASS_MODEL_LEARNER.")] = None,
    version: Annotated[str, typer.Option(help="X.Y.Z.")] = "0.1.0",
    change: Annotated[str, typer.Option(help="What is new in this version.")] = "first version",
    authors: Annotated[str, typer.Option(help="Who made it.")] = "monai_tunevlseg",
    weights_license: Annotated[str | None, typer.Option(help="Of models/model.pt.")] = None,
    base: Annotated[str | None, typer.Option(help="Hub id that others know the base model by.")] = None,
    pretrained: Annotated[Path | None, typer.Option(help="Folder where this machine has the base model.")] = None,
    fixed: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A hyperparameter; may be repeated.")
    ] = None,
    schema: Annotated[Path | None, typer.Option(help="MONAI's schema of metadata, for machines without network.")] = (
        None
    ),
) -> None:
    """Write a self-contained bundle of a pair and its run, check it, and pack it.

    What fails a check stays on disk, and the exit code is 1.
    """
    from monai_tunevlseg.sharing import (
        Release,
        Sources,
        check_bundle,
        describe,
        pack_bundle,
        write_subject,
        zip_path,
    )

    hide_loading_bars()
    with ending_in_a_sentence(RuntimeError):
        sources = Sources(metrics, pretrained, base, named_values(fixed or []), configs_dir)
        release = Release(name, version, change, authors, weights_license)
        subject = describe(pair, run, sources)
        if zipped and (target := zip_path(output / (name or subject.name), version)).exists():
            raise FileExistsError(f"{target} exists already; remove it, or pass another --version.")
        folder = write_subject(subject, output, configs_dir, release)
        typer.echo(f"written: {folder}" + ("" if run else " (untrained: pass --run to share what was learned)"))
        if subject.base.folder is not None:
            typer.echo(
                f"the base model is called {subject.base.id}, fingerprint {subject.base.fingerprint}, and was read "
                f"from {subject.base.folder}; pass --base when others know it by another name"
            )
        failed = [check for check in check_bundle(folder, subject.base.folder, schema) if _say(check)]
        if zipped and not failed:
            typer.echo(f"packed: {pack_bundle(folder)}")
    if failed:
        raise typer.Exit(1)


def _say(check: Check) -> bool:
    """Print a finding; return whether it is a failure."""
    if check.problem is not None:
        typer.echo(f"error: {check.name}: {check.problem}", err=True)
    elif check.skipped is not None:
        typer.echo(f"not checked: {check.name}: {check.skipped}", err=True)
    else:
        typer.echo(f"checked: {check.name}")
    return check.problem is not None
