"""Digests that the files of a bundle state of each other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from monai_tunevlseg.inspection.bundle_source import BundleSource, leaves_folder
from monai_tunevlseg.inspection.findings import Finding

__all__ = ["check_digests"]

MODEL = "models/model.pt"
KEY = "checkpoint_digest"
RECORDS = ("configs/metadata.json", "models/calibration.json", "models/hyperparameters.json", "eval/metrics.json")
"""Files that can state the first 16 digits of the SHA-256 digest of ``models/model.pt``."""
HASHES = ("md5", "sha1", "sha256", "sha512")  # those of MONAI's download_large_files


def check_digests(source: BundleSource, configs: Mapping[str, Any]) -> Iterator[str | Finding]:
    """Yield a sentence for each digest that matches, and a finding for each that does not.

    Args:
        source: files of the bundle.
        configs: the parsed configs by their paths.
    """
    for record in RECORDS:
        content = configs.get(record)
        stated = content.get(KEY) if isinstance(content, Mapping) else None
        if stated is not None:
            yield from _check_model(source, record, str(stated))
    for name, content in configs.items():
        if "/" not in name and name.lower().startswith("large_files.") and isinstance(content, Mapping):
            entries = content.get("large_files")
            for entry in entries if isinstance(entries, list) else []:
                yield _check_large_file(source, name, entry if isinstance(entry, Mapping) else {})


def _check_model(source: BundleSource, record: str, stated: str) -> Iterator[str | Finding]:
    if MODEL not in source.names:
        return
    found = _digest(source, MODEL, "sha256")
    if len(stated) == 16 and found.startswith(stated):
        yield f"{MODEL} has the digest of {record}, {stated}"
    else:
        yield Finding(record, "digest", f"{KEY} is {stated}, but that of {MODEL} is {found[:16]}")


def _check_large_file(source: BundleSource, name: str, entry: Mapping[Any, Any]) -> str | Finding:
    path, stated, kind = (str(entry.get(key) or "") for key in ("path", "hash_val", "hash_type"))
    if not path or leaves_folder(path):
        return Finding(name, "path", f"a download to {path!r}, outside the folder of the bundle")
    if not stated:
        return Finding(name, "digest", f"{path} has no digest, so that any file could be downloaded")
    if path not in source.names:
        return f"{path} is not present; download_large_files gets it from {entry.get('url')} and checks its digest"
    kind = (kind or "md5").lower()
    if kind not in HASHES or _digest(source, path, kind) != stated.lower():
        return Finding(path, "digest", f"it is not that of {name}, {kind} {stated}")
    return f"{path} has the digest of {name}, {kind} {stated}"


def _digest(source: BundleSource, name: str, kind: str) -> str:
    digest = hashlib.new(kind)
    with source.open(name) as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
