"""Files that clients upload: the form fields, the folder of temporary files, and its cleanup."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.datastructures import UploadFile
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["add_upload_cleanup", "create_upload_folder", "form_fields", "upload_name"]

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
PREFIX = "tunevlseg-label-"


def create_upload_folder() -> Path:
    """Create the folder for uploads to this process, and make it the folder of temporary files.

    MONAI Label saves uploads as temporary files and passes their paths to the app as it passes a client's image, so
    uploads need a folder of their own. Child processes get a second folder for their temporary files. Both are removed
    when this process ends.
    """
    current = Path(tempfile.tempdir or "")
    if current.name == "uploads" and current.parent.name.startswith(PREFIX):
        return current  # the server opens its app a second time
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    uploads, tasks = folder / "uploads", folder / "tasks"
    for subfolder in (uploads, tasks):
        subfolder.mkdir()
    os.environ["TMPDIR"] = str(tasks)
    tempfile.tempdir = str(uploads)
    return uploads


async def form_fields(request: Request) -> list[tuple[str, UploadFile | str]]:
    """Return the form fields of a request; empty for other kinds of content."""
    is_form = request.headers.get("content-type", "").startswith(FORMS)
    return (await request.form()).multi_items() if is_form else []


def upload_name(upload: UploadFile) -> str:
    """Return the client's file name without its folders, which MONAI Label's own client sends too."""
    return re.split(r"[/\\]", upload.filename or "upload")[-1]


def add_upload_cleanup(app: FastAPI, uploads: Path) -> None:
    """Remove uploads when no request is in progress: MONAI Label keeps those of failed requests."""
    app.middleware_stack = None  # already built; the next request rebuilds it
    app.add_middleware(_UploadCleanup, uploads=uploads)


class _UploadCleanup:
    """ASGI middleware that removes uploads when no request is in progress."""

    def __init__(self, app: ASGIApp, uploads: Path) -> None:
        self.app = app
        self.uploads = uploads
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
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
