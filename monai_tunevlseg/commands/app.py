"""``tunevlseg app``: a page in the browser for pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.commands.error_handling import disable_progress_bars, exit_on_error

__all__ = ["app"]

DEFAULT_BUNDLE = "clipseg_zero_shot"


def app(
    bundles: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[BUNDLE]...", help=f"Folders of bundles; the default is {DEFAULT_BUNDLE}."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of pictures to try texts on, and to annotate.")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Address of a MONAI Label server; the default is one for the folder of pictures."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 = a free one.", min=0, max=65535)] = 7860,
    max_upload: Annotated[
        float, typer.Option(metavar="MB", help="Largest picture or label that may be uploaded.", min=0)
    ] = 20,
) -> None:
    """Start a page in the browser: type a text, see its mask in a picture, annotate, and tune on the labels.

    The page has no login. It needs the extra [app].
    """
    from monai_tunevlseg.monai_label.torchvision_builds import accept_unequal_builds

    accept_unequal_builds()  # MONAI Label's environment has a torchvision that may not fit its torch
    with exit_on_error(ImportError):
        try:
            from monai_tunevlseg.app import create_app, serve
        except ModuleNotFoundError as error:
            raise ImportError(f"{error}; install the extra: pip install 'monai_tunevlseg[app]'.") from error
        from monai_tunevlseg.app.annotate_routes import annotation_with
        from monai_tunevlseg.app.web_app import LOOPBACK
        from monai_tunevlseg.resources import bundles_dir

        disable_progress_bars()
        chosen = bundles or [bundles_dir() / DEFAULT_BUNDLE]
        max_bytes = int(max_upload * 1_000_000)
        page = create_app(
            chosen,
            images,
            max_bytes,
            LOOPBACK if host in LOOPBACK else ["*"],
            annotation_with(server, chosen, images, max_bytes),
        )
        serve(page, host, port, lambda url: typer.echo(f"open {url} in a browser; Ctrl-C ends the page"))
