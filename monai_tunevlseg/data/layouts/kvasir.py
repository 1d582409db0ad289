"""The layout `kvasir`: Kvasir-SEG as its owner distributes it, `images/*.jpg` and `masks/*.jpg`.

Masks are RGB JPEGs with values near 0 and 255, which are thresholded at 128 in reading.
"""

from __future__ import annotations

from pathlib import Path

from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout, draw_published_sizes
from monai_tunevlseg.data.layouts._binary_masks import read_binary_masks
from monai_tunevlseg.data.layouts._files import find_root, has_folders
from monai_tunevlseg.data.layouts._mask_encodings import binary_encoding
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case

__all__ = ["LAYOUT", "read_kvasir"]

INFO = DatasetInfo(
    title="Kvasir-SEG",
    class_names=("polyp",),
    modality="endoscopy",
    organ="colon",
    sizes=(800, 100, 100),
    license="For research and education; see the owner's terms.",
    source="https://datasets.simula.no/kvasir-seg/",
    reference="Jha et al., Kvasir-SEG: A segmented polyp dataset, MultiMedia Modeling, 2020",
)


def read_kvasir(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases, as `read_binary_masks` describes."""
    root = find_root(dataset_dir, has_folders("images", "masks"), "images/ and masks/ (dataset kvasir)")
    return read_binary_masks({root / "images": root / "masks"}, binary_encoding(encoding, INFO))


LAYOUT = Layout(read_kvasir, INFO, split=draw_published_sizes(*INFO.sizes))
