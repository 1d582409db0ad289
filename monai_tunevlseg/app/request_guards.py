"""What the page's server accepts: requests of its own page, of a limited size, answered with errors as one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monai_tunevlseg.json_files import parse_json

__all__ = ["ERROR_RESPONSES", "OwnPageOnly", "TooLargeError", "read_body", "read_object"]

HEADERS = {
    # the page works without a network, and nothing that it shows can send a picture elsewhere
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
MAX_JSON_BYTES = 65_536


class TooLargeError(ValueError):
    """The body of a request is larger than the server accepts."""


class OwnPageOnly:
    """ASGI middleware that refuses requests of other pages in the same browser, and keeps the page from other hosts.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != headers.get("host")
        if foreign and scope["method"] not in ("GET", "HEAD"):
            refusal = _error(HTTPStatus.FORBIDDEN, f"a page of {origin!r:.100} sent this; open the server's own page.")
            await refusal(scope, receive, send_with_headers)
        else:
            await self.app(scope, receive, send_with_headers)


async def read_body(request: Request, max_bytes: int, what: str) -> bytes:
    """Return the body of a request, which is read no further than the limit.

    Raises:
        TooLargeError: when it is larger; `what` names it in the message.
    """
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > max_bytes:
            raise TooLargeError(f"{what} is larger than {max_bytes / 1e6:g} MB; send a smaller one.")
    return bytes(received)


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body of a request.

    Raises:
        ValueError: when the body is not a JSON object, or is too large.
    """
    content = parse_json(await read_body(request, MAX_JSON_BYTES, "the request"), "the request")
    if not isinstance(content, dict):
        raise ValueError(f"the request is {content!r:.100}; send a JSON object.")
    return content


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)


def _answer(status: int) -> Any:
    def respond(request: Request, error: Exception) -> JSONResponse:
        return _error(status, str(error))

    return respond


ERROR_RESPONSES: Mapping[type[Exception], Any] = {
    ClientDisconnect: _answer(HTTPStatus.BAD_REQUEST),  # nobody reads it: a page was closed while it sent something
    TooLargeError: _answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    FileNotFoundError: _answer(HTTPStatus.NOT_FOUND),
    ConnectionError: _answer(HTTPStatus.BAD_GATEWAY),
    ValueError: _answer(HTTPStatus.BAD_REQUEST),
    OSError: _answer(HTTPStatus.INTERNAL_SERVER_ERROR),
}
"""Responses to errors; the first class in an error's method resolution order counts."""
