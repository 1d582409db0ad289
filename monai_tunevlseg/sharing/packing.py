"""Packing a bundle as the zoo does: NAME_vX.Y.Z.zip, the same bytes for the same files."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from monai_tunevlseg.atomic_files import atomic_file
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.messages import shorten

__all__ = ["LIMIT", "pack_bundle", "zip_path"]

LIMIT = 25_000_000  # bytes of one file
VERSION = re.compile(r"\d+\.\d+\.\d+")
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the first that the format knows
_MODE = 0o100644 << 16


def zip_path(folder: str | Path, version: str) -> Path:
    """Return where the packed bundle goes: beside its folder."""
    return Path(folder).with_name(f"{Path(folder).name}_v{version}.zip")


def pack_bundle(folder: str | Path) -> Path:
    """Pack a bundle's folder; times, modes and order of the files on disk do not count.

    Nothing is compressed: the bytes would depend on the version of zlib, and weights hardly shrink.

    Returns:
        the zip file, beside the folder.

    Raises:
        FileExistsError: when it is there already.
        ValueError: when a file is larger than 25 MB, there are links or hidden files, which could carry what is not
            meant to be shared, or ``metadata.json`` has no version; names all of them.
    """
    folder = Path(folder)
    everything = sorted(folder.rglob("*"))
    if strange := [path for path in everything if path.is_symlink() or path.name.startswith(".")]:
        names = shorten(path.relative_to(folder).as_posix() for path in strange)
        raise ValueError(f"{folder.name} holds links or hidden files: {names}; remove them before it is packed.")
    files = [path for path in everything if path.is_file()]
    if large := [path for path in files if path.stat().st_size > LIMIT]:
        sizes = ", ".join(f"{path.relative_to(folder)} ({path.stat().st_size / 1e6:.1f} MB)" for path in large)
        raise ValueError(
            f"{folder.name} has files of more than 25 MB, which the zoo does not take: {sizes}; share them elsewhere, "
            "or train fewer numbers (a smaller method, unfreeze null)."
        )
    target = zip_path(folder, _version(folder / "configs" / "metadata.json"))
    if target.exists():
        raise FileExistsError(f"{target} exists already; remove it, or pass another --version.")
    with atomic_file(target) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            member = zipfile.ZipInfo((Path(folder.name) / path.relative_to(folder)).as_posix(), _MOMENT)
            member.external_attr = _MODE
            member.create_system = 3  # Unix, wherever it is packed
            archive.writestr(member, path.read_bytes())
    return target


def _version(metadata: Path) -> str:
    version = read_json_object(metadata).get("version")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise ValueError(f"{metadata} gives the version {version!r} where X.Y.Z is expected, such as 0.1.0.")
    return version
