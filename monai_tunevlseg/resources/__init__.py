"""The folders ``configs/`` and ``bundles/`` that belong to this package: at the top of a checkout, inside a wheel."""

from __future__ import annotations

from pathlib import Path

__all__ = ["bundles_dir", "configs_dir"]


def configs_dir() -> Path:
    """Return the folder of the fragments and of the datasets' configs.

    Raises:
        FileNotFoundError: when the installation lacks it.
    """
    return _find("configs")


def bundles_dir() -> Path:
    """Return the folder of the generated bundles.

    Raises:
        FileNotFoundError: when the installation lacks it.
    """
    return _find("bundles")


def _find(name: str) -> Path:
    inside = Path(__file__).parent
    checkout = inside.parents[1]
    for folder in (inside / name, checkout / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"this installation of monai_tunevlseg lacks {inside / name}; install its wheel.")
