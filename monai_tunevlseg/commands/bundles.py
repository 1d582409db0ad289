"""``tunevlseg bundles``: the generated files in ``bundles/`` and ``configs/``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from monai_tunevlseg.commands.options import BundlesDir, ConfigsDir

__all__ = ["app"]

app = typer.Typer(help="Write or check the generated files in bundles/ and configs/.", no_args_is_help=True)


@app.command()
def write(configs_dir: ConfigsDir, bundles_dir: BundlesDir) -> None:
    """Write all bundles and experiment configs from the config fragments."""
    from monai_tunevlseg.bundles import write_bundles

    with _missing_folder_as_usage_error():
        for path in write_bundles(configs_dir, bundles_dir):
            typer.echo(path)


@app.command()
def check(configs_dir: ConfigsDir, bundles_dir: BundlesDir) -> None:
    """List bundles and experiment configs that differ from the config fragments, and exit with 1 if there are any."""
    from monai_tunevlseg.bundles import bundle_names, stale_files

    with _missing_folder_as_usage_error():
        stale = stale_files(configs_dir, bundles_dir)
    if stale:
        typer.echo("stale, run 'make bundles': " + ", ".join(str(path) for path in stale), err=True)
        raise typer.Exit(1)
    typer.echo(
        f"{len(bundle_names(configs_dir))} bundles and their experiments are current in {bundles_dir}, {configs_dir}"
    )


@contextmanager
def _missing_folder_as_usage_error() -> Iterator[None]:
    """Exit with 2, as for a wrong option, when the folder has no fragments."""
    try:
        yield
    except FileNotFoundError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
