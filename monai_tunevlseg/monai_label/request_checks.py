"""What MONAI Label's HTTP server lets in, and how it answers what it does not.

Its own checks are few: fields that hold JSON may hold anything, and what a task is asked for reaches a process's
environment and command line. Requests are checked here before its endpoints see them.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from monailabel.config import settings
from monailabel.endpoints import (
    activelearning,
    batch_infer,
    datastore,
    infer,
    proxy,
    scoring,
    session,
    train,
    wsi_infer,
)
from monailabel.endpoints.user.auth import RBAC
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelException
from starlette.datastructures import UploadFile
from starlette.types import ASGIApp, Receive, Scope, Send

from monai_tunevlseg.json_files import parse_json
from monai_tunevlseg.monai_label.active_learning import SCORES
from monai_tunevlseg.monai_label.path_checks import check_image_id, check_path_component
from monai_tunevlseg.monai_label.server_processes import stop_task
from monai_tunevlseg.monai_label.training_options import parse_training_options

__all__ = ["check_proxied", "add_request_checks", "get_or_404", "http_errors"]

logger = logging.getLogger(__name__)

OF_THE_APP = ("strategy", SCORES)
"""What the server itself notes of an image, in a form of its own."""
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
DEEPEST = 20  # levels of a JSON object: what a client sends is flat, and the list of the studies keeps it
LARGEST_TASK = 65_536  # bytes: a task's request becomes an argument of a command line
GPUS = re.compile(r"all|[0-9]+(,[0-9]+)*")


def add_request_checks(app: FastAPI, models: Mapping[str, Any], uploads: Path) -> None:
    """Check requests before MONAI Label's endpoints see them, answer bad ones with 4xx and a sentence, and clean up.

    Args:
        app: MONAI Label's, with its routes.
        models: what can be trained, by name.
        uploads: the folder of temporary files.
    """

    async def of_training(request: Request) -> None:
        if request.method == "POST":
            with http_errors():
                asked = await _task(request)
                name = request.path_params.get("model")
                if name is None and asked:
                    raise ValueError("options belong to one model; send them to /train/MODEL.")
                get_or_404(models, asked.get("model", name) if name else next(iter(models)), "model")
                parse_training_options(asked)

    checked = APIRouter(dependencies=[Depends(_check_fields)])
    checked.add_api_route("/train/", _stop_training, methods=["DELETE"])
    checked.include_router(train.router, dependencies=[Depends(of_training)])
    for module in (batch_infer, scoring):
        checked.include_router(module.router, dependencies=[Depends(_check_task)])
    checked.include_router(datastore.router, dependencies=[Depends(_check_names)])
    checked.include_router(session.router, dependencies=[Depends(_refuse_archives)])
    checked.include_router(proxy.router, dependencies=[Depends(_check_proxy)])
    for module in (wsi_infer, infer, activelearning):
        checked.include_router(module.router)
    app.include_router(checked)
    app.router.routes.insert(0, app.router.routes.pop())  # the first route that fits answers
    _answer_bad_requests(app, uploads)
    app.middleware_stack = None  # built before; the next request builds it again
    app.add_middleware(_EmptiedWhenIdle, uploads=uploads)


def get_or_404(items: Mapping[str, Any], name: Any, what: str) -> Any:
    """Return the item of a name.

    Raises:
        HTTPException: when there is none; lists the known names.
    """
    if not isinstance(name, str) or name not in items:
        raise HTTPException(404, f"there is no {what} {name!r:.100}; there are {', '.join(items)}.")
    return items[name]


@contextmanager
def http_errors() -> Iterator[None]:
    """Turn the errors of a wrong request into answers with 404 and 400."""
    try:
        yield
    except FileNotFoundError as error:
        raise HTTPException(404, str(error)) from error
    except ValueError as error:
        raise HTTPException(400, str(error)) from error


def _stop_training(user: Any = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))) -> dict[str, Any] | None:  # noqa: B008
    return stop_task("train")


async def _check_fields(request: Request) -> None:
    """Refuse files whose names are not plain, and fields of JSON that hold no object."""
    with http_errors():
        for name, value in await _fields(request):
            if isinstance(value, UploadFile):
                check_path_component(_name(value), "the name of the file")
            elif name in ("params", "info", "wsi") and value:
                _check_object(name, value)


def _name(upload: UploadFile) -> str:
    """Return the client's file name; MONAI Label's own client sends the whole path."""
    return re.split(r"[/\\]", upload.filename or "upload")[-1]


async def _fields(request: Request) -> list[tuple[str, UploadFile | str]]:
    is_form = request.headers.get("content-type", "").startswith(FORMS)
    return (await request.form()).multi_items() if is_form else []


def _check_object(name: str, value: str) -> None:
    content = parse_json(value.encode("utf-8", "replace"), name)
    if not isinstance(content, dict):
        raise ValueError(f"{name} is {content!r:.100}; send a JSON object {{...}}.")
    if _depth(content) > DEEPEST:
        raise ValueError(f"{name} is nested more than {DEEPEST} levels deep; send it flat.")


def _depth(content: Any) -> int:
    depth, level = 0, [content]
    while level and depth <= DEEPEST:
        inner = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, (dict, list))]
        depth, level = depth + 1, [child for part in inner for child in part]
    return depth


async def _check_task(request: Request) -> None:
    if request.method == "POST":
        with http_errors():
            asked = await _task(request)
            if "bundle_path" in asked:  # whose code the task's process would import
                raise ValueError("bundle_path cannot be given; the server has its bundles.")


async def _task(request: Request) -> dict[str, Any]:
    """Return the JSON object that a task is asked for by, checked for what MONAI Label itself makes of it."""
    body = await request.body()
    if len(body) > LARGEST_TASK:
        raise ValueError(f"the request has {len(body)} bytes; a task takes at most {LARGEST_TASK}.")
    asked = parse_json(body, "the request") if body.strip() else {}
    if not isinstance(asked, dict):
        return {}  # FastAPI refuses it
    gpus = asked.get("gpus", "all")
    if not isinstance(gpus, str) or not GPUS.fullmatch(gpus):
        raise ValueError(f"gpus is {gpus!r:.100}; send all, or numbers with commas between them.")
    return asked


async def _check_names(request: Request) -> None:
    """Refuse names that are paths out of the studies' folder, and notes that the server keeps itself."""
    with http_errors():
        for name in ("image", "label", "id"):
            if name in request.query_params and request.query_params[name]:
                check_image_id(request.query_params[name], name)
        if request.query_params.get("tag"):
            check_path_component(request.query_params["tag"], "tag")
        for field, value in await _fields(request):
            notes = json.loads(value) if field in ("params", "info") and value else {}
            if reserved := [key for key in OF_THE_APP if key in notes]:
                raise ValueError(f"{field} has the key {reserved[0]!r}, which the server keeps; choose another.")


