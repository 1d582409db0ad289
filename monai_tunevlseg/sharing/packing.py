"""Pack a bundle as a zip file in the style of the Model Zoo, NAME_vX.Y.Z.zip, reproducible to the byte."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from monai_tunevlseg.atomic_files import atomic_file
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.messages import shorten
from monai_tunevlseg.sharing.large_files import write_large_files

__all__ = ["bundle_files", "pack_bundle", "read_version", "zip_path"]

VERSION = re.compile(r"\d+\.\d+\.\d+")
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the earliest in the zip format
_FILE_MODE = 0o100644 << 16


def zip_path(folder: str | Path, version: str) -> Path:
    """Return the path of a bundle's zip file, beside its folder."""
    return Path(folder).with_name(f"{Path(folder).name}_v{version}.zip")


def bundle_files(folder: Path) -> list[Path]:
    """Return all files of a bundle, sorted.

    Raises:
        ValueError: when the folder has links or hidden files, which could contain private data; names all of them.
    """
    everything = sorted(folder.rglob("*"))
    if refused := [path for path in everything if path.is_symlink() or path.name.startswith(".")]:
        names = shorten(path.relative_to(folder).as_posix() for path in refused)
        raise ValueError(f"{folder.name} has links or hidden files: {names}; remove them before packing.")
    return [path for path in everything if path.is_file()]


def pack_bundle(folder: str | Path, large_files_url: str | None = None) -> Path:
    """Pack the folder of a bundle; times, modes and order of the files on disk have no effect.

    Files larger than 25 MB, the limit of the Model Zoo, are not packed; ``large_files.yml`` lists them. The others are
    stored without compression, which would make the bytes depend on the version of zlib; weights hardly shrink.

    Args:
        folder: folder of the bundle.
        large_files_url: URL of the folder that will hold the large files; None = to be filled in.

    Returns:
        path of the zip file, beside the folder.

    Raises:
        FileExistsError: when the zip file exists.
        ValueError: when the folder has links or hidden files, ``metadata.json`` has no valid version, or
            ``large_files_url`` is not a URL.
    """
    folder = Path(folder)
    bundle_files(folder)  # before anything is written
    target = zip_path(folder, read_version(folder))
    if target.exists():
        raise FileExistsError(f"{target} exists; remove it, or pass another --version.")
    large = write_large_files(folder, large_files_url)
    files = [path for path in bundle_files(folder) if path not in large]
    with atomic_file(target) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            member = zipfile.ZipInfo((Path(folder.name) / path.relative_to(folder)).as_posix(), _TIMESTAMP)
            member.external_attr = _FILE_MODE
            member.create_system = 3  # Unix, on every system
            archive.writestr(member, path.read_bytes())
    return target


def read_version(folder: Path) -> str:
    """Return the version in the metadata of a bundle.

    Raises:
        FileNotFoundError: when the folder has no metadata.
        ValueError: when the version is not of the form X.Y.Z.
    """
    metadata = folder / "configs" / "metadata.json"
    version = read_json_object(metadata).get("version")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise ValueError(f"{metadata} has version {version!r}; expected X.Y.Z, such as 0.1.0.")
    return version
