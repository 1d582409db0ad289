"""``tunevlseg share``: an experiment, trained or not, as a bundle in the form of the Model Zoo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_tunevlseg.commands.error_handling import disable_progress_bars, exit_on_error
from monai_tunevlseg.commands.options import ConfigsDir, ExperimentName, Overrides, parse_overrides

if TYPE_CHECKING:
    from monai_tunevlseg.sharing import CheckResult

__all__ = ["share"]


def share(
    experiment: ExperimentName,
    output: Annotated[Path, typer.Option(help="Parent folder of the bundle.")],
    configs_dir: ConfigsDir,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run: bundle_root of a training, or best of a search; initial weights by default."
        ),
    ] = None,
    zipped: Annotated[
        bool,
        typer.Option("--zip", help="Additional NAME_vX.Y.Z.zip of the bundle, and test_NAME.py for the Model Zoo."),
    ] = False,
    large_files_url: Annotated[
        str | None, typer.Option(metavar="URL", help="URL of the folder that will hold files larger than 25 MB.")
    ] = None,
    metrics: Annotated[Path | None, typer.Option(help="Path of metrics.json, if outside the run's folder.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the bundle; DATASET_CLASS_MODEL_METHOD by default.")] = None,
    version: Annotated[str, typer.Option(help="Version of the bundle, X.Y.Z.")] = "0.1.0",
    changelog: Annotated[str, typer.Option(help="Changes in this version.")] = "first version",
    authors: Annotated[str, typer.Option(help="Authors of the bundle.")] = "monai_tunevlseg",
    weights_license: Annotated[str | None, typer.Option(help="License of models/model.pt.")] = None,
    base_model_id: Annotated[
        str | None, typer.Option(help="Public id of the base model, if it was loaded from a folder.")
    ] = None,
    pretrained: Annotated[Path | None, typer.Option(help="Folder of the base model on this machine.")] = None,
    override: Overrides = None,
    schema: Annotated[
        Path | None, typer.Option(help="Path of MONAI's metadata schema, for machines without network access.")
    ] = None,
) -> None:
    """Write an experiment and its run as a self-contained bundle, verify it, and pack it.

    If a check fails, the bundle stays on disk, and the exit code is 1.
    """
    from monai_tunevlseg.sharing import (
        Release,
        Sources,
        build_bundle_spec,
        check_files_url,
        pack_bundle,
        verify_bundle,
        write_shared_bundle,
        write_unit_test,
        zip_path,
    )

    disable_progress_bars()
    with exit_on_error(RuntimeError):
        sources = Sources(metrics, pretrained, base_model_id, parse_overrides(override), configs_dir)
        if large_files_url is not None:
            check_files_url(large_files_url)
        release = Release(name, version, changelog, authors, weights_license)
        spec = build_bundle_spec(experiment, run_dir, sources)
        if zipped and (target := zip_path(output / (name or spec.name), version)).exists():
            raise FileExistsError(f"{target} exists; remove it, or pass another --version.")
        folder = write_shared_bundle(spec, output, configs_dir, release)
        typer.echo(
            f"written: {folder}" + ("" if run_dir else " (initial weights; pass --run-dir to share trained ones)")
        )
        local = None if spec.base is None else spec.base.folder
        if spec.base is not None and local is not None:
            typer.echo(
                f"the bundle refers to its base model as {spec.base.id}, fingerprint {spec.base.fingerprint}, loaded "
                f"from {local}; --base-model-id changes the reference"
            )
        failed = [check for check in verify_bundle(folder, local, schema) if _report(check)]
        if zipped and not failed:
            typer.echo(f"packed: {pack_bundle(folder, large_files_url)}")
            typer.echo(f"written: {write_unit_test(folder)}, for ci/unit_tests of the Model Zoo")
            _report_large_files(folder, large_files_url)
    if failed:
        raise typer.Exit(1)


def _report_large_files(folder: Path, url: str | None) -> None:
    """Print which files are not packed, and what remains to be done with them."""
    from monai_tunevlseg.sharing import large_files

    for path in large_files(folder):
        todo = f"upload it below {url}" if url else "upload it, and set its url in large_files.yml"
        typer.echo(f"not packed: {path} ({path.stat().st_size / 1e6:.0f} MB, the limit is 25); {todo}")


def _report(check: CheckResult) -> bool:
    """Print the result of a check, and return whether it failed."""
    if check.problem is not None:
        typer.echo(f"error: {check.name}: {check.problem}", err=True)
    elif check.skipped is not None:
        typer.echo(f"not checked: {check.name}: {check.skipped}", err=True)
    else:
        typer.echo(f"checked: {check.name}")
    return check.problem is not None
