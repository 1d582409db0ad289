"""The page's server in a thread of the tests, on a free local port."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any


def start_app(*bundles: Path, **options: Any) -> str:
    """Serve the page until the tests end, and return its address; the options are those of `create_app`."""
    from monai_tunevlseg.app import create_app, serve

    addresses: queue.Queue[str] = queue.Queue()
    arguments = (create_app(bundles, **options), "127.0.0.1", 0, addresses.put)
    threading.Thread(target=serve, args=arguments, daemon=True).start()
    return addresses.get(timeout=60)
