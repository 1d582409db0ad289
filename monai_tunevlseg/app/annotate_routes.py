"""The routes of the tab **Annotate**: MONAI Label's server, as far as the page needs it, and drafts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from monai_tunevlseg.app.drafts import DraftFolder, drafts_of
from monai_tunevlseg.app.label_client import LabelClient
from monai_tunevlseg.app.label_process import LabelProcess
from monai_tunevlseg.app.picture_files import png_of_picture, received_picture
from monai_tunevlseg.app.pixel_messages import pack_maps, unpack_label_map
from monai_tunevlseg.app.request_guards import read_body, read_object
from monai_tunevlseg.app.text_masks import MAX_TEXT_CHARS

__all__ = ["AnnotateRoutes", "annotation_with"]

NO_SERVER = "Annotating needs a MONAI Label server; start the page with --images DIR, or with --server URL."
OCTETS = "application/octet-stream"


class AnnotateRoutes:
    """Passes the page's requests on to a server, and keeps drafts.

    Args:
        server: address of the server, or the process that starts one when the tab is first opened; None = the tab says
            how to get one.
        drafts: the drafts; None without a server.
        max_upload: largest label map that is received, in bytes.
    """

    def __init__(
        self, server: str | LabelProcess | None, drafts: DraftFolder | None, max_upload: int = 20_000_000
    ) -> None:
        self.process = server if isinstance(server, LabelProcess) else None
        self.client = LabelClient(server) if isinstance(server, str) else None
        self.max_upload = max_upload
        self._drafts = drafts
        self._turn = asyncio.Lock()

    @property
    def drafts(self) -> DraftFolder:
        """The drafts.

        Raises:
            ValueError: without a server.
        """
        if self._drafts is None:
            raise ValueError(NO_SERVER)
        return self._drafts

    def close(self) -> None:
        """Stop the server, if the page has started it."""
        if self.process is not None:
            self.process.stop()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/annotate/server", self.connect, methods=["POST"]),
            Route("/annotate/images", self.list_images),
            Route("/annotate/next", self.choose_next, methods=["POST"]),
            Route("/annotate/picture", self.show),
            Route("/annotate/label", self.open_label),
            Route("/annotate/masks", self.segment, methods=["POST"]),
            Route("/annotate/draft", self.save_draft, methods=["POST"]),
            Route("/annotate/submit", self.submit, methods=["POST"]),
            Route("/annotate/training", self.show_training),
            Route("/annotate/training", self.start_training, methods=["POST"]),
            Route("/annotate/training", self.stop_training, methods=["DELETE"]),
        ]

    def connect(self, request: Request) -> JSONResponse:
        """Start the server if necessary, and return its models; ``ready`` is false until it responds."""
        if self.process is not None:
            url = self.process.start()
            if self.client is None or self.client.url != url:
                self.client = LabelClient(url)
            if not self.process.responds():
                return JSONResponse({"ready": False})
        return JSONResponse({"ready": True, "models": self._server().models()})

    def list_images(self, request: Request) -> JSONResponse:
        """Return the images, whether they are labeled, and those with a draft, the latest first."""
        return JSONResponse({"images": self._server().images(), "drafts": self.drafts.images()})

    async def choose_next(self, request: Request) -> JSONResponse:
        """Return the id of the next image by active learning; null if all are labeled."""
        asked = await read_object(request)
        strategy, model = (_text(asked, name) for name in ("strategy", "model"))
        return JSONResponse({"id": await run_in_threadpool(self._server().next_image, strategy, model)})

    def show(self, request: Request) -> Response:
        """Return an image as PNG."""
        content, name = self._server().picture(_image(request))
        with received_picture(content, name) as path:
            return Response(png_of_picture(path), media_type="image/png")

    def open_label(self, request: Request) -> Response:
        """Return the draft of an image, or else its submitted label; no content if it has neither."""
        image = _image(request)
        draft = self.drafts.read(image)
        if draft is not None:
            return Response(pack_maps({**draft[1], "draft": True}, draft[0]), media_type=OCTETS)
        stored = self._server().label(image)
        if stored is None:
            return Response(status_code=204)
        return Response(pack_maps({"names": stored.names, "draft": False}, stored.labels), media_type=OCTETS)

    async def segment(self, request: Request) -> Response:
        """Return the label map of texts, corrected by clicks and a box, and the server's parameters."""
        asked = await read_object(request)
        model, image = _text(asked, "model"), _text(asked, "image")
        names = ("text", "foreground", "background", "roi")
        params: dict[str, Any] = {name: asked[name] for name in names if name in asked}
        labels, answer = await run_in_threadpool(self._server().infer, model, image, params)
        return Response(pack_maps(answer, labels), media_type=OCTETS)

    async def save_draft(self, request: Request) -> JSONResponse:
        """Save the label map of an image as a draft."""
        await self._with_labels(request, lambda image, labels, names: self.drafts.save(image, labels, {"names": names}))
        return JSONResponse({})

    async def submit(self, request: Request) -> JSONResponse:
        """Submit the label map of an image, and remove its draft."""

        def submit(image: str, labels: np.ndarray, names: dict[str, int]) -> None:
            self._server().submit(image, labels, names)
            self.drafts.remove(image)

        await self._with_labels(request, submit)
        return JSONResponse({})

    def show_training(self, request: Request) -> JSONResponse:
        """Return the state of the last training; null if none was started."""
        return JSONResponse(self._server().training())

    async def start_training(self, request: Request) -> JSONResponse:
        """Start the training of a model."""
        asked = await read_object(request)
        options = {name: value for name, value in asked.items() if name != "model"}
        await run_in_threadpool(self._server().train, _text(asked, "model"), options)
        return JSONResponse({})

    def stop_training(self, request: Request) -> JSONResponse:
        """Stop the training."""
        self._server().stop_training()
        return JSONResponse({})

    async def _with_labels(self, request: Request, action: Callable[[str, np.ndarray, dict[str, int]], None]) -> None:
        """Call an action with the image, the label map and the value of each class of a message.

        Messages have their turns in the order in which they arrive, because the last one of a page that is closed may
        follow one of which the browser has dropped the answer.
        """
        image = _image(request)
        header, labels = unpack_label_map(await read_body(request, self.max_upload, "the label"))
        names = _class_values(header.get("names"))
        if unknown := sorted(set(labels.tobytes()) - {0, *names.values()}):
            raise ValueError(f"the label has the value {unknown[0]}, which is not that of a class in {names!r:.200}.")
        async with self._turn:
            await run_in_threadpool(action, image, labels, names)

    def _server(self) -> LabelClient:
        if self.client is None:
            raise ValueError(NO_SERVER)
        return self.client


