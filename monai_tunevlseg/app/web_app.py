"""The page and its routes as one web application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from monai_tunevlseg.app.annotate_routes import AnnotateRoutes
from monai_tunevlseg.app.picture_files import PictureFolder
from monai_tunevlseg.app.request_guards import ERROR_RESPONSES, OwnPageOnly
from monai_tunevlseg.app.text_masks import open_tried_bundles
from monai_tunevlseg.app.try_routes import TryRoutes

__all__ = ["LOOPBACK", "create_app"]

STATIC = Path(__file__).parent / "static"
LOOPBACK = ("127.0.0.1", "localhost")


def create_app(
    bundles: Iterable[str | Path],
    images: str | Path | None = None,
    max_upload: int = 20_000_000,
    hosts: Sequence[str] = LOOPBACK,
    annotate: AnnotateRoutes | None = None,
) -> Starlette:
    """Create the web application.

    Args:
        bundles: folders of bundles.
        images: folder of pictures that visitors may choose; None = they drop their own.
        max_upload: largest picture that a visitor may drop, in bytes.
        hosts: names under which the server answers, so that no other name can lead a browser here; ``*`` = any.
        annotate: the tab **Annotate**; None = without a server.

    Raises:
        FileNotFoundError: when a folder is not a bundle.
        NotADirectoryError: when ``images`` is not a folder.
        ValueError: when two bundles have one name, or one cannot segment.
    """
    tried = TryRoutes(open_tried_bundles(bundles), PictureFolder(images), max_upload)
    annotated = annotate or AnnotateRoutes(None, None)
    page = Mount("/", StaticFiles(directory=STATIC, html=True))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(annotated.close)

    return Starlette(
        routes=[*tried.routes(), *annotated.routes(), page],
        lifespan=lifespan,
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
            Middleware(OwnPageOnly),
            Middleware(GZipMiddleware, compresslevel=1),
        ],
        exception_handlers=dict(ERROR_RESPONSES),
    )
