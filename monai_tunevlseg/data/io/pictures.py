"""Pictures and masks from PNG, JPEG, BMP, GIF and TIFF, by one rule for all of them.

Both are read as viewers display them: an EXIF (or TIFF) orientation is applied, to masks too, and predictions are
written in that frame.
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
    "exif_orientation",
    "picture_shape",
    "read_gray_picture",
    "read_unique_picture_values",
    "read_picture",
    "read_picture_mask",
    "peak_fraction",
    "exif_hint",
]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff")
CHROMA_NOISE = 32
"""Channels of a grey JPEG that differ by no more, of 255, differ because it was compressed."""
OPAQUE_HALF = 0.5
"""With a smaller share of the opacity's range, viewers show more of what is behind a pixel than of itself."""
QUICK_MODES = ("1", "L", "LA", "RGB", "RGBA", "CMYK")
"""What Pillow makes grey as `read_picture` followed by it would."""
DEEP = 255
"""A picture whose white is above has more than 8 bits."""


@dataclass(frozen=True)
class StoredMask:
    """A mask as its file stores it.

    Args:
        values: stored values, or palette indices, of shape (H, W) or (X, Y, Z); the brightest channel of a color mask,
            or its opacity where that alone shows a shape.
        lossy: the file went through JPEG, so that values lie only near what was meant.
        colored: the color channels differ.
        palette: colors of the indices, (N, 3) uint8; None where the file has no palette.
        white: the stored value that means full brightness, 255; None where the type has no known range.
        by_alpha: `values` are the opacity.
    """

    values: np.ndarray
    lossy: bool = False
    colored: bool = False
    palette: np.ndarray | None = None
    white: float | None = 255
    by_alpha: bool = False


def read_picture(path: Path, intensity_window: Sequence[float] | None = None) -> np.ndarray:
    """Read a picture as RGB; transparency is dropped.

    Args:
        path: a file with one of `PICTURE_SUFFIXES`.
        intensity_window: the stored values that become 0 and 1 (1 and 0 in a TIFF whose 0 is white); None = the range
            of the file's type, and 0 and 1 themselves for floating-point numbers. A palette's colors have no window.

    Returns:
        float32 of shape (H, W, 3) in [0, 1].

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file cannot be decoded, is not a single grey or color picture or has no known range.
    """
    with translate_decoding_errors(path):
        return as_rgb(decode_picture(path), intensity_window)


def read_gray_picture(
    path: Path, at_least: int, intensity_window: Sequence[float] | None = None
) -> tuple[tuple[int, int], Image.Image]:
    """Decode a picture to 8-bit grey, which takes no longer than decoding alone.

    All of the file is decoded, so that damage is found where `read_picture` finds it, but a JPEG is scaled down to not
    less than the wanted size on the way.

    Args:
        path: a file with one of `PICTURE_SUFFIXES`.
        at_least: the pixels of its shorter side that are kept, where it has as many.
        intensity_window: as for `read_picture`.

    Returns:
        (H, W) of the displayed picture, and what it shows, in 8 bits.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: as for `read_picture`.
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
    """Return which share of its type's range the brightest pixel of a picture reaches, in (0, 1].

    Returns:
        None for black pictures, and for those whose type leaves no doubt: 8 bits or fewer, and floating-point numbers.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file cannot be decoded.
    """
    with translate_decoding_errors(path):
        if not read_picture_header(path).deep:
            return None
        stored = decode_picture(path)
    if stored.white is None or stored.white <= DEEP or stored.palette is not None:
        return None
    return float(stored.values.max()) / stored.white or None


def read_picture_mask(path: Path) -> StoredMask:
    """Read a mask without interpreting its values.

    Args:
        path: a file with one of `PICTURE_SUFFIXES`.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file cannot be decoded, is not a single grey, palette or color picture, has indices beyond
            its palette or 0 as white, or colors that contradict its opacity.
    """
    with translate_decoding_errors(path):
        return _as_mask(decode_picture(path))


def read_unique_picture_values(path: Path) -> tuple[tuple[int, int], StoredMask]:
    """Read which values occur in a mask, which for most takes no longer than decoding alone.

    Args:
        path: a file with one of `PICTURE_SUFFIXES`.

    Returns:
        (H, W), and a mask of one row in which every value that occurs stands once.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: as for `read_picture_mask`.
    """
    with translate_decoding_errors(path):
        if not is_tiff(path):
            with open_pillow(path) as picture:
                if picture.mode in GRAY_MODES:
                    return read_picture_header(path).shape, _occurring(picture, path)
        mask = _as_mask(decode_picture(path))
    height, width = mask.values.shape
    return (height, width), replace(mask, values=np.unique(mask.values)[None])


def picture_shape(path: Path) -> tuple[int, int]:
    """Read (H, W) of the displayed picture from the file's header, without decoding the pixels.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the header cannot be read.
    """
    with translate_decoding_errors(path):
        return read_picture_header(path).shape


def exif_orientation(path: Path) -> int:
    """Read the EXIF or TIFF orientation from the file's header: 1..8, 1 = stored as it is displayed.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the header cannot be read.
    """
    with translate_decoding_errors(path):
        return read_picture_header(path).orientation


def exif_hint(image: Path, image_shape: Sequence[int], mask_shape: Sequence[int]) -> str:
    """Say for a message about two sizes, as a clause with its semicolon, that EXIF turns the image and not the mask.

    Args:
        image: the file.
        image_shape: (H, W) as displayed.
        mask_shape: (H, W) of its mask.

    Returns:
        an empty text where EXIF is not the reason.
    """
    if tuple(mask_shape) != tuple(image_shape)[::-1] or image.suffix.lower() not in PICTURE_SUFFIXES:
        return ""
    orientation = exif_orientation(image)
    if orientation == 1:
        return ""
    return f"; the image's EXIF orientation {orientation} turns it, so draw the mask on the image as it is displayed"


def as_rgb(stored: StoredPicture, window: Sequence[float] | None) -> np.ndarray:
    """Bring stored pixels into [0, 1].

    Args:
        stored: of a picture.
        window: as for `read_picture`.

    Returns:
        float32 (H, W, 3); the memory has channels first, as networks do, so that they are not copied again.

    Raises:
        UnsupportedFileError: when the values have no known range.
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
            f"{values.dtype} values {values.min()}..{values.max()} have no known range; set intensity_window to those "
            "that are black and white, or save it with 8 or 16 bits without a sign"
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
            f"it holds the index {highest} but its palette has {len(palette)} colors; save it anew"
        )
    return palette


