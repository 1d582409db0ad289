"""Decoding of TIFF by tifffile and imagecodecs.

Pillow refuses the color frames of CVC-ClinicDB, which claim to be gray, OpenCV silently reads them as gray, and both
clip 32-bit numbers. The result must not depend on the compression.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile

from monai_tunevlseg.data.io.decoding_errors import UnsupportedFileError, check_pixel_count
from monai_tunevlseg.data.io.stored_picture import StoredPicture

__all__ = ["is_tiff", "read_tiff", "read_tiff_header"]

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = range(4)  # PhotometricInterpretation
YCBCR = 6
JPEG = (6, 7, 34892)  # Compression; tifffile converts their YCbCr to RGB
ORIENTATION = "Orientation"


def is_tiff(path: Path) -> bool:
    """Return whether a file begins with a signature of TIFF."""
    with path.open("rb") as file:
        return file.read(4) in MAGIC


def read_tiff(path: Path) -> tuple[StoredPicture, int]:
    """Decode the only page of a file; return the stored pixels and the orientation."""
    with _opened(path) as page:
        return _stored(page), _orientation(page)


def read_tiff_header(path: Path) -> tuple[int, int, int, bool]:
    """Read height, width, orientation and whether channels have more than 8 bits."""
    with _opened(path) as page:
        return page.imagelength, page.imagewidth, _orientation(page), np.dtype(page.dtype).itemsize > 1


@contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffPage]:
    """Open a file of one page; silence tifffile, which logs hundreds of lines about a damaged file before it raises."""
    log = logging.getLogger("tifffile")

    def silence(record: logging.LogRecord) -> bool:
        return False

    log.addFilter(silence)  # one for each open file, because several threads may read at once
    try:
        with tifffile.TiffFile(path) as tiff:
            if len(tiff.pages) != 1:
                raise UnsupportedFileError(
                    f"it holds {len(tiff.pages)} pages instead of one; save each as its own file"
                )
            page = tiff.pages.first
            check_pixel_count(page.imagelength, page.imagewidth)
            yield page
    finally:
        log.removeFilter(silence)


def _orientation(page: tifffile.TiffPage) -> int:
    tag = page.tags.get(ORIENTATION)
    return 1 if tag is None else int(tag.value)


def _stored(page: tifffile.TiffPage) -> StoredPicture:
    photometric, lossy = int(page.photometric), int(page.compression) in JPEG
    if photometric == YCBCR and lossy:
        photometric = RGB
    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE):
        raise UnsupportedFileError(
            f"its color space {tifffile.PHOTOMETRIC(photometric).name} is not supported; save it as RGB"
        )
    values = _decode(page)
    if values.ndim == 3 and values.shape[-1] > 4:
        raise UnsupportedFileError(f"it has {values.shape[-1]} channels; save it as gray or RGB")
    colors = 1 if values.ndim == 2 or values.shape[-1] < 3 else 3
    return StoredPicture(
        values if values.ndim == 2 else values[..., 0] if colors == 1 else values[..., :3],
        _white(page),
        alpha=values[..., colors] if values.ndim == 3 and values.shape[-1] > colors else None,
        palette=_colormap(page) if photometric == PALETTE else None,
        lossy=lossy,
        inverted=photometric == WHITE_IS_ZERO,
    )


def _decode(page: tifffile.TiffPage) -> np.ndarray:
    """Decode a page to (H, W) or (H, W, C)."""
    last = max(offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True))
    if last > page.parent.filehandle.size:
        # tifffile may fill missing pixels with zeros
        raise ValueError(f"its pixels end at byte {last} but the file at byte {page.parent.filehandle.size}")
    values = page.asarray()
    if page.axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    elif page.axes not in ("YX", "YXS"):
        raise UnsupportedFileError(f"its axes are {page.axes} instead of YX, YXS or SYX")
    return values.astype(np.uint8) if values.dtype == bool else values


def _white(page: tifffile.TiffPage) -> float | None:
    kind, bits = np.dtype(page.dtype).kind, int(page.bitspersample)
    if kind == "f":
        return 1
    return 2**bits - 1 if kind in "bu" and bits <= 16 else None


def _colormap(page: tifffile.TiffPage) -> np.ndarray:
    """Return the colors of a palette, (N, 3) uint16."""
    if page.colormap is None:
        raise ValueError("its colors are missing")
    return page.colormap.T
