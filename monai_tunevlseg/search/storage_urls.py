"""URLs of storages in messages, without passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

__all__ = ["redact_secrets", "redact_url"]

HIDDEN = "***"
_FILE = re.compile(r"(?P<head>(?:sqlite|journal):///[^?]*)(?P<query>\?.*)?", re.DOTALL)
_SERVER = re.compile(
    r"(?P<head>[\w+]+://(?:[^:@/?#]*(?=[:@]))?)(?P<password>:[^@/?#]*(?=@))?"
    r"(?P<place>@?[^:@/?#]*(?::\d+)?(?:/[^:@?#]*)?)(?P<query>\?[^@]*)?",
    re.DOTALL,
)
_SCHEME = re.compile(r"[\w+]+://")
_PLAIN = re.compile(r"[^:@?=#]*")


def redact_url(url: str) -> str:
    """Return a URL without its password, for messages and reports.

    When the password cannot be located, only the scheme remains.
    """
    if found := _FILE.fullmatch(url):
        return found["head"] + (f"?{HIDDEN}" if found["query"] else "")
    if (found := _SERVER.fullmatch(url)) and ("@" in url) == found["place"].startswith("@"):
        password = f":{HIDDEN}" if found["password"] else ""
        return found["head"] + password + found["place"] + (f"?{HIDDEN}" if found["query"] else "")
    if _PLAIN.fullmatch(url):
        return url
    scheme = _SCHEME.match(url)
    return (scheme[0] if scheme else "") + HIDDEN


def redact_secrets(text: str, url: str) -> str:
    """Return the message of a driver without the secrets of a URL."""
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _secrets(url: str) -> Iterator[str]:
    yield url
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return
    values = [parsed.password, *parsed.query.values()]
    for value in values:
        for secret in (value,) if isinstance(value, str) else value or ():
            yield from {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)} - {""}
