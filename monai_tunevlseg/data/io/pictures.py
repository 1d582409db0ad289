"""Readers of images and masks in PNG, JPEG, BMP, GIF and TIFF, with the same rules for every format.

Images and masks are read as viewers display them, with their EXIF or TIFF orientation applied. Predictions are written
in this orientation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from monai_tunevlseg.data.io.decoding_errors import UnsupportedFileError, translate_decoding_errors
from monai_tunevlseg.data.io.picture_decoders import (
    GRAY_MODES,
    decode_picture,
    gray_step,
    open_pillow,
    read_picture_header,
)
from monai_tunevlseg.data.io.stored_picture import StoredPicture
from monai_tunevlseg.data.io.tiff import is_tiff

__all__ = [
    "PICTURE_SUFFIXES",
    "StoredMask",
    "as_rgb",
    "exif_hint",
    "exif_orientation",
    "peak_fraction",
    "picture_shape",
    "read_gray_picture",
    "read_picture",
    "read_picture_mask",
    "read_pixels",
    "read_unique_picture_values",
]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff")
CHROMA_NOISE = 32
"""Largest difference, of 255, between the channels of a gray JPEG that comes from compression."""
OPAQUE_HALF = 0.5
"""Fraction of the opacity's range below which viewers show more of the background than of the pixel."""
QUICK_MODES = ("1", "L", "LA", "RGB", "RGBA", "CMYK")
"""Pillow's modes whose direct conversion to gray agrees with a conversion after `read_picture`."""
WHITE_8_BITS = 255
"""Largest stored white of a picture of at most 8 bits."""


@dataclass(frozen=True)
class StoredMask:
    """A mask with the values of its file.

    Args:
        values: stored values or palette indices, of shape (H, W) or (S, A, R); the brightest channel of a color mask,
            or its opacity if only the opacity shows the shape.
        lossy: JPEG compression has changed the values a little.
        colored: the color channels differ.
        palette: colors of the indices, (N, 3) uint8; None without a palette.
        white: the stored value of full brightness; None for a type of unknown range.
        by_alpha: `values` are the opacity.
    """

    values: np.ndarray
    lossy: bool = False
    colored: bool = False
    palette: np.ndarray | None = None
    white: float | None = 255
    by_alpha: bool = False


def read_picture(path: Path, intensity_window: Sequence[float] | None = None) -> np.ndarray:
    """Read a picture as RGB without its transparency.

    Args:
        path: a file with one of `PICTURE_SUFFIXES`.
        intensity_window: the stored values that become 0 and 1 (1 and 0 in a TIFF whose 0 is white); None = the range
            of the file's type, [0, 1] for floating-point numbers. It does not apply to the colors of a palette.

    Returns:
        float32 of shape (H, W, 3) in [0, 1].

    Raises:
        ValueError: when the file cannot be decoded, is not a single gray or color picture, or has an unknown range.
    """
    with translate_decoding_errors(path):
        return as_rgb(decode_picture(path), intensity_window)


def read_pixels(path: Path, intensity_window: Sequence[float] | None = None) -> np.ndarray:
    """Read a picture as integers of the full range of their type, which hold all that `read_picture` returns.

    The arguments and errors are those of `read_picture`.

    Returns:
        uint8, or uint16 when the file has more than 8 bits, of shape (H, W, 3), or (H, W) when the file is gray.
    """
    with translate_decoding_errors(path):
        stored = decode_picture(path)
        colors = as_rgb(stored, intensity_window)
    if stored.palette is None:
        deep, gray = stored.values.dtype.itemsize > 1, stored.values.ndim == 2
    else:
        deep, gray = stored.palette.dtype.itemsize > 1, not np.ptp(stored.palette, axis=-1).any()
    pixels = np.rint(colors * 65535).astype(np.uint16) if deep else np.rint(colors * 255).astype(np.uint8)
    return pixels[..., 0] if gray else pixels


