"""Errors of MONAI Label's HTTP server as responses with status 4xx and a message."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelException
from starlette.datastructures import UploadFile

from monai_tunevlseg.monai_label.uploads import form_fields, upload_name

__all__ = ["add_error_responses", "get_or_404", "http_errors"]

logger = logging.getLogger(__name__)


def get_or_404(items: Mapping[str, Any], name: Any, what: str) -> Any:
    """Return the item of a name; `what` is the kind of item, for the message.

    Raises:
        HTTPException: when the name is unknown; lists the known names.
    """
    if not isinstance(name, str) or name not in items:
        raise HTTPException(404, f"{what} {name!r:.100} is unknown; known are {', '.join(items)}.")
    return items[name]


@contextmanager
def http_errors() -> Iterator[None]:
    """Turn a FileNotFoundError into an HTTPException with status 404, and a ValueError into one with status 400."""
    try:
        yield
    except FileNotFoundError as error:
        raise HTTPException(404, str(error)) from error
    except ValueError as error:
        raise HTTPException(400, str(error)) from error


def add_error_responses(app: FastAPI, uploads: Path) -> None:
    """Respond with 4xx and a message where MONAI Label would respond with 500 and none."""

    async def respond(request: Request, error: Exception) -> JSONResponse:
        status, message = _response(error)
        message = await _with_upload_names(message, request, uploads)
        return JSONResponse({"detail": message}, status, getattr(error, "headers", None))

    for kind in (MONAILabelException, HTTPException, ValueError, RecursionError):
        app.add_exception_handler(kind, respond)


def _response(error: Exception) -> tuple[int, Any]:
    """Return status and message."""
    if isinstance(error, (ImageNotFoundException, LabelNotFoundException)):
        return 404, error.msg
    if isinstance(error, MONAILabelException):
        return 400, error.msg
    if isinstance(error, HTTPException):
        bad_request = error.status_code == 500 and str(error.detail).startswith(("Neither Image", "DICOM SEG format"))
        return 400 if bad_request else error.status_code, error.detail
    logger.info("Request refused: %s", error, exc_info=error)
    return 400, "the request is nested too deeply." if isinstance(error, RecursionError) else str(error)


async def _with_upload_names(message: Any, request: Request, uploads: Path) -> Any:
    """Replace the temporary path of an upload by the client's file name."""
    if not isinstance(message, str) or str(uploads) not in message:
        return message
    names = [upload_name(value) for _, value in await form_fields(request) if isinstance(value, UploadFile)]
    name = names[0] if len(names) == 1 else "the upload"
    return re.sub(rf"{re.escape(str(uploads))}/tmp\w+[.\w]*", lambda _: name, message)
