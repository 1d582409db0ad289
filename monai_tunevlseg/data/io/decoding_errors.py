"""Translation of decoding errors into one error that names the file."""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

__all__ = ["UnsupportedFileError", "check_pixel_count", "translate_decoding_errors"]

# Raised by Pillow, tifffile, imagecodecs and nibabel for damaged bytes and for formats that they do not support.
DECODING_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    ImportError,
    RuntimeError,
    struct.error,
    zlib.error,
)


class UnsupportedFileError(ValueError):
    """An intact file that is not supported; the message is a clause that names reason and remedy."""


@contextmanager
def translate_decoding_errors(path: Path) -> Iterator[None]:
    """Translate the errors of decoders into one that names the file.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when the file cannot be decoded, is too large or is not a regular file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # opening a pipe would wait forever
            raise UnsupportedFileError("it is not a regular file; give an image file")
        yield
    except FileNotFoundError as error:
        if path.exists():
            raise  # the missing file is another one, named by the header
        raise FileNotFoundError(f"no file {path}.") from error
    except UnsupportedFileError as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{path} cannot be read: {str(error).split(',')[0]}; cut it into tiles, or raise "
            "PIL.Image.MAX_IMAGE_PIXELS."
        ) from error
    except MemoryError as error:
        raise ValueError(
            f"{path} cannot be read: its pixels do not fit into the free memory; cut it into tiles, lower "
            "num_workers, or replace it if it is damaged."
        ) from error
    except DECODING_ERRORS as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise ValueError(f"{path} cannot be read: {reason}. If the file is damaged, replace it.") from error


def check_pixel_count(height: int, width: int) -> None:
    """Apply Pillow's limit, twice `PIL.Image.MAX_IMAGE_PIXELS`, to pictures of every format.

    Raises:
        DecompressionBombError: when a picture has more pixels.
    """
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and height * width > 2 * limit:
        raise Image.DecompressionBombError(f"Image size ({height * width} pixels) exceeds limit of {2 * limit} pixels")