def read_gray_picture(
    path: Path, at_least: int, intensity_window: Sequence[float] | None = None
) -> tuple[tuple[int, int], Image.Image]:
    """Decode a picture to 8-bit gray at little more than the cost of decoding.

    The whole file is decoded, so that damage is found as by `read_picture`, but a JPEG may be scaled down.

    Args:
        path: as for `read_picture`.
        at_least: pixels of the shorter side that scaling down keeps.
        intensity_window: as for `read_picture`.

    Returns:
        (H, W) of the displayed picture, and its 8-bit gray pixels.
    """
    if intensity_window is None:
        with translate_decoding_errors(path):
            header = read_picture_header(path)
            if header.orientation == 1 and not is_tiff(path):
                with open_pillow(path) as picture:
                    if picture.mode in QUICK_MODES:
                        picture.draft("L", (at_least, at_least))
                        return header.shape, picture.convert("L")
    whole = Image.fromarray(np.rint(read_picture(path, intensity_window) * 255).astype(np.uint8))
    return (whole.height, whole.width), whole.convert("L")


def peak_fraction(path: Path) -> float | None:
    """Return the brightest pixel of a picture of more than 8 bits, as a fraction of its type's range, in (0, 1].

    Returns:
        None for black pictures, and for pictures of 8 bits or fewer or of floating-point numbers.
    """
    with translate_decoding_errors(path):
        if not read_picture_header(path).deep:
            return None
        stored = decode_picture(path)
    if stored.white is None or stored.white <= WHITE_8_BITS or stored.palette is not None:
        return None
    return float(stored.values.max()) / stored.white or None


def read_picture_mask(path: Path) -> StoredMask:
    """Read a mask without interpretation of its values.

    Raises:
        ValueError: when the file is not a single gray, palette or color picture, has indices beyond its palette, has 0
            as white, or has colors that contradict its opacity.
    """
    with translate_decoding_errors(path):
        return _as_mask(decode_picture(path))


def read_unique_picture_values(path: Path) -> tuple[tuple[int, int], StoredMask]:
    """Read (H, W) of a mask, and its unique values as a mask of shape (1, N), mostly at the cost of decoding alone."""
    with translate_decoding_errors(path):
        if not is_tiff(path):
            with open_pillow(path) as picture:
                if picture.mode in GRAY_MODES:
                    return read_picture_header(path).shape, _unique_values(picture, path)
        mask = _as_mask(decode_picture(path))
    height, width = mask.values.shape
    return (height, width), replace(mask, values=np.unique(mask.values)[None])


def picture_shape(path: Path) -> tuple[int, int]:
    """Read (H, W) of the displayed picture from the file's header."""
    with translate_decoding_errors(path):
        return read_picture_header(path).shape


def exif_orientation(path: Path) -> int:
    """Read the EXIF or TIFF orientation from the file's header: 1..8, 1 = stored as displayed."""
    with translate_decoding_errors(path):
        return read_picture_header(path).orientation


def exif_hint(image: Path, image_shape: Sequence[int], mask_shape: Sequence[int]) -> str:
    """Return a clause, for a message about two sizes, that EXIF turns the image but not its mask.

    Args:
        image: the file.
        image_shape: (H, W) as displayed.
        mask_shape: (H, W) of its mask.

    Returns:
        "; ..." or, if EXIF is not the reason, an empty text.
    """
    if tuple(mask_shape) != tuple(image_shape)[::-1] or image.suffix.lower() not in PICTURE_SUFFIXES:
        return ""
    orientation = exif_orientation(image)
    if orientation == 1:
        return ""
    return f"; the image's EXIF orientation {orientation} turns it; draw the mask on the displayed image"


