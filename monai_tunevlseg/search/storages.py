"""Storages of studies: databases, journal files, and storages of other machines through gRPC."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from optuna.exceptions import OptunaError, StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage, get_storage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from monai_tunevlseg.search.journal import RepairingJournal
from monai_tunevlseg.search.storage_errors import (
    driver_message,
    is_locked,
    redact_secrets,
    redact_url,
    with_readable_errors,
)

__all__ = ["open_storage"]

T = TypeVar("T")

CONNECT_TIMEOUT = 5  # seconds before a server counts as unreachable
LOCK_TIMEOUT = 5  # seconds that SQLite waits for another worker's write; Ctrl-C has no effect meanwhile
ANSWER_TIMEOUT = 60  # seconds to wait for an answer of MySQL
CREATION_ATTEMPTS = 5  # because workers that start at the same time create the same tables
DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}  # drivers that the extras install
KINDS = "sqlite:///FILE, postgresql://..., mysql://..., journal:///FILE or grpc://HOST:PORT"
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "fuse.sshfs"}

logger = logging.getLogger(__name__)


def open_storage(url: str) -> BaseStorage:
    """Open a storage; missing SQLite files, journal files and database tables are created.

    Args:
        url: ``sqlite:///FILE``, ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``, ``mysql://...``, ``journal:///FILE``
            or ``grpc://HOST:PORT``, the address of Optuna's ``run_grpc_proxy_server``.

    Raises:
        ValueError: when the URL is invalid or the file is not a storage.
        ConnectionError: when the storage cannot be reached.
        ImportError: when the driver of the database is not installed.
    """
    scheme, _, rest = url.partition("://")
    if not rest:
        raise ValueError(f"the storage {redact_url(url)!r} is not a URL; pass {KINDS}.")
    if scheme == "journal":
        return with_readable_errors(_open_journal(Path(rest).expanduser()), url)
    if scheme == "grpc":
        return with_readable_errors(_open_grpc(url), url)
    cached = get_storage(_open_database(url))  # with Optuna's cache of finished trials
    return with_readable_errors(cached, url)


def _open_journal(path: Path) -> BaseStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(RepairingJournal(str(path)))
    except OSError as error:
        raise ConnectionError(f"the journal {path} cannot be opened ({error}); pass another --storage.") from error
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError, OptunaError) as error:
        raise ValueError(
            f"the file {path} is not a journal of Optuna, or is damaged ({error or type(error).__name__}); pass "
            "another --storage."
        ) from error


def _open_grpc(url: str) -> BaseStorage:
    shown = redact_url(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"the storage {shown!r} has no valid port; pass grpc://HOST:PORT.") from error
    if not host or not port:
        raise ValueError(f"the storage {shown!r} has no host or no port; pass grpc://HOST:PORT.")
    try:
        proxy = GrpcStorageProxy(host=host, port=port)
        proxy.wait_server_ready(timeout=CONNECT_TIMEOUT)
    except ConnectionError as error:
        raise ConnectionError(
            f"the storage {shown} cannot be reached within {CONNECT_TIMEOUT} seconds; start Optuna's "
            "run_grpc_proxy_server there, or pass another --storage."
        ) from error
    except ImportError as error:
        raise ImportError("gRPC is not installed; run pip install 'monai_tunevlseg[grpc]'.") from error
    return proxy


def _open_database(url: str) -> RDBStorage:
    shown = redact_url(url)
    parsed = _parsed(url)
    backend = parsed.get_backend_name()
    options = _engine_options(backend)
    try:
        return _with_retries(lambda: RDBStorage(parsed.render_as_string(hide_password=False), engine_kwargs=options))
    except (ArgumentError, NoSuchModuleError, TypeError) as error:  # TypeError: an option that the driver does not have
        reason = redact_secrets(driver_message(error), url)
        raise ValueError(f"the storage {shown!r} is not a valid URL ({reason}); pass {KINDS}.") from error
    except ImportError as error:
        raise ImportError(
            f"the driver of {shown} is not installed; run pip install 'monai_tunevlseg[{backend}]'."
        ) from error
    except (SQLAlchemyError, OSError, OptunaError, RuntimeError, AssertionError) as error:
        raise ConnectionError(
            f"the storage {shown} cannot be used ({redact_secrets(driver_message(error), url)}); start the server, or "
            "pass another --storage."
        ) from error


def _parsed(url: str) -> URL:
    """Return a URL with the driver that the extras install, and create the folder of a file."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: the port is not a number
        reason = "" if isinstance(error, ArgumentError) else ": its port is not a number"
        raise ValueError(f"the storage {redact_url(url)!r} is not a valid URL{reason}; pass {KINDS}.") from error
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        path = Path(parsed.database).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        if (kind := file_system_of(path.parent)) in NETWORK_FILE_SYSTEMS:
            logger.warning(f"{path} is on {kind}, where SQLite may lose the writes of other machines; use journal:///")
        parsed = parsed.set(database=str(path))
    return parsed.set(drivername=DRIVERS.get(parsed.drivername, parsed.drivername))


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Return the type of the file system of a path, such as ``nfs4``; None when it is unknown."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return None
    place = path.resolve()
    points = [(Path(line[1].replace("\\040", " ")), line[2]) for line in lines]
    above = [(len(point.parts), kind) for point, kind in points if place.is_relative_to(point)]
    return max(above, key=lambda found: found[0])[1] if above else None


def _engine_options(backend: str) -> dict[str, Any]:
    if backend == "sqlite":
        return {"connect_args": {"timeout": LOCK_TIMEOUT}}
    timeouts: dict[str, int] = {"connect_timeout": CONNECT_TIMEOUT}
    if backend == "mysql":  # because its driver waits for a silent server without limit
        timeouts |= {"read_timeout": ANSWER_TIMEOUT, "write_timeout": ANSWER_TIMEOUT}
    return {"connect_args": timeouts, "pool_pre_ping": True}


def _with_retries(create: Callable[[], T]) -> T:
    """Retry while another worker creates the same tables; fail at once for other errors."""
    attempt = 0
    while True:
        try:
            return create()
        except (SQLAlchemyError, StorageInternalError) as error:
            if is_locked(error):
                continue
            attempt += 1
            text = driver_message(error).lower()
            if attempt == CREATION_ATTEMPTS or not any(sign in text for sign in ("exists", "unique", "duplicate")):
                raise
            time.sleep(0.2 * attempt)
