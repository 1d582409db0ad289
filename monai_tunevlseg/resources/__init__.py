"""Locate ``configs/`` and ``bundles/``, which are at the top level of a checkout and inside this folder in a wheel."""

from __future__ import annotations

from pathlib import Path

__all__ = ["bundles_dir", "configs_dir"]


def configs_dir() -> Path:
    """Return the folder with the config fragments and the datasets' configs.

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
    raise FileNotFoundError(f"no folder {inside / name} in this installation of monai_tunevlseg; install the wheel.")
