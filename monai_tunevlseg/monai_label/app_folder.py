"""The folder for MONAI Label's ``start_server --app``."""

from __future__ import annotations

import os
from pathlib import Path

from monai_tunevlseg.atomic_files import write_text_atomically

__all__ = ["write_app_folder"]

MAIN = '''\
"""Written by `tunevlseg label-app`: MONAI Label looks here for its app."""

from monai_tunevlseg.monai_label.app import TuneVLSegApp

__all__ = ["TuneVLSegApp"]
'''


def write_app_folder(folder: str | Path | None = None) -> Path:
    """Write the app's folder, unless it exists, and return it.

    The folder is outside the package, because MONAI Label writes logs and other files into it.

    Args:
        folder: None = ``monai_tunevlseg/label_app`` in the user's cache (``$XDG_CACHE_HOME``).
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    app = Path(folder) if folder is not None else cache / "monai_tunevlseg" / "label_app"
    main = app.expanduser() / "main.py"
    if not main.is_file() or main.read_text(encoding="utf-8") != MAIN:
        write_text_atomically(main, MAIN)
    return main.parent