def annotation_with(
    server: str | None, bundles: Sequence[Path], images: Path | None, max_upload: int
) -> AnnotateRoutes | None:
    """Return the tab for a server, or for one that it starts for a folder of pictures; None without both.

    Args:
        server: address of a server; None = one is started when the tab is first opened.
        bundles: the models of the started server.
        images: folder of the pictures of the started server.
        max_upload: largest label map that is received, in bytes.

    Raises:
        ValueError: when the address is not one.
    """
    if server is not None:
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", server):
            raise ValueError(f"--server {server!r:.200} is not an address; pass one such as http://127.0.0.1:8000.")
        return AnnotateRoutes(server, DraftFolder(drafts_of(server.rstrip("/"))), max_upload)
    if images is None:
        return None
    folder = drafts_of(str(images.expanduser().resolve()))
    return AnnotateRoutes(LabelProcess(bundles, images, folder / "server"), DraftFolder(folder), max_upload)


def _class_values(names: object) -> dict[str, int]:
    if isinstance(names, dict) and all(
        type(value) is int and 0 < value < 256 and 0 < len(name.strip()) <= MAX_TEXT_CHARS
        for name, value in names.items()
    ):
        return names
    raise ValueError(f"names is {names!r:.200}; send the value of each class, such as {{'polyp': 1}}.")


def _image(request: Request) -> str:
    image = request.query_params.get("image", "")
    if not image:
        raise ValueError("image is empty; send the id of an image.")
    return image


def _text(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r:.100}; send a text.")
    return value