def as_rgb(stored: StoredPicture, window: Sequence[float] | None) -> np.ndarray:
    """Scale the stored pixels of a picture to [0, 1].

    Args:
        stored: the picture.
        window: as for `read_picture`.

    Returns:
        float32 (H, W, 3); channels come first in memory, which saves a copy when networks take them first.

    Raises:
        UnsupportedFileError: when the range of the values is unknown.
    """
    values, low, high = stored.values, 0.0, stored.white
    if stored.palette is not None:
        values, high = (
            _checked_palette(stored, stored.palette)[values],
            255 if stored.palette.dtype == np.uint8 else 65535,
        )
    elif window is not None:
        low, high = window
    elif high is None or (values.dtype.kind == "f" and not (values.min() >= 0 and values.max() <= 1)):
        raise UnsupportedFileError(
            f"{values.dtype} values {values.min()}..{values.max()} have an unknown range; set intensity_window to the "
            "values of black and white, or save it with 8 or 16 unsigned bits"
        )
    channels = np.empty((3, *values.shape[:2]), dtype=np.float32)
    channels[:] = values if values.ndim == 2 else np.moveaxis(values, -1, 0)
    if low:
        channels -= np.float32(low)
    channels /= np.float32(high - low)
    if window is not None:
        np.clip(channels, 0, 1, out=channels)
    return np.moveaxis(np.subtract(1, channels, out=channels) if stored.inverted else channels, 0, -1)


def _checked_palette(stored: StoredPicture, palette: np.ndarray) -> np.ndarray:
    highest = int(stored.values.max())
    if highest >= len(palette):
        raise UnsupportedFileError(
            f"it holds the index {highest} but its palette has {len(palette)} colors; save it again"
        )
    return palette


def _as_mask(stored: StoredPicture) -> StoredMask:
    if stored.mode is not None:
        raise UnsupportedFileError(f"a mask of the mode {stored.mode} is not supported; save it as an 8-bit gray PNG")
    if stored.inverted:  # tifffile writes boolean masks like this, with 1 as foreground, but viewers show 0 as white
        raise UnsupportedFileError("its 0 is white, so that either value may be foreground; save it as PNG")
    if stored.palette is not None:
        palette = _checked_palette(stored, stored.palette)
        return StoredMask(
            stored.values, palette=palette if palette.dtype == np.uint8 else (palette >> 8).astype(np.uint8)
        )
    values, colored = _merge_channels(stored)
    if stored.alpha is not None and _shape_is_in_alpha(values, stored, stored.alpha):
        return StoredMask(stored.alpha, white=stored.white, by_alpha=True)
    return StoredMask(values, stored.lossy, colored, white=stored.white)


def _merge_channels(stored: StoredPicture) -> tuple[np.ndarray, bool]:
    """Return the brightest channel, and whether the channels differ."""
    if stored.values.ndim == 2:
        return stored.values, False
    brightest = stored.values.max(axis=-1)
    spread = brightest - stored.values.min(axis=-1)
    return brightest, bool(spread.max() > (CHROMA_NOISE if stored.lossy else 0))


def _shape_is_in_alpha(values: np.ndarray, stored: StoredPicture, alpha: np.ndarray) -> bool:
    """Return whether only the opacity shows the mask: it varies, and all pixels have one color."""
    if stored.white is None or (alpha == stored.white).all():
        return False
    if (stored.values == stored.values[0, 0]).all():
        return True
    if values[alpha < OPAQUE_HALF * stored.white].any():
        raise UnsupportedFileError(
            "its transparency hides pixels that are not black, so that the visible or the stored pixels may be "
            "foreground; save it as an 8-bit gray PNG"
        )
    return False


def _unique_values(picture: Image.Image, path: Path) -> StoredMask:
    lossy, unit = picture.format in ("JPEG", "MPO"), gray_step(path, picture)
    values = np.flatnonzero(picture.histogram()).astype(np.uint8)
    if picture.mode == "1":
        return StoredMask(values[None] // 255, lossy, white=1)
    return StoredMask(values[None] // unit, lossy, white=255 // unit)
