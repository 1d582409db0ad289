"""``large_files.yml``: where the files of a bundle are that are too large for the Model Zoo, and their digests."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote, urlsplit

import yaml

from monai_tunevlseg.atomic_files import write_text_atomically

__all__ = ["LARGE_FILES", "MAX_FILE_BYTES", "check_files_url", "large_files", "write_large_files"]

LARGE_FILES = "large_files.yml"
MAX_FILE_BYTES = 25_000_000
"""Maximum size of a file in the repository of the Model Zoo (its CONTRIBUTING.md, Model storage)."""


def large_files(folder: Path) -> list[Path]:
    """Return the files of a bundle that are too large for the Model Zoo, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > MAX_FILE_BYTES)


def check_files_url(url: str) -> str:
    """Return the URL of a folder without its final slash.

    Raises:
        ValueError: when it is not an http or https URL of a host.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            f"--large-files-url {url!r} is not the URL of a folder, such as https://huggingface.co/OWNER/NAME/resolve/main."
        )
    return url.rstrip("/")


def write_large_files(folder: str | Path, url: str | None = None) -> list[Path]:
    """Write ``large_files.yml`` into a bundle that has large files; ``download_large_files`` of MONAI reads it.

    Args:
        folder: folder of the bundle.
        url: URL of the folder that will hold the large files under their paths in the bundle; None = to be filled in.

    Returns:
        the large files.

    Raises:
        ValueError: when ``url`` is not a URL of a folder.
    """
    folder, base = Path(folder), None if url is None else check_files_url(url)
    found = large_files(folder)
    if found:
        entries = [_entry(path, path.relative_to(folder).as_posix(), base) for path in found]
        content = yaml.safe_dump({"large_files": entries}, sort_keys=False)
        write_text_atomically(folder / LARGE_FILES, content)
    return found


def _entry(file: Path, path: str, base: str | None) -> dict[str, str]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    url = "" if base is None else f"{base}/{quote(path)}"
    return {"path": path, "url": url, "hash_val": digest, "hash_type": "sha256"}
