"""``tunevlseg push``: a shared bundle to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.commands.error_handling import exit_on_error

__all__ = ["push"]


def push(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a shared bundle.")],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="Id of the repository on the hub, OWNER/NAME.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List of the files instead of an upload.")] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Public visibility of a new repository; private by default.")
    ] = False,
) -> None:
    """Push a shared bundle to the Hugging Face hub, with a model card that the hub reads.

    The token is that of `hf auth login` or of HF_TOKEN.
    """
    from huggingface_hub.errors import HTTPError  # of the HTTP library that it uses

    from monai_tunevlseg.sharing import prepare_upload, push_bundle

    with exit_on_error(RuntimeError, HTTPError):
        upload = prepare_upload(bundle, repo)
        if dry_run:
            for name, size in upload.sizes.items():
                typer.echo(f"{size:>12,} bytes  {name}")
            typer.echo(f"README.md begins with\n{upload.card[: upload.card.index('---', 3) + 3]}")
            typer.echo(f"not pushed: {repo}, version {upload.version}, {sum(upload.sizes.values()):,} bytes")
        else:
            typer.echo(f"pushed: {push_bundle(upload, private=not public)}, version {upload.version}")
