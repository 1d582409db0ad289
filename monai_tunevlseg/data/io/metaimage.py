"""Decoding of MetaImages: a text header `.mhd`, and pixels in a `.raw` or, compressed, a `.zraw` file beside it.

Without ITK: for damaged compressed pixels, ITK 5.4 prints a line and returns uninitialized memory.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_tunevlseg.data.io.decoding_errors import UnsupportedFileError, translate_decoding_errors
from monai_tunevlseg.data.io.voxel_data import VoxelProxy, check_voxel_count

__all__ = ["METAIMAGE_SUFFIX", "PIXEL_SUFFIXES", "load_metaimage", "pixel_file"]

METAIMAGE_SUFFIX = ".mhd"
PIXEL_SUFFIXES = (".raw", ".zraw")
ELEMENT_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
MAX_HEADER_BYTES = 65536  # real ones have some hundreds
# The axes of a MetaImage point to left, posterior and superior (LPS), those of NIfTI to right, anterior and superior.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
REQUIRED = ("NDims", "DimSize", "ElementType", "ElementDataFile")
# The only supported values; other values mean forms that this reader does not know.
EXPECTED = {"ObjectType": "Image", "BinaryData": "True", "HeaderSize": "0", "ElementNumberOfChannels": "1"}


def load_metaimage(path: Path) -> nib.Nifti1Image:
    """Open a MetaImage, of two or three axes, as ITK converts it to NIfTI: the same pixels in the same order of axes.

    Returns:
        the image, whose pixels are read on every use.

    Raises:
        FileNotFoundError: when the file or the file with its pixels does not exist.
        ValueError: when header or pixels are damaged or have a form that is not supported.
    """
    with translate_decoding_errors(path):
        header = _read_header(path)
        shape, dtype = _form(header)
        check_voxel_count(shape)
        _pixel_file(path, header)
        values = VoxelProxy(shape, dtype.newbyteorder("="), lambda: _read_pixels(path, header))
        return nib.Nifti1Image(values, _affine(header, len(shape)), dtype=values.dtype)


def pixel_file(path: Path) -> Path:
    """Return the file with the pixels of an `.mhd` file.

    Raises:
        FileNotFoundError: when the header or the file with the pixels does not exist.
        ValueError: when the header is damaged or names no file beside it.
    """
    with translate_decoding_errors(path):
        return _pixel_file(path, _read_header(path))


def _read_header(path: Path) -> dict[str, str]:
    if path.stat().st_size > MAX_HEADER_BYTES:
        raise ValueError(f"it has {path.stat().st_size} bytes, too many for a header")
    lines = [line for line in path.read_text(encoding="latin-1").splitlines() if line.strip()]
    unexpected = [line for line in lines if "=" not in line]
    if unexpected:
        raise ValueError(f"{unexpected[0][:40]!r} is not a line of a MetaImage's header")
    header = {key.strip(): value.strip() for key, value in (line.split("=", 1) for line in lines)}
    for key in REQUIRED:
        if key not in header:
            raise ValueError(f"its header has no {key}")
    for key, expected in EXPECTED.items():
        if header.get(key, expected) != expected:
            raise UnsupportedFileError(f"its {key} is {header[key]}; supported is {expected}, else save it as NIfTI")
    return header


def _form(header: dict[str, str]) -> tuple[tuple[int, ...], np.dtype]:
    """Return the size, first axis first, (X, Y) or (X, Y, Z), and the stored type."""
    shape = tuple(int(size) for size in header["DimSize"].split())
    if len(shape) not in (2, 3) or min(shape) < 1 or len(shape) != int(header["NDims"]):
        raise UnsupportedFileError(f"its size is {header['DimSize']} in {header['NDims']} dimensions; save 2 or 3")
    if header["ElementType"] not in ELEMENT_TYPES:
        raise UnsupportedFileError(f"its ElementType {header['ElementType']} is not supported; save it as NIfTI")
    big_endian = "True" in (header.get("BinaryDataByteOrderMSB"), header.get("ElementByteOrderMSB"))
    return shape, np.dtype((">" if big_endian else "<") + ELEMENT_TYPES[header["ElementType"]])


def _read_pixels(path: Path, header: dict[str, str]) -> np.ndarray:
    with translate_decoding_errors(path):
        shape, dtype = _form(header)
        content = _read_content(path, header, int(np.prod(shape, dtype=object)) * dtype.itemsize)
        return np.frombuffer(content, dtype).reshape(shape, order="F").astype(dtype.newbyteorder("="))


def _read_content(path: Path, header: dict[str, str], size: int) -> bytes:
    source = _pixel_file(path, header)
    content = source.read_bytes()
    if header.get("CompressedData") == "True":
        decompressor = zlib.decompressobj()
        content = decompressor.decompress(content, size + 1)
        if len(content) == size and not decompressor.eof:
            raise ValueError(f"{source.name} ends before its checksum")
    if len(content) != size:
        raise ValueError(f"{source.name} holds {len(content)} or more bytes of pixels, its header says {size}")
    return content


def _pixel_file(path: Path, header: dict[str, str]) -> Path:
    name = header["ElementDataFile"]
    if name.split()[:1] in (["LOCAL"], ["LIST"]) or "%" in name or Path(name).name != name:
        raise UnsupportedFileError(f"its pixels are in {name}; save them as one file beside the header")
    source = path.parent / name
    if not source.is_file():
        raise FileNotFoundError(f"no file {source} with the pixels of {path}.")
    return source


def _affine(header: dict[str, str], axes: int) -> np.ndarray:
    """Return the (4, 4) matrix from pixel indices to millimeters; a 2-D image lies in the plane z = 0."""
    spacing = _numbers(header, ("ElementSpacing", "ElementSize"), np.ones(axes))
    origin = _numbers(header, ("Offset", "Position", "Origin"), np.zeros(axes))
    # one row for each axis of the image
    directions = _numbers(header, ("TransformMatrix", "Rotation", "Orientation"), np.eye(axes).ravel())
    affine = np.eye(4)
    affine[:axes, :axes] = directions.reshape(axes, axes).T * spacing
    affine[:axes, 3] = origin
    return LPS_TO_RAS @ affine


def _numbers(header: dict[str, str], keys: tuple[str, ...], default: np.ndarray) -> np.ndarray:
    stated = next((header[key] for key in keys if key in header), None)
    if stated is None:
        return default
    numbers = np.asarray([float(number) for number in stated.split()])
    if numbers.shape != default.shape or not np.isfinite(numbers).all():
        raise ValueError(f"its {keys[0]} is {stated} instead of {default.size} numbers")
    return numbers
