"""Decoding of PNG, JPEG, BMP and TIFF pictures and masks.

Pillow decodes PNG, JPEG and BMP. TIFF goes through tifffile, because the colour frames of CVC-ClinicDB claim to be
grey: Pillow refuses them and OpenCV reads them as grey without a word.

The EXIF orientation of a picture is not applied: masks carry no such tag and lie on the grid of the stored pixels, and
so do the predictions that are written back.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

__all__ = [
    "PICTURE_SUFFIXES",
    "StoredMask",
    "picture_shape",
    "read_grey_picture",
    "read_mask_values",
    "read_picture",
    "read_picture_mask",
    "refusing_damage",
]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
TIFF_SUFFIXES = (".tif", ".tiff")
PILLOW_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
LOSSY_FORMATS = ("JPEG", "MPO")  # a JPEG of several pictures calls itself MPO
MASK_MODES = ("1", "L", "P", "RGB", "I")  # how Pillow's names begin: LA, RGBA and I;16 are among them
# No, Adobe deflate, PackBits and deflate compression: what tifffile decodes without its optional codecs. Pillow decodes
# the others, so that a file reads the same whether those codecs are installed or not.
TIFFFILE_COMPRESSIONS = (1, 8, 32773, 32946)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = range(4)  # TIFF's PhotometricInterpretation
# What decoders raised for files with damaged bytes; MemoryError where a damaged header announces terabytes.
DECODING_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    IndexError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class StoredMask:
    """A mask as its file stores it.

    Args:
        values: stored values, or palette indices, of shape (H, W) or (X, Y, Z); the brightest channel of a colour mask.
        lossy: the file went through JPEG, so that values lie only near what was meant.
        coloured: the colour channels differ.
        palette: colours of the indices, (256, 3) uint8; None where the file has no palette.
    """

    values: np.ndarray
    lossy: bool = False
    coloured: bool = False
    palette: np.ndarray | None = None


@contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into one error that names the file.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file cannot be decoded.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no file {path}.") from error
    except DECODING_ERRORS as error:
        raise ValueError(f"{path} cannot be read: {error}. If the file is damaged, replace it.") from error


def read_picture(path: Path, intensity_window: tuple[float, float] | None = None) -> np.ndarray:
    """Read a picture as RGB; transparency is dropped.

    Args:
        path: a file with one of `PICTURE_SUFFIXES`.
        intensity_window: the stored values that become 0 and 1; None = the range of the file's type.

    Returns:
        float32 of shape (H, W, 3) in [0, 1].

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file cannot be decoded or is no single grey or colour picture.
    """
    if _belongs_to_tifffile(path):
        return _tiff_picture(path, intensity_window)
    with refusing_damage(path), Image.open(path, formats=PILLOW_FORMATS) as picture:
        if picture.mode.startswith("I"):
            return _grey_to_rgb(_scale(np.asarray(picture), 65535, intensity_window))
        return _scale(np.asarray(picture.convert("RGB")), 255, intensity_window)


def read_grey_picture(path: Path, at_least: int) -> tuple[tuple[int, int], Image.Image]:
    """Decode a picture to 8-bit grey, which takes no longer than decoding alone.

    All of the file is decoded, so that damage is found where `read_picture` finds it, but a JPEG is scaled down to not
    less than the wanted size on the way.

    Args:
        path: a file with one of `PICTURE_SUFFIXES`.
        at_least: the pixels of its shorter side that are kept, where it has as many.

    Returns:
        (H, W) of the stored picture, and what it shows.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file cannot be decoded or is no single grey or colour picture.
    """
    if not _belongs_to_tifffile(path):
        with refusing_damage(path), Image.open(path, formats=PILLOW_FORMATS) as picture:
            if not picture.mode.startswith("I"):
                shape = picture.height, picture.width
                picture.draft("L", (at_least, at_least))
                return shape, picture.convert("L")
    whole = Image.fromarray(np.rint(read_picture(path) * 255).astype(np.uint8))
    return (whole.height, whole.width), whole.convert("L")


def read_picture_mask(path: Path) -> StoredMask:
    """Read a mask without interpreting its values.

    Args:
        path: a file with one of `PICTURE_SUFFIXES`.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file cannot be decoded or is no single grey, palette or colour picture.
    """
    if _belongs_to_tifffile(path):
        return _tiff_mask(path)
    with refusing_damage(path), Image.open(path, formats=PILLOW_FORMATS) as picture:
        if not picture.mode.startswith(MASK_MODES):
            raise ValueError(f"a mask of the mode {picture.mode} is not supported; save it as an 8-bit grey PNG")
        values, coloured = _merge_channels(np.asarray(picture))
        return StoredMask(values, picture.format in LOSSY_FORMATS, coloured, _palette(picture))


def read_mask_values(path: Path) -> tuple[tuple[int, int], StoredMask]:
    """Read which values occur in a mask, which for most takes no longer than decoding alone.

    Args:
        path: a file with one of `PICTURE_SUFFIXES`.

    Returns:
        (H, W), and a mask of one row in which every value that occurs stands once.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: as for `read_picture_mask`.
    """
    if not _belongs_to_tifffile(path):
        with refusing_damage(path), Image.open(path, formats=PILLOW_FORMATS) as picture:
            if picture.mode in ("1", "L", "P"):
                values = np.flatnonzero(picture.histogram()).astype(np.uint8)
                values = values // 255 if picture.mode == "1" else values
                lossy = picture.format in LOSSY_FORMATS
                return (picture.height, picture.width), StoredMask(values[None], lossy, palette=_palette(picture))
    mask = read_picture_mask(path)
    height, width = mask.values.shape
    return (height, width), replace(mask, values=np.unique(mask.values)[None])


def picture_shape(path: Path) -> tuple[int, int]:
    """Read (H, W) from the file's header, without decoding the pixels.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the header cannot be read.
    """
    if path.suffix.lower() in TIFF_SUFFIXES:
        with refusing_damage(path), tifffile.TiffFile(path) as tiff:
            page = _only_page(tiff)
            return page.imagelength, page.imagewidth
    with refusing_damage(path), Image.open(path, formats=PILLOW_FORMATS) as picture:
        return picture.height, picture.width


def _scale(values: np.ndarray, white: float, intensity_window: tuple[float, float] | None) -> np.ndarray:
    """Bring stored values to [0, 1]: 0 and `white`, or the window's ends, become 0 and 1."""
    if intensity_window is None:
        return values.astype(np.float32) / np.float32(white)
    low, high = intensity_window
    return np.clip((values.astype(np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)


def _palette(picture: Image.Image) -> np.ndarray | None:
    """Return all 256 colours, black where the file has fewer."""
    if picture.mode != "P":
        return None
    colours = np.zeros((256, 3), dtype=np.uint8)
    stored = np.asarray(picture.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
    colours[: len(stored)] = stored
    return colours


def _grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=-1)


def _merge_channels(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """Reduce (H, W) or (H, W, C), with alpha last for C = 2 and 4, to (H, W) and tell whether colours differed."""
    if values.ndim == 2:
        return values.astype(np.uint8) if values.dtype == bool else values, False
    colours = values[..., : 1 if values.shape[-1] < 3 else 3]
    brightest = colours.max(axis=-1)
    return brightest, bool((colours != brightest[..., None]).any())


def _belongs_to_tifffile(path: Path) -> bool:
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return False
    with refusing_damage(path), tifffile.TiffFile(path) as tiff:
        return int(_only_page(tiff).compression) in TIFFFILE_COMPRESSIONS


def _only_page(tiff: tifffile.TiffFile) -> tifffile.TiffPage:
    if len(tiff.pages) != 1:
        raise ValueError(f"it holds {len(tiff.pages)} pages where one is expected; save each as its own file")
    return tiff.pages.first


def _tiff_values(page: tifffile.TiffPage) -> np.ndarray:
    """Decode a page to (H, W) or (H, W, C)."""
    last = page.dataoffsets[-1] + page.databytecounts[-1]
    if last > page.parent.filehandle.size:
        # tifffile fills what is missing with zeros in some of these cases.
        raise ValueError(f"its pixels end at byte {last} but the file at byte {page.parent.filehandle.size}")
    values = page.asarray()
    if page.axes == "SYX":
        return np.moveaxis(values, 0, -1)
    if page.axes not in ("YX", "YXS"):
        raise ValueError(f"its axes are {page.axes} where a picture has YX, YXS or SYX")
    return values


def _colormap(page: tifffile.TiffPage) -> np.ndarray:
    """Return the (N, 3) uint16 colours of a palette."""
    if page.colormap is None:
        raise ValueError("its colours are missing")
    return page.colormap.T


def _tiff_picture(path: Path, intensity_window: tuple[float, float] | None) -> np.ndarray:
    with refusing_damage(path), tifffile.TiffFile(path) as tiff:
        page = _only_page(tiff)
        values, photometric = _tiff_values(page), int(page.photometric)
        if photometric == PALETTE:
            return _colormap(page)[values].astype(np.float32) / np.float32(65535)
        if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
            raise ValueError(f"its colour space {photometric} is not supported; save it as RGB")
        scaled = _scale_by_type(values, int(page.bitspersample), intensity_window)
        scaled = 1 - scaled if photometric == WHITE_IS_ZERO else scaled
        if scaled.ndim == 2 or scaled.shape[-1] < 3:
            return _grey_to_rgb(scaled if scaled.ndim == 2 else scaled[..., 0])
        return np.ascontiguousarray(scaled[..., :3])


def _scale_by_type(values: np.ndarray, bits: int, intensity_window: tuple[float, float] | None) -> np.ndarray:
    if intensity_window is not None:
        return _scale(values, 1, intensity_window)
    if values.dtype == bool or (values.dtype.kind == "u" and bits <= 16):
        return values.astype(np.float32) / np.float32(2**bits - 1)
    if values.dtype.kind == "f" and values.min() >= 0 and values.max() <= 1:
        return values.astype(np.float32)
    raise ValueError(
        f"{values.dtype} values {values.min()}..{values.max()} have no known range; save it with 8 or 16 bits"
    )


def _tiff_mask(path: Path) -> StoredMask:
    with refusing_damage(path), tifffile.TiffFile(path) as tiff:
        page = _only_page(tiff)
        if int(page.photometric) == WHITE_IS_ZERO:
            raise ValueError("0 is white in it, so that foreground may be either value; save it as PNG")
        values, coloured = _merge_channels(_tiff_values(page))
        palette = (_colormap(page) >> 8).astype(np.uint8) if int(page.photometric) == PALETTE else None
        return StoredMask(values, coloured=coloured, palette=palette)
