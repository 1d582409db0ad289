"""The layout `kvasir`: Kvasir-SEG as its owner distributes it, `images/*.jpg` and `masks/*.jpg`.

Masks are RGB JPEGs with values near 0 and 255, which reading cuts at 128.
"""

from __future__ import annotations

from pathlib import Path

from monai_tunevlseg.data.cases import LAYOUTS, Case, Facts, Layout, MaskCoding
from monai_tunevlseg.data.layouts.coding import binary_coding
from monai_tunevlseg.data.layouts.files import find_root
from monai_tunevlseg.data.layouts.paired import draw_sizes, read_pairs

__all__ = ["read_kvasir"]

FACTS = Facts(
    title="Kvasir-SEG",
    class_names=("polyp",),
    modality="endoscopy",
    organ="colon",
    sizes=(800, 100, 100),
    license="For research and education; see the owner's terms.",
    source="https://datasets.simula.no/kvasir-seg/",
    reference="Jha et al., Kvasir-SEG: A segmented polyp dataset, MultiMedia Modeling, 2020",
)


def read_kvasir(dataset_dir: Path, coding: MaskCoding, slice_axis: int) -> list[Case]:
    """List the cases; `layouts.paired.read_pairs` tells what is raised."""
    root = find_root(
        dataset_dir,
        lambda folder: (folder / "images").is_dir() and (folder / "masks").is_dir(),
        "images/ and masks/ (dataset kvasir)",
    )
    return read_pairs({root / "images": root / "masks"}, binary_coding(coding, FACTS))


LAYOUTS.register("kvasir", Layout(read_kvasir, FACTS, split=draw_sizes(*FACTS.sizes)))
