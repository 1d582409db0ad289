"""Where a study is kept: a database, a journal file, or another machine's storage behind gRPC."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

__all__ = ["describe_storage", "open_storage"]

T = TypeVar("T")

PATIENCE = 5  # seconds until a server counts as not reachable
LOCK_PATIENCE = 60  # seconds to wait for another worker's write
CREATION_ATTEMPTS = 5  # workers that start at once create the same tables
DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}  # what the extras install
KINDS = "sqlite:///FILE, postgresql://..., mysql://..., journal:///FILE or grpc://HOST:PORT"


def open_storage(url: str) -> BaseStorage:
    """Open a storage; SQLite and journal files, and the tables of a database, are created.

    Args:
        url: ``sqlite:///FILE``, ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``, ``mysql://...``, ``journal:///FILE``
            or ``grpc://HOST:PORT``, the address of Optuna's ``run_grpc_proxy_server``.

    Raises:
        ValueError: when the address is not understood, or the file is no storage.
        ConnectionError: when the storage cannot be reached.
        ImportError: when the database's driver is not installed.
    """
    scheme, _, rest = url.partition("://")
    if not rest:
        raise ValueError(f"the storage {url!r} is no address; write {KINDS}.")
    if scheme == "journal":
        return _open_journal(Path(rest).expanduser())
    if scheme == "grpc":
        return _open_grpc(url)
    return _open_database(url)


def describe_storage(url: str) -> str:
    """Return the address without its password, for messages and reports."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


def _open_journal(path: Path) -> BaseStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError as error:
        raise ConnectionError(f"the journal {path} cannot be opened ({error}); give another --storage.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the file {path} is no journal of Optuna ({error}); give another --storage.") from error


def _open_grpc(url: str) -> BaseStorage:
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"the storage {url!r} has no valid port; write grpc://HOST:PORT.") from error
    if not host or not port:
        raise ValueError(f"the storage {url!r} has no host or no port; write grpc://HOST:PORT.")
    try:
        proxy = GrpcStorageProxy(host=host, port=port)
        proxy.wait_server_ready(timeout=PATIENCE)
    except ConnectionError as error:
        raise ConnectionError(
            f"the storage {url} cannot be reached within {PATIENCE} seconds; start Optuna's run_grpc_proxy_server "
            "there, or give another --storage."
        ) from error
    except ImportError as error:
        raise ImportError("gRPC is not installed; pip install 'monai_tunevlseg[grpc]'.") from error
    return proxy


def _open_database(url: str) -> BaseStorage:
    shown = describe_storage(url)
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        driver = DRIVERS.get(parsed.drivername, parsed.drivername)
        full = parsed.set(drivername=driver).render_as_string(hide_password=False)
        if backend == "sqlite" and parsed.database:
            Path(parsed.database).expanduser().parent.mkdir(parents=True, exist_ok=True)
        options = _engine_options(backend)
        return _patiently(lambda: RDBStorage(full, engine_kwargs=options))
    except (ArgumentError, NoSuchModuleError) as error:
        raise ValueError(f"the storage {shown!r} is not understood ({error}); write {KINDS}.") from error
    except ImportError as error:
        raise ImportError(
            f"the driver of {shown} is not installed; pip install 'monai_tunevlseg[{backend}]' brings it."
        ) from error
    except (SQLAlchemyError, StorageInternalError, OSError) as error:
        raise ConnectionError(
            f"the storage {shown} cannot be used ({_reason(error)}); start the server, or give another --storage."
        ) from error


def _engine_options(backend: str) -> dict[str, Any]:
    if backend == "sqlite":
        return {"connect_args": {"timeout": LOCK_PATIENCE}}
    patience: dict[str, int] = {"connect_timeout": PATIENCE}
    if backend == "mysql":  # whose driver would wait for ever for a server that does not answer
        patience |= {"read_timeout": LOCK_PATIENCE, "write_timeout": LOCK_PATIENCE}
    return {"connect_args": patience, "pool_pre_ping": True}


def _patiently(create: Callable[[], T]) -> T:
    """Call again when another worker creates the same tables at this moment; a server that is down fails at once."""
    for attempt in range(CREATION_ATTEMPTS):
        try:
            return create()
        except (SQLAlchemyError, StorageInternalError) as error:
            text = _reason(error).lower()
            if attempt == CREATION_ATTEMPTS - 1 or not any(sign in text for sign in ("exists", "unique", "duplicate")):
                raise
            time.sleep(0.2 * (attempt + 1))
    raise AssertionError("unreachable")


def _reason(error: BaseException) -> str:
    """Return the first line of the driver's own message."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    origin = getattr(cause, "orig", None) or cause
    return next((line.strip() for line in str(origin).splitlines() if line.strip()), type(origin).__name__)
