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
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of pictures to choose from.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 = a free one.", min=0, max=65535)] = 7860,
    max_upload: Annotated[float, typer.Option(metavar="MB", help="Largest picture that may be uploaded.", min=0)] = 20,
) -> None:
    """Start a page in the browser: type a text, see its mask in a picture.

    The page has no login. It needs the extra [app].
    """
    with exit_on_error(ImportError):
        try:
            from monai_tunevlseg.app import create_app, serve
        except ModuleNotFoundError as error:
            raise ImportError(f"{error}; install the extra: pip install 'monai_tunevlseg[app]'.") from error
        from monai_tunevlseg.app.web_app import LOOPBACK
        from monai_tunevlseg.resources import bundles_dir

        disable_progress_bars()
        page = create_app(
            bundles or [bundles_dir() / DEFAULT_BUNDLE],
            images,
            int(max_upload * 1_000_000),
            LOOPBACK if host in LOOPBACK else ["*"],
        )
        serve(page, host, port, lambda url: typer.echo(f"open {url} in a browser; Ctrl-C ends the page"))
