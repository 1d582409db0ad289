"""The routes of the tab **Try**: pictures, and the masks of texts in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from monai_tunevlseg.app.picture_files import (
    PictureFolder,
    check_size,
    png_of_mask,
    png_of_picture,
    received_picture,
)
from monai_tunevlseg.app.pixel_messages import pack_maps, unpack_label_map
from monai_tunevlseg.app.request_guards import read_body
from monai_tunevlseg.app.text_masks import TriedBundle, check_texts, segment_texts
from monai_tunevlseg.json_files import parse_json

__all__ = ["TryRoutes"]


class TryRoutes:
    """Segments pictures of a folder, and pictures in the body of a request, which are not kept.

    Args:
        bundles: the bundles by name.
        pictures: the folder.
        max_upload: largest picture or mask in the body of a request, in bytes.
    """

    def __init__(self, bundles: Mapping[str, TriedBundle], pictures: PictureFolder, max_upload: int) -> None:
        self.bundles = bundles
        self.pictures = pictures
        self.max_upload = max_upload

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/try/bundles", self.list_bundles),
            Route("/try/pictures", self.list_pictures),
            Route("/try/picture", self.show, methods=["POST"]),
            Route("/try/masks", self.segment, methods=["POST"]),
            Route("/try/mask.png", self.encode, methods=["POST"]),
        ]

    def list_bundles(self, request: Request) -> JSONResponse:
        """Return the bundles, and the largest picture that may be sent."""
        listed = [
            {
                "name": name,
                "description": bundle.tuned.description,
                "texts": bundle.tuned.class_names,
                "versions": bundle.versions(),
            }
            for name, bundle in self.bundles.items()
        ]
        return JSONResponse({"bundles": listed, "max_upload": self.max_upload})

    def list_pictures(self, request: Request) -> JSONResponse:
        """Return the names of the folder's pictures."""
        return JSONResponse({"pictures": self.pictures.names()})

    async def show(self, request: Request) -> Response:
        """Return a picture as PNG: that of the query's ``picture``, or the body with the query's ``name``."""
        body = await self._upload(request)

        def encode() -> bytes:
            with self._picture(request, body) as path:
                return png_of_picture(path)

        return Response(await run_in_threadpool(encode), media_type="image/png")

    async def segment(self, request: Request) -> Response:
        """Return the masks of texts in a picture, which is chosen as by `show`.

        The query has ``bundle``, ``version`` (``tuned`` or ``zero-shot``) and ``texts`` (a JSON list). The answer is a
        message of `pack_maps`, with the maps of `TextMasks`.

        Raises:
            ValueError: when the query is not as described.
        """
        body = await self._upload(request)
        name = request.query_params.get("bundle", "")
        if name not in self.bundles:
            raise ValueError(f"no bundle {name!r:.100}; choose one of {', '.join(self.bundles)}.")
        model = self.bundles[name].version(request.query_params.get("version", ""))
        texts = check_texts(parse_json(request.query_params.get("texts", "").encode(), "texts"))

        def segment() -> bytes:
            with self._picture(request, body) as path:
                check_size(path)
                found = segment_texts(model, path, texts)
            columns = (texts, found.presence, found.confidence, found.confidence_at)
            names = ("text", "presence", "confidence", "confidence_at")
            rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
            return pack_maps({"texts": rows}, found.maps)

        return Response(await run_in_threadpool(segment), media_type="application/octet-stream")

    async def encode(self, request: Request) -> Response:
        """Return the mask in a message of the page as a gray PNG."""
        _, mask = unpack_label_map(await read_body(request, self.max_upload, "the mask"))
        return Response(await run_in_threadpool(png_of_mask, mask), media_type="image/png")

    async def _upload(self, request: Request) -> bytes:
        return await read_body(request, self.max_upload, "the picture")

    @contextmanager
    def _picture(self, request: Request, body: bytes) -> Iterator[Path]:
        """Yield the file of the query's ``picture``, or of the body; an error about the file has the visitor's name."""
        chosen, dropped = request.query_params.get("picture"), request.query_params.get("name", "")
        with ExitStack() as stack:
            if chosen is None:
                path = stack.enter_context(received_picture(body, dropped))
            else:
                path = self.pictures.path(chosen)
            try:
                yield path
            except ValueError as error:
                raise ValueError(str(error).replace(str(path), chosen or dropped)) from error
