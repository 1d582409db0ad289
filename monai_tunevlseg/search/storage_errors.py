"""Storage calls that wait for a locked database, and raise errors that name the storage without its password."""

from __future__ import annotations

import inspect
import logging
import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from optuna.exceptions import DuplicatedStudyError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

__all__ = ["driver_message", "is_locked", "redact_secrets", "redact_url", "with_readable_errors"]

PAUSE = 1.0  # seconds before a locked database is tried again
LOCKED = "database is locked"  # SQLite's message during another connection's write; nothing was written
HIDDEN = "***"
_FILE = re.compile(r"(?P<head>(?:sqlite|journal):///[^?]*)(?P<query>\?.*)?", re.DOTALL)
_SERVER = re.compile(
    r"(?P<head>[\w+]+://(?:[^:@/?#]*(?=[:@]))?)(?P<password>:[^@/?#]*(?=@))?"
    r"(?P<place>@?[^:@/?#]*(?::\d+)?(?:/[^:@?#]*)?)(?P<query>\?[^@]*)?",
    re.DOTALL,
)
_SCHEME = re.compile(r"[\w+]+://")
_PLAIN = re.compile(r"[^:@?=#]*")

logger = logging.getLogger(__name__)


class _Caller:
    """Calls the methods of a storage; errors name its URL."""

    def __init__(self, storage: BaseStorage, url: str) -> None:
        self._storage = storage
        self._url = url

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        logged = False
        while True:
            try:
                return getattr(self._storage, name)(*arguments, **options)
            except (DuplicatedStudyError, UpdateFinishedTrialError):
                raise
            except Exception as error:
                if not is_locked(error):
                    raise _readable(error, self._url) from error
            if not logged:
                logger.warning(f"waiting for another worker's write to {redact_url(self._url)}")
                logged = True
            time.sleep(PAUSE)


def with_readable_errors(storage: BaseStorage, url: str) -> BaseStorage:
    """Return a wrapper of a storage.

    Calls wait while the SQLite file is locked. They raise ConnectionError when the storage cannot be used, and
    ValueError when its content is invalid; both name the URL without the password.
    """
    return _ReadableStorage(storage, url)


def _calling(name: str) -> Callable[..., Any]:
    def call(self: _Caller, *arguments: Any, **options: Any) -> Any:
        return self._call(name, *arguments, **options)

    return call


_METHODS = [name for name, _ in inspect.getmembers(BaseStorage, inspect.isfunction) if not name.startswith("_")]
_ReadableStorage: Any = type("_ReadableStorage", (_Caller, BaseStorage), {name: _calling(name) for name in _METHODS})


def is_locked(error: BaseException) -> bool:
    """Return whether the error is the lock of another connection's write."""
    causes: list[BaseException] = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    return any(isinstance(cause, OperationalError) and LOCKED in str(cause.orig) for cause in causes)


def driver_message(error: BaseException) -> str:
    """Return the first line of the message of the driver."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    origin = getattr(cause, "orig", None) or cause
    return next((line.strip() for line in str(origin).splitlines() if line.strip()), type(origin).__name__)


def _readable(error: Exception, url: str) -> Exception:
    shown, reason = redact_url(url), redact_secrets(driver_message(error), url)
    if isinstance(error, OSError | SQLAlchemyError | StorageInternalError) or _is_of_grpc(error):
        return ConnectionError(
            f"the storage {shown} cannot be used ({reason}); the same command resumes once the cause is fixed."
        )
    return ValueError(
        f"the storage {shown} is damaged, or was not created by Optuna ({type(error).__name__}: {reason}); pass "
        "another --storage."
    )


def _is_of_grpc(error: Exception) -> bool:
    """Return whether an error is from gRPC, which need not be installed."""
    return any(kind.__module__.partition(".")[0] == "grpc" for kind in type(error).__mro__)


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
