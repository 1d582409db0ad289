"""Files that hold programs or pickles, recognized by their content, whatever their names say."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

from monai_tunevlseg.inspection.bundle_source import BundleSource
from monai_tunevlseg.inspection.findings import Finding

__all__ = ["code_in_file"]

INERT_SUFFIXES = {".md", ".txt", ".rst", ".csv", ".tsv", ".log", ".jsonl", ".png", ".jpg", ".jpeg", ".gif", ".svg"} | {
    *(".pdf", ".safetensors", ".metadata", ".lock"),
}
INERT_NAMES = {"license", "notice", "authors", "changelog", "citation.cff", ".gitattributes", ".gitignore"} | {
    "cachedir.tag",
}
"""Names and endings of files that no part of MONAI runs or unpickles."""
WEIGHT_SUFFIXES = {".pt", ".pth", ".ckpt", ".ts", ".bin"}
_ZIP = b"PK\x03\x04"


def code_in_file(source: BundleSource, name: str) -> Iterator[Finding]:
    """Find code in a file that is not a config.

    Checkpoints of ``torch.save`` are accepted if ``weights_only`` loads them. TorchScript, pickles, archives, programs
    and files of unknown kinds are found.
    """
    path = PurePosixPath(name.lower())
    head = source.read(name, 4)
    if head == _ZIP:
        with source.seekable(name) as stream:
            yield from _code_in_archive(stream, name)
    elif head[:1] == b"\x80" and head[1:2] <= b"\x05":
        yield Finding(name, "pickle", "loading it can run any code")
    elif path.suffix in WEIGHT_SUFFIXES:
        yield Finding(name, "not inspected", "not a checkpoint of torch.save")
    elif path.suffix not in INERT_SUFFIXES and path.name not in INERT_NAMES:
        kind = "program" if path.suffix in (".py", ".pyc", ".so", ".sh", ".dll") else "not inspected"
        yield Finding(name, kind, "a file of this kind is not part of the templates")


def _code_in_archive(stream: IO[bytes], name: str) -> Iterator[Finding]:
    """Find code in a zip file: a checkpoint, TorchScript or another archive."""
    try:
        members = {PurePosixPath(member).name: member for member in zipfile.ZipFile(stream).namelist()}
    except (zipfile.BadZipFile, ValueError) as error:
        yield Finding(name, "not inspected", f"a damaged archive ({error})")
        return
    if "constants.pkl" in members:
        yield Finding(name, "TorchScript", "a program, which can also read and write files")
    elif "data.pkl" not in members:
        yield Finding(name, "archive", "its files are not inspected")
    else:
        stream.seek(0)
        yield from _code_in_checkpoint(stream, name)


def _code_in_checkpoint(stream: IO[bytes], name: str) -> Iterator[Finding]:
    from torch.serialization import get_unsafe_globals_in_checkpoint  # torch takes seconds to import

    try:
        unsafe = sorted(get_unsafe_globals_in_checkpoint(stream))
    except Exception as error:  # torch parses untrusted bytes with assertions and index errors
        yield Finding(name, "not inspected", f"not a readable checkpoint ({type(error).__name__}: {error})")
        return
    for code in unsafe:
        yield Finding(name, "pickle", code)
