"""The layout `busi`: BUSI as its owner distributes it, `Dataset_BUSI_with_GT/{benign,malignant,normal}/NAME (N).png`.

`NAME (N)_mask.png`, and with several lesions `NAME (N)_mask_1.png` and so on, lie beside each image and are united. A
copy in circulation has `images/` and `mask/` in each of the three folders instead. Masks are 1-bit, RGB or RGBA. Those
of normal images are empty; what could be there is a "breast tumor", which is their class and text.
"""

from __future__ import annotations

import re
from pathlib import Path

from monai_tunevlseg.data.cases import LAYOUTS, Case, Facts, Layout, MaskCoding, Sample
from monai_tunevlseg.data.layouts.coding import check_classes
from monai_tunevlseg.data.layouts.discovery import IMAGE_NAMES, MASK_NAMES, folder_of
from monai_tunevlseg.data.layouts.files import by_stem, find_root, match
from monai_tunevlseg.data.layouts.paired import draw_sizes
from monai_tunevlseg.data.problems import Problem, finish

__all__ = ["read_busi"]

FACTS = Facts(
    title="BUSI",
    class_names=("benign tumor", "malignant tumor"),
    modality="ultrasound",
    organ="breast",
    sizes=(624, 78, 78),
    license="See the owner's terms.",
    source="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
    reference="Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 28, 2020",
)
ANY_TUMOR = "breast tumor"
CLASSES = {"benign": "benign tumor", "malignant": "malignant tumor", "normal": ANY_TUMOR}
MASK = re.compile(r"(?P<image>.+)_mask(_\d+)?")


def read_busi(dataset_dir: Path, coding: MaskCoding, slice_axis: int) -> list[Case]:
    """List the cases of the three folders.

    Args:
        dataset_dir: the folder with `benign/` and `malignant/`, or the one that this is in; `normal/` may be missing.
        coding: its classes may be those of `FACTS`, and "breast tumor" for a tumor of either kind. Normal images are
            samples whatever the classes.
        slice_axis: of no meaning here.

    Returns:
        the cases, sorted by stem. An image of which no class was chosen has no sample.

    Raises:
        FileNotFoundError: when there is no such folder.
        DatasetError: when images and masks do not belong together or a file cannot be read; it names them.
        ValueError: when a class is unknown or label values are given.
    """
    check_classes(coding, FACTS, (*FACTS.class_names, ANY_TUMOR))
    if coding.label_values is not None:
        raise ValueError(
            "the masks of BUSI are binary, so that label_values have no meaning; set label_values to null."
        )
    root = find_root(
        dataset_dir,
        lambda folder: (folder / "benign").is_dir() and (folder / "malignant").is_dir(),
        "benign/ and malignant/ (dataset busi)",
    )
    cases: list[Case] = []
    problems: list[Problem] = []
    for kind in CLASSES:
        if (root / kind).is_dir():
            found, complaints = _read_kind(root / kind, coding)
            cases += found
            problems += complaints
    return finish(cases, problems)


def _read_kind(folder: Path, coding: MaskCoding) -> tuple[list[Case], list[Problem]]:
    inner, of_masks = (folder_of(folder, names) for names in (IMAGE_NAMES, MASK_NAMES))
    images: dict[str, Path] = {}
    masks: dict[str, list[Path]] = {}
    problems: list[Problem] = []
    for part in [inner, of_masks] if inner and of_masks else [folder]:
        files, strange = by_stem(part)
        problems += strange
        for stem, path in files.items():
            mask = MASK.fullmatch(stem)
            if mask or part == of_masks:
                masks.setdefault(mask["image"] if mask else stem, []).append(path)
            else:
                images[stem] = path
    stems, unmatched = match(folder, images, masks)
    if not images and not problems + unmatched:
        message = f"{folder} holds no images; put NAME (N).png and NAME (N)_mask.png there."
        unmatched = [Problem("missing", message, (str(folder),))]
    cases = [Case(stem, _samples(CLASSES[folder.name], images[stem], masks[stem], coding)) for stem in stems]
    return cases, problems + unmatched


def _samples(shown: str, image: Path, masks: list[Path], coding: MaskCoding) -> list[Sample]:
    chosen = [name for name in coding.class_names if name in (shown, ANY_TUMOR)]
    if shown == ANY_TUMOR:
        chosen = [ANY_TUMOR]
    label = masks[0] if len(masks) == 1 else masks
    return [MaskCoding([name], mask_threshold=coding.mask_threshold).sample(image, label, name) for name in chosen]


LAYOUTS.register("busi", Layout(read_busi, FACTS, split=draw_sizes(*FACTS.sizes)))
