"""Checks of HTTP requests before MONAI Label's endpoints see them.

The endpoints check little: fields of JSON may hold anything, and the request of a task becomes part of a process's
environment and command line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
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
from starlette.datastructures import UploadFile

from monai_tunevlseg.json_files import parse_json
from monai_tunevlseg.monai_label.active_learning import SCORE_KEYS
from monai_tunevlseg.monai_label.error_responses import get_or_404, http_errors
from monai_tunevlseg.monai_label.path_checks import check_image_id, check_path_component
from monai_tunevlseg.monai_label.server_processes import stop_task
from monai_tunevlseg.monai_label.training_options import parse_training_options
from monai_tunevlseg.monai_label.uploads import form_fields, upload_name

__all__ = ["add_request_checks", "check_proxied_path"]

RESERVED_KEYS = ("strategy", *SCORE_KEYS.values())
"""Keys of an image's info that the server writes itself."""
MAX_DEPTH = 20  # levels of a JSON object; clients send flat objects
MAX_TASK_BYTES = 65_536  # the request of a task becomes an argument of a command line
GPUS = re.compile(r"all|[0-9]+(,[0-9]+)*")


def add_request_checks(app: FastAPI, trainers: Mapping[str, Any]) -> None:
    """Check requests before MONAI Label's endpoints see them.

    Args:
        app: MONAI Label's, with its routes.
        trainers: the training tasks by model.
    """

    async def check_training(request: Request) -> None:
        if request.method == "POST":
            with http_errors():
                content = await _task_content(request)
                name = request.path_params.get("model")
                if name is None and content:
                    raise ValueError("options belong to one model; send them to /train/MODEL.")
                if name is not None:
                    get_or_404(trainers, content.get("model", name), "model")
                parse_training_options(content)

    checked = APIRouter(dependencies=[Depends(_check_fields)])
    checked.add_api_route("/train/", _stop_training, methods=["DELETE"])
    checked.include_router(train.router, dependencies=[Depends(check_training)])
    for module in (batch_infer, scoring):
        checked.include_router(module.router, dependencies=[Depends(_check_task)])
    checked.include_router(datastore.router, dependencies=[Depends(_check_names)])
    checked.include_router(session.router, dependencies=[Depends(_refuse_archives)])
    checked.include_router(proxy.router, dependencies=[Depends(_check_proxy)])
    for module in (wsi_infer, infer, activelearning):
        checked.include_router(module.router)
    app.include_router(checked)
    app.router.routes.insert(0, app.router.routes.pop())  # the first matching route responds


def _stop_training(user: Any = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))) -> dict[str, Any] | None:  # noqa: B008
    return stop_task("train")


async def _check_fields(request: Request) -> None:
    """Refuse files with names that are paths, and JSON fields that are not objects."""
    with http_errors():
        for name, value in await form_fields(request):
            if isinstance(value, UploadFile):
                check_path_component(upload_name(value), "the file name")
            elif name in ("params", "info", "wsi") and value:
                _check_object(name, value)


def _check_object(name: str, value: str) -> None:
    content = parse_json(value.encode("utf-8", "replace"), name)
    if not isinstance(content, dict):
        raise ValueError(f"{name} is {content!r:.100}; send a JSON object {{...}}.")
    if _depth(content) > MAX_DEPTH:
        raise ValueError(f"{name} is nested more than {MAX_DEPTH} levels deep; send a flat object.")


def _depth(content: Any) -> int:
    depth, level = 0, [content]
    while level and depth <= MAX_DEPTH:
        inner = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, (dict, list))]
        depth, level = depth + 1, [child for part in inner for child in part]
    return depth


async def _check_task(request: Request) -> None:
    if request.method == "POST":
        with http_errors():
            content = await _task_content(request)
            if "bundle_path" in content:  # the task's process would import code from there
                raise ValueError("bundle_path cannot be set; the server has its own bundles.")


async def _task_content(request: Request) -> dict[str, Any]:
    """Return the JSON object of a task's request, with its size and ``gpus`` checked."""
    body = await request.body()
    if len(body) > MAX_TASK_BYTES:
        raise ValueError(f"the request has {len(body)} bytes; send at most {MAX_TASK_BYTES}.")
    content = parse_json(body, "the request") if body.strip() else {}
    if not isinstance(content, dict):
        return {}  # FastAPI refuses it
    gpus = content.get("gpus", "all")
    if not isinstance(gpus, str) or not GPUS.fullmatch(gpus):
        raise ValueError(f"gpus is {gpus!r:.100}; send 'all' or comma-separated numbers.")
    return content


async def _check_names(request: Request) -> None:
    """Refuse names that lead out of the studies folder, and info with reserved keys."""
    with http_errors():
        for name in ("image", "label", "id"):
            if name in request.query_params and request.query_params[name]:
                check_image_id(request.query_params[name], name)
        if request.query_params.get("tag"):
            check_path_component(request.query_params["tag"], "tag")
        for field, value in await form_fields(request):
            given = isinstance(value, str) and value and field in ("params", "info")  # FastAPI refuses a file there
            info = json.loads(str(value)) if given else {}
            if reserved := [key for key in RESERVED_KEYS if key in info]:
                raise ValueError(f"{field} has the key {reserved[0]!r}, which is reserved; choose another.")


async def _refuse_archives(request: Request) -> None:
    if request.query_params.get("uncompress", "false").lower() not in ("", "false", "0", "off", "no", "f", "n"):
        raise HTTPException(400, "uncompress cannot be set: a session of this app holds one image, not an archive.")


async def _check_proxy(request: Request) -> None:
    if not settings.MONAI_LABEL_STUDIES.startswith(("http://", "https://")):
        raise HTTPException(404, "the studies are a folder; OHIF shows studies of a DICOMweb server only.")
    check_proxied_path(request.path_params.get("path", ""))


def check_proxied_path(path: str) -> None:
    """Refuse a path that leads out of the DICOMweb API of a server, which may serve its administration beside it.

    Raises:
        HTTPException: when a component, decoded as ``requests`` does, means the parent folder.
    """
    while (plain := unquote(path)) != path:
        path = plain
    if {".", ".."} & set(re.split(r"[/\\?#]", path)):
        raise HTTPException(400, f"the path is {path!r:.100}; it must not lead out of the DICOMweb server's API.")
