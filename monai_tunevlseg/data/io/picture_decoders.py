"""Decoding of picture files in every supported format.

The first bytes choose the decoder, not the suffix. Pillow decodes PNG, JPEG, BMP and GIF; imagecodecs decodes color
PNGs of 16 bits, which Pillow reduces to 8; `tiff` decodes TIFF.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from monai_tunevlseg.data.io.decoding_errors import UnsupportedFileError, check_pixel_count
from monai_tunevlseg.data.io.stored_picture import EXIF_TURNS, StoredPicture
from monai_tunevlseg.data.io.tiff import is_tiff, read_tiff, read_tiff_header

__all__ = [
    "GRAY_MODES",
    "PictureHeader",
    "decode_picture",
    "gray_step",
    "is_tiff",
    "open_pillow",
    "read_picture_header",
]

PILLOW_FORMATS = ("PNG", "JPEG", "BMP", "GIF")
LOSSY_FORMATS = ("JPEG", "MPO")  # a JPEG of several pictures calls itself MPO
GRAY_MODES = ("1", "L")
COLORS = {"RGB": 3, "RGBA": 3, "RGBX": 3, "LA": 1, "PA": 1}  # channels of a mode that are colors or indices
ALPHA_MODES = ("RGBA", "LA")
ORIENTATION = 274  # number of the tag in EXIF and TIFF


@dataclass(frozen=True)
class PictureHeader:
    """The facts in a picture's header.

    Args:
        shape: (H, W) as displayed.
        orientation: of EXIF, 1..8; 1 = pixels are stored as displayed.
        deep: channels have more than 8 bits.
    """

    shape: tuple[int, int]
    orientation: int
    deep: bool


def decode_picture(path: Path) -> StoredPicture:
    """Decode a picture, oriented as viewers display it."""
    if is_tiff(path):
        stored, orientation = read_tiff(path)
    else:
        with open_pillow(path) as picture:
            stored, orientation = _from_pillow(picture, path), _orientation(picture, path)
    return stored.as_displayed(orientation)


def read_picture_header(path: Path) -> PictureHeader:
    """Read a picture's header."""
    if is_tiff(path):
        height, width, orientation, deep = read_tiff_header(path)
    else:
        with open_pillow(path) as picture:
            height, width, orientation = picture.height, picture.width, _orientation(picture, path)
            deep = picture.format == "PNG" and _png_depth(path)[0] > 8
    if orientation not in EXIF_TURNS:
        return PictureHeader((height, width), 1, deep)
    return PictureHeader((width, height) if EXIF_TURNS[orientation].transposed else (height, width), orientation, deep)


def open_pillow(path: Path) -> Image.Image:
    """Open a file in one of `PILLOW_FORMATS` without reading its pixels."""
    picture = Image.open(path, formats=PILLOW_FORMATS)
    check_pixel_count(picture.height, picture.width)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format not in LOSSY_FORMATS:
        raise UnsupportedFileError(f"it holds {frames} frames instead of one; save each as its own file")
    return picture


def gray_step(path: Path, picture: Image.Image) -> int:
    """Return Pillow's factor from stored values to 8 bits: 85 or 17 for gray PNGs of 2 or 4 bits, else 1."""
    bits, color = _png_depth(path) if picture.format == "PNG" else (8, None)
    return 255 // (2**bits - 1) if color == 0 and bits in (2, 4) else 1


def _orientation(picture: Image.Image, path: Path) -> int:
    if picture.format == "PNG":
        exif = Image.Exif()
        exif.load(_png_exif(path))
        return int(exif.get(ORIENTATION, 1))
    return int(picture.getexif().get(ORIENTATION, 1))


def _png_exif(path: Path) -> bytes:
    """Read a PNG's EXIF, which may follow the pixels: Pillow would decode these first."""
    with path.open("rb", buffering=0) as file:  # reads only the head of each chunk
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            length = int.from_bytes(head[:4])
            if head[4:] == b"eXIf":
                return file.read(length)
            file.seek(length + 4, 1)
    return b""


def _from_pillow(picture: Image.Image, path: Path) -> StoredPicture:
    lossy = picture.format in LOSSY_FORMATS
    if picture.format == "PNG" and _is_deep_color(path):
        return _split(imagecodecs.png_decode(path.read_bytes()), white=65535)
    if picture.mode in GRAY_MODES or picture.mode.startswith("I"):
        values = np.asarray(picture)
        white = 1 if picture.mode == "1" else 65535 if picture.mode.startswith("I") else 255
        unit = gray_step(path, picture)
        return StoredPicture(_whole(values) // unit if unit > 1 else _whole(values), white // unit, lossy=lossy)
    if picture.mode in ("P", "PA"):
        indices = np.asarray(picture)
        return StoredPicture(indices[..., 0] if picture.mode == "PA" else indices, 255, palette=_palette(picture))
    if picture.mode in COLORS:
        return _split(np.asarray(picture), 255, lossy, colors=COLORS[picture.mode], alpha=picture.mode in ALPHA_MODES)
    return StoredPicture(np.asarray(picture.convert("RGB")), 255, lossy=lossy, mode=picture.mode)


def _split(pixels: np.ndarray, white: float, lossy: bool = False, colors: int = 0, alpha: bool = True) -> StoredPicture:
    """Split (H, W, C) into colors and opacity, the last of two or four channels."""
    colors = colors or (1 if pixels.shape[-1] < 3 else 3)
    values = pixels[..., 0] if colors == 1 else pixels[..., :colors]
    opacity = pixels[..., colors] if alpha and pixels.shape[-1] > colors else None
    return StoredPicture(values, white, lossy=lossy, alpha=opacity)


def _whole(values: np.ndarray) -> np.ndarray:
    return values.astype(np.uint8) if values.dtype == bool else values


def _palette(picture: Image.Image) -> np.ndarray:
    """Return the palette colors of the file, (N, 3) uint8."""
    return np.asarray(picture.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)


def _png_depth(path: Path) -> tuple[int, int]:
    """Read the bits of a channel and the color type from a PNG's first chunk."""
    with path.open("rb") as file:
        head = file.read(26)
    return head[24], head[25]


def _is_deep_color(path: Path) -> bool:
    bits, color = _png_depth(path)
    return bits == 16 and color != 0
