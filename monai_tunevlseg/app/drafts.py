"""Drafts of labels on disk, so that nothing is lost when the page is closed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from monai_tunevlseg.atomic_files import atomic_file

__all__ = ["DraftFolder", "drafts_of"]

KEY = "tunevlseg"
"""The text chunk of a PNG with the draft's JSON."""


def drafts_of(studies: str) -> Path:
    """Return the folder of the drafts of a server's images: in the user's state folder (``$XDG_STATE_HOME``).

    Args:
        studies: the server's address, or the folder of its images.
    """
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "monai_tunevlseg" / "drafts" / _digest(studies)


class DraftFolder:
    """One PNG for each image with unfinished edits: the label map, and a JSON object in a text chunk.

    Args:
        folder: is created with the first draft.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, image: str, labels: np.ndarray, info: Mapping[str, Any]) -> None:
        """Save the draft of an image: a label map, uint8 (H, W), and a JSON object."""
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt(KEY, json.dumps({**info, "image": image}), zip=True)
        with atomic_file(self._path(image)) as unfinished:
            Image.fromarray(labels).save(unfinished, "PNG", pnginfo=chunks, compress_level=1)

    def read(self, image: str) -> tuple[np.ndarray, dict[str, Any]] | None:
        """Return the label map and the JSON object of an image's draft; None if it has none."""
        try:
            return _read(self._path(image))
        except FileNotFoundError:
            return None

    def images(self) -> list[str]:
        """Return the images with a draft, the latest first."""
        files = sorted(self.folder.glob("[!.]*.png"), key=lambda file: file.stat().st_mtime, reverse=True)
        return [_read_info(file)["image"] for file in files]

    def remove(self, image: str) -> None:
        """Remove the draft of an image, if it has one."""
        self._path(image).unlink(missing_ok=True)

    def _path(self, image: str) -> Path:
        return self.folder / f"{_digest(image)}.png"


def _read(file: Path) -> tuple[np.ndarray, dict[str, Any]]:
    with Image.open(file, formats=["PNG"]) as picture:
        picture.load()
        return np.asarray(picture), json.loads(str(picture.info[KEY]))


def _read_info(file: Path) -> dict[str, Any]:
    """Return the JSON object of a draft without decoding its pixels, which it precedes."""
    with Image.open(file, formats=["PNG"]) as picture:
        return json.loads(str(picture.info[KEY]))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]
