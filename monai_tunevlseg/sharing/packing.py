"""Pack a bundle as a zip file in the style of the Model Zoo, NAME_vX.Y.Z.zip, reproducible to the byte."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from monai_tunevlseg.atomic_files import atomic_file
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.messages import shorten

__all__ = ["MAX_FILE_BYTES", "pack_bundle", "zip_path"]

MAX_FILE_BYTES = 25_000_000
VERSION = re.compile(r"\d+\.\d+\.\d+")
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the earliest in the zip format
_FILE_MODE = 0o100644 << 16


def zip_path(folder: str | Path, version: str) -> Path:
    """Return the path of a bundle's zip file, beside its folder."""
    return Path(folder).with_name(f"{Path(folder).name}_v{version}.zip")


def pack_bundle(folder: str | Path) -> Path:
    """Pack the folder of a bundle; times, modes and order of the files on disk have no effect.

    Files are stored without compression, which would make the bytes depend on the version of zlib; weights hardly
    shrink.

    Returns:
        path of the zip file, beside the folder.

    Raises:
        FileExistsError: when the zip file exists.
        ValueError: when a file is larger than 25 MB, the folder has links or hidden files, which could contain private
            data, or ``metadata.json`` has no valid version; names all of them.
    """
    folder = Path(folder)
    everything = sorted(folder.rglob("*"))
    if refused := [path for path in everything if path.is_symlink() or path.name.startswith(".")]:
        names = shorten(path.relative_to(folder).as_posix() for path in refused)
        raise ValueError(f"{folder.name} has links or hidden files: {names}; remove them before packing.")
    files = [path for path in everything if path.is_file()]
    if large := [path for path in files if path.stat().st_size > MAX_FILE_BYTES]:
        sizes = ", ".join(f"{path.relative_to(folder)} ({path.stat().st_size / 1e6:.1f} MB)" for path in large)
        raise ValueError(
            f"{folder.name} has files larger than 25 MB, the limit of the Model Zoo: {sizes}; share them elsewhere, "
            "or train fewer parameters (a smaller method, unfreeze null)."
        )
    target = zip_path(folder, _version(folder / "configs" / "metadata.json"))
    if target.exists():
        raise FileExistsError(f"{target} exists; remove it, or pass another --version.")
    with atomic_file(target) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            member = zipfile.ZipInfo((Path(folder.name) / path.relative_to(folder)).as_posix(), _TIMESTAMP)
            member.external_attr = _FILE_MODE
            member.create_system = 3  # Unix, on every system
            archive.writestr(member, path.read_bytes())
    return target


def _version(metadata: Path) -> str:
    version = read_json_object(metadata).get("version")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise ValueError(f"{metadata} has version {version!r}; expected X.Y.Z, such as 0.1.0.")
    return version
