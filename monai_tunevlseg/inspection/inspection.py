"""The inspection of a bundle: code that this package's own bundles do not have, and digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_tunevlseg.inspection.bundle_source import BundleSource, open_bundle
from monai_tunevlseg.inspection.config_code import CONFIG_SUFFIXES, MAX_CONFIG_BYTES, code_in_config, parse_config
from monai_tunevlseg.inspection.digest_checks import check_digests
from monai_tunevlseg.inspection.findings import Finding
from monai_tunevlseg.inspection.known_code import KnownCode
from monai_tunevlseg.inspection.weight_files import code_in_file

__all__ = ["Inspection", "inspect_bundle"]

LOGGING_SUFFIXES = (".conf", ".ini", ".cfg")


@dataclass(frozen=True)
class Inspection:
    """The result of an inspection.

    Attributes:
        findings: unknown code, and what cannot be inspected; empty if the bundle has only known code.
        known: number of pieces of code that this package's own bundles have at the same places.
        files: number of files.
        digests: sentences about digests that match.
        sha256: SHA-256 digest of the zip file; None for a folder.
    """

    findings: list[Finding]
    known: int
    files: int
    digests: list[str]
    sha256: str | None


def inspect_bundle(path: str | Path, bundles_dir: str | Path) -> Inspection:
    """Inspect a bundle; none of its code is run, and nothing is unpacked.

    Args:
        path: folder or zip file of the bundle.
        bundles_dir: folder of the bundles whose code is known, which must be trusted.

    Raises:
        FileNotFoundError: when ``path`` does not exist.
        ValueError: when ``path`` is neither a folder nor a zip file, or ``bundles_dir`` has no bundles.
    """
    known = KnownCode(sorted(folder for folder in Path(bundles_dir).glob("*") if folder.is_dir()))
    if not known.code:
        raise ValueError(f"{bundles_dir} has no bundles to compare with; pass --bundles-dir.")
    source = open_bundle(path)
    configs: dict[str, Any] = {}
    code = [found for name in source.names for found in _code_of(source, name, configs, known)]
    unknown = [found for found in code if not known.has(found)]
    checked = list(check_digests(source, configs))
    return Inspection(
        findings=[*source.findings, *unknown, *(each for each in checked if isinstance(each, Finding))],
        known=len(code) - len(unknown),
        files=len(source.names),
        digests=[each for each in checked if isinstance(each, str)],
        sha256=None if Path(path).is_dir() else _sha256(Path(path)),
    )


def _code_of(source: BundleSource, name: str, configs: dict[str, Any], known: KnownCode) -> Iterator[Finding]:
    """Find the code of a file; a config is added to ``configs``."""
    try:
        if name.lower().endswith(CONFIG_SUFFIXES):
            configs[name] = parse_config(source.read(name, MAX_CONFIG_BYTES + 1), name)
            yield from code_in_config(configs[name], name)
        elif name.lower().endswith(LOGGING_SUFFIXES):  # logging.config.fileConfig evaluates them
            if source.read(name, MAX_CONFIG_BYTES) not in known.logging:
                yield Finding(name, "logging config", "differs from the templates; Python evaluates class= and args=")
        else:
            yield from code_in_file(source, name)
    except Exception as error:  # whatever is wrong with one file, the others are inspected
        yield Finding(name, "not inspected", str(error) or type(error).__name__)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
