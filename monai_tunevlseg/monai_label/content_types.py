"""The content type of requests whose client sends none."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["add_default_content_type"]

JSON = (b"content-type", b"application/json")


def add_default_content_type(app: FastAPI) -> None:
    """Read a body without a content type as JSON, because QuPath's extension sends such bodies.

    FastAPI refuses them, because a web page may send them to any server without the permission of that server.
    Browsers name the page in the header ``Origin``, so that these requests stay refused.
    """
    app.middleware_stack = None  # already built; the next request rebuilds it
    app.add_middleware(_DefaultContentType)


class _DefaultContentType:
    """ASGI middleware that adds the content type of JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and not {b"content-type", b"origin"} & {name for name, _ in scope["headers"]}:
            scope = {**scope, "headers": [*scope["headers"], JSON]}
        await self.app(scope, receive, send)
