"""The pictures of the page: those of a folder, and those that a visitor drops on it."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from monai_tunevlseg.data.io.pictures import PICTURE_SUFFIXES
from monai_tunevlseg.data.io.reading import read_image, read_shape
from monai_tunevlseg.monai_label.path_checks import check_image_id

__all__ = ["PictureFolder", "check_size", "png_of_mask", "png_of_picture", "received_picture"]

MAX_PIXELS = 64_000_000  # a few copies of the picture and its masks are in memory
LABELS = "labels"  # MONAI Label's folder of masks, in the folder of its pictures


class PictureFolder:
    """The pictures in a folder and its subfolders; links out of it do not count.

    Args:
        folder: the folder; None = no pictures.

    Raises:
        NotADirectoryError: when it is not a folder.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder).expanduser().resolve()
        if self.folder is not None and not self.folder.is_dir():
            raise NotADirectoryError(f"--images {folder} is not a folder; pass a folder of PNG or JPEG files.")

    def names(self) -> list[str]:
        """Return the paths of the pictures in the folder, sorted, without hidden files and MONAI Label's labels."""
        return [] if self.folder is None else sorted(_walk(self.folder))

    def path(self, name: str) -> Path:
        """Return the file of a picture.

        Args:
            name: one of `names`.

        Raises:
            FileNotFoundError: when no such picture exists.
            ValueError: when the path leads out of the folder.
        """
        if self.folder is None:
            raise FileNotFoundError(f"no picture {name!r:.200}, because no folder is open; start with --images DIR.")
        path = self.folder / check_image_id(name, "the picture")
        if not _is_inside(path, self.folder):
            raise ValueError(f"the picture {name!r:.200} is outside of the folder {self.folder.name}; copy it there.")
        if path.suffix.lower() not in PICTURE_SUFFIXES or not path.is_file():
            raise FileNotFoundError(f"no picture {name!r:.200} in {self.folder.name}; choose one of the list.")
        return path


def _walk(root: Path) -> Iterator[str]:
    for place, folders, files in os.walk(root):
        inside = Path(place).relative_to(root)
        folders[:] = [name for name in folders if name[0] != "." and inside / name != Path(LABELS)]
        for name in files:
            picture = name[0] != "." and Path(name).suffix.lower() in PICTURE_SUFFIXES
            if picture and _is_inside(Path(place, name), root):
                yield (inside / name).as_posix()


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder)


@contextmanager
def received_picture(content: bytes, name: str) -> Iterator[Path]:
    """Yield a temporary file with a received picture, which is removed at the end.

    Args:
        content: the file's bytes.
        name: its name, of which the suffix counts.

    Raises:
        ValueError: when the suffix is not that of a picture.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in PICTURE_SUFFIXES:
        raise ValueError(f"{name!r:.100} is not a picture; drop one of {', '.join(PICTURE_SUFFIXES)}.")
    with tempfile.TemporaryDirectory(prefix="tunevlseg-app-") as folder:
        path = Path(folder, f"picture{suffix}")
        path.write_bytes(content)
        yield path


def check_size(path: Path) -> tuple[int, int]:
    """Return (H, W) of a picture, from its header.

    Raises:
        ValueError: when it cannot be read, or has more than ``MAX_PIXELS`` pixels.
    """
    height, width = read_shape(path)
    if height * width > MAX_PIXELS:
        raise ValueError(f"{path} has {width} x {height} pixels; the page shows at most {MAX_PIXELS:,}.")
    return height, width


def png_of_picture(path: Path) -> bytes:
    """Return a picture as networks see it, upright and without transparency: an 8-bit RGB PNG.

    Raises:
        ValueError: when it cannot be read, or is too large.
    """
    check_size(path)
    return _png(np.rint(read_image(path) * 255).astype(np.uint8))


def png_of_mask(mask: np.ndarray) -> bytes:
    """Return a mask or label map, uint8 (H, W), as an 8-bit gray PNG."""
    return _png(mask)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