async def _refuse_archives(request: Request) -> None:
    if request.query_params.get("uncompress", "false").lower() not in ("", "false", "0", "off", "no", "f", "n"):
        raise HTTPException(400, "uncompress cannot be given: a session of this app holds one image, not an archive.")


async def _check_proxy(request: Request) -> None:
    if not settings.MONAI_LABEL_STUDIES.startswith(("http://", "https://")):
        raise HTTPException(404, "the studies are a folder; OHIF shows those of a DICOMweb server.")
    check_proxied(request.path_params.get("path", ""))


def check_proxied(path: str) -> None:
    """Refuse a path that leads out of the DICOMweb server's part of an address, where its administration may be.

    Raises:
        HTTPException: when a part of it means the folder above, also as ``requests`` reads it.
    """
    while (plain := unquote(path)) != path:
        path = plain
    if {".", ".."} & set(re.split(r"[/\\?#]", path)):
        raise HTTPException(400, f"the path is {path!r:.100}; it must not lead out of the DICOMweb server.")


def _answer_bad_requests(app: FastAPI, uploads: Path) -> None:
    """Answer with 4xx and a sentence where MONAI Label would answer with 500 and none."""

    async def refuse(request: Request, error: Exception) -> JSONResponse:
        status, sentence = _status(error)
        sentence = await _in_the_clients_words(sentence, request, uploads)
        return JSONResponse({"detail": sentence}, status, getattr(error, "headers", None))

    for kind in (MONAILabelException, HTTPException, ValueError, RecursionError):
        app.add_exception_handler(kind, refuse)


def _status(error: Exception) -> tuple[int, Any]:
    if isinstance(error, (ImageNotFoundException, LabelNotFoundException)):
        return 404, error.msg
    if isinstance(error, MONAILabelException):
        return 400, error.msg
    if isinstance(error, HTTPException):
        wrong = error.status_code == 500 and str(error.detail).startswith(("Neither Image", "DICOM SEG format"))
        return 400 if wrong else error.status_code, error.detail
    logger.info("A request is refused: %s", error, exc_info=error)
    return 400, "the request is nested too deeply." if isinstance(error, RecursionError) else str(error)


async def _in_the_clients_words(sentence: Any, request: Request, uploads: Path) -> Any:
    """Name an upload by the client's file name, which the client knows, and not by its temporary path."""
    if not isinstance(sentence, str) or str(uploads) not in sentence:
        return sentence
    names = [_name(value) for _, value in await _fields(request) if isinstance(value, UploadFile)]
    name = names[0] if len(names) == 1 else "the upload"
    return re.sub(rf"{re.escape(str(uploads))}/tmp\w+[.\w]*", lambda _: name, sentence)


class _EmptiedWhenIdle:
    """Removes temporary files when no request is being answered: MONAI Label keeps those of requests that fail.

    Args:
        app: answers requests.
        uploads: the folder of temporary files.
    """

    def __init__(self, app: ASGIApp, uploads: Path) -> None:
        self.app = app
        self.uploads = uploads
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.running += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.running -= 1
            if not self.running:
                for path in self.uploads.iterdir():
                    if path.is_file():
                        path.unlink(missing_ok=True)
