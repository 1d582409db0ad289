"""The files of a bundle, in a folder or a zip file, neither of which is trusted: nothing is unpacked or followed."""

from __future__ import annotations

import stat
import tempfile
import unicodedata
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from monai_tunevlseg.inspection.findings import Finding

__all__ = ["BundleSource", "FolderSource", "ZipSource", "leaves_folder", "open_bundle"]

MAX_FILES = 10_000
MAX_RATIO = 200  # of a member's size to its compressed size; weights and texts stay below 20
MAX_BYTES = 20 * 2**30  # of all members together
MIN_SUSPICIOUS_BYTES = 2**20  # small members may be all zeros


class BundleSource(ABC):
    """Files by their paths in the bundle, with ``/``.

    Attributes:
        names: paths of the regular files that can be read, sorted.
        findings: what is not such a file.
    """

    names: list[str]
    findings: list[Finding]

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""

    def read(self, name: str, most: int) -> bytes:
        """Return at most this number of bytes of a file."""
        with self.open(name) as stream:
            return stream.read(most)

    @contextmanager
    def seekable(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file for reading at any position."""
        with self.open(name) as stream:
            yield stream


class FolderSource(BundleSource):
    """The files of a folder; links are not followed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.names, self.findings = folder, [], []
        for path in sorted(folder.rglob("*")):
            name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
            if stat.S_ISLNK(mode):
                self.findings.append(Finding(name, "link", f"to {path.readlink()}"))
            elif stat.S_ISREG(mode):
                self.names.append(name)
            elif not stat.S_ISDIR(mode):
                self.findings.append(Finding(name, "special file", "neither a file nor a folder"))

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        return (self.folder / name).open("rb")


class ZipSource(BundleSource):
    """The members of a zip file, without the folder that holds all of them.

    Raises:
        ValueError: when the file is not a zip file, or has too many members.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise ValueError(f"{path} is neither a folder nor a readable zip file ({error}).") from error
        members = self.archive.infolist()
        if len(members) > MAX_FILES:
            raise ValueError(f"{path} has {len(members)} members; a bundle has at most {MAX_FILES}.")
        self.findings: list[Finding] = []
        self.members = {self._inside(member.filename): member for member in self._safe_members(members)}
        self.names = sorted(self.members)

    def open(self, name: str) -> IO[bytes]:
        """Open a member for reading."""
        return self.archive.open(self.members[name])

    @contextmanager
    def seekable(self, name: str) -> Iterator[IO[bytes]]:
        """Copy a member to a temporary file, at most as many bytes as the archive says."""
        with self.open(name) as stream, tempfile.TemporaryFile() as copy:
            left = self.members[name].file_size
            while left > 0 and (block := stream.read(min(left, 2**20))):
                copy.write(block)
                left -= len(block)
            copy.seek(0)
            yield copy

    def _safe_members(self, members: list[zipfile.ZipInfo]) -> Iterator[zipfile.ZipInfo]:
        tops = {PurePosixPath(member.filename).parts[:1] for member in members}
        only = next(iter(tops)) if len(tops) == 1 else ()
        self.prefix = f"{only[0]}/" if only and not leaves_folder(only[0]) else ""
        seen: set[str] = set()
        total = 0
        for member in members:
            total += member.file_size
            name = unicodedata.normalize("NFKC", member.filename).casefold().removesuffix("/")
            problem = _member_problem(member, name in seen, total)
            seen.add(name)
            if problem:
                self.findings.append(Finding(self._inside(member.filename), *problem))
            elif not member.is_dir():
                yield member

    def _inside(self, name: str) -> str:
        return name.removeprefix(self.prefix)


def open_bundle(path: str | Path) -> BundleSource:
    """Open a bundle.

    Args:
        path: a folder or a zip file.

    Raises:
        FileNotFoundError: when the path does not exist.
        ValueError: when it is neither.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no file or folder {path}; pass the folder or the zip file of a bundle.")
    return FolderSource(path) if path.is_dir() else ZipSource(path)


def leaves_folder(path: str) -> bool:
    """Return whether a path is absolute or leads out of its folder, on any system."""
    unified = path.replace("\\", "/")
    return unified.startswith(("/", "~")) or unified[1:3] == ":/" or ".." in unified.split("/")


def _member_problem(member: zipfile.ZipInfo, twice: bool, total: int) -> tuple[str, str] | None:
    """Return the kind and the text of a finding about a member of an archive."""
    name, mode = member.orig_filename, member.external_attr >> 16
    if leaves_folder(name) or any(char in name for char in "\\:\0"):
        return "path", "unpacking could write outside the folder of the bundle"
    if any(part in ("", ".") for part in name.removesuffix("/").split("/")):
        return "name", "several names lead to this file"
    if stat.S_ISLNK(mode):
        return "link", "a symbolic link"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "special file", "neither a file nor a folder"
    if twice:
        return "name", "several members have this name, on some systems or all"
    if member.flag_bits & 0x1:
        return "encrypted", "cannot be inspected"
    if total > MAX_BYTES or _is_bomb(member):
        return "size", f"{member.file_size} bytes, compressed to {member.compress_size}"
    return None


def _is_bomb(member: zipfile.ZipInfo) -> bool:
    return member.file_size > max(MIN_SUSPICIOUS_BYTES, MAX_RATIO * member.compress_size)
