"""A digest that identifies the samples of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from monai_tunevlseg.data.sample_masks import mask_paths

__all__ = ["digest_samples"]


def digest_samples(samples: Iterable[Mapping[str, Any]]) -> str:
    """Return 16 hexadecimal digits that depend on the samples, their order, and the names and sizes of their files.

    Folders do not count, so that the digest is the same on every machine.

    Raises:
        FileNotFoundError: when a file does not exist.
    """
    digest = hashlib.sha256()
    for sample in samples:
        files = [Path(sample["image"]), *mask_paths(sample)]
        row = {key: value for key, value in sample.items() if key not in ("image", "label")}
        row["files"] = [(file.name, file.stat().st_size) for file in files]
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]
