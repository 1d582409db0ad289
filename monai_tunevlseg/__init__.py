"""Prompt and adapter tuning of frozen vision-language segmentation models for medical images, the MONAI way."""

from typing import TYPE_CHECKING, Any

from monai_tunevlseg.version import __version__

if TYPE_CHECKING:
    from monai_tunevlseg.segmenter import Segmenter

__all__ = ["Segmenter", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the segmenter when it is first asked for: torch and MONAI take seconds to import."""
    if name != "Segmenter":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from monai_tunevlseg.segmenter import Segmenter

    return Segmenter