def _as_mask(stored: StoredPicture) -> StoredMask:
    if stored.mode is not None:
        raise UnsupportedFileError(f"a mask of the mode {stored.mode} is not supported; save it as an 8-bit grey PNG")
    if stored.inverted:  # tifffile writes boolean masks so, and means 1, while viewers show 0 as white
        raise UnsupportedFileError("0 is white in it, so that foreground may be either value; save it as PNG")
    if stored.palette is not None:
        palette = _checked_palette(stored, stored.palette)
        return StoredMask(stored.values, palette=palette if palette.dtype == np.uint8 else _to_8_bits(palette))
    values, colored = _merge_channels(stored)
    if stored.alpha is not None and _shape_is_in_alpha(values, stored, stored.alpha):
        return StoredMask(stored.alpha, white=stored.white, by_alpha=True)
    return StoredMask(values, stored.lossy, colored, white=stored.white)


def _to_8_bits(colors: np.ndarray) -> np.ndarray:
    return (colors >> 8).astype(np.uint8)


def _merge_channels(stored: StoredPicture) -> tuple[np.ndarray, bool]:
    """Reduce colors to the brightest channel, and say whether the channels differ."""
    if stored.values.ndim == 2:
        return stored.values, False
    brightest = stored.values.max(axis=-1)
    spread = brightest - stored.values.min(axis=-1)
    return brightest, bool(spread.max() > (CHROMA_NOISE if stored.lossy else 0))


def _shape_is_in_alpha(values: np.ndarray, stored: StoredPicture, alpha: np.ndarray) -> bool:
    """Return whether opacity shows the mask: the colors are the same everywhere, and not all of it is opaque."""
    if stored.white is None or (alpha == stored.white).all():
        return False
    if (stored.values == stored.values[0, 0]).all():
        return True
    if values[alpha < OPAQUE_HALF * stored.white].any():
        raise UnsupportedFileError(
            "its transparency hides pixels that are not black, so that foreground may be what it shows or what it "
            "stores; save it as an 8-bit grey PNG"
        )
    return False


def _occurring(picture: Image.Image, path: Path) -> StoredMask:
    lossy, unit = picture.format in ("JPEG", "MPO"), gray_step(path, picture)
    values = np.flatnonzero(picture.histogram()).astype(np.uint8)
    if picture.mode == "1":
        return StoredMask(values[None] // 255, lossy, white=1)
    return StoredMask(values[None] // unit, lossy, white=255 // unit)
