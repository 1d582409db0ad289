"""The layout `busi`: BUSI as its owner distributes it, `Dataset_BUSI_with_GT/{benign,malignant,normal}/NAME (N).png`.

`NAME (N)_mask.png`, and with several lesions `NAME (N)_mask_1.png` and so on, lie beside each image and are united. A
copy in circulation has `images/` and `mask/` in each of the three folders instead. Masks are 1-bit, RGB or RGBA. Those
of normal images are empty; their class and text is "breast tumor".
"""

from __future__ import annotations

import re
from pathlib import Path

from monai_tunevlseg.data.image_files import index_by_stem
from monai_tunevlseg.data.issues import DatasetIssue, sorted_or_raise
from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout, draw_published_sizes
from monai_tunevlseg.data.layouts._breast_tumors import ANY_TUMOR, TUMORS, check_tumors, tumor_samples
from monai_tunevlseg.data.layouts._discovery import IMAGE_NAMES, MASK_NAMES, folder_of
from monai_tunevlseg.data.layouts._files import find_root, has_folders
from monai_tunevlseg.data.layouts._pairing import pair_masks
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Sample

__all__ = ["LAYOUT", "read_busi"]

INFO = DatasetInfo(
    title="BUSI",
    class_names=tuple(TUMORS.values()),
    modality="ultrasound",
    organ="breast",
    sizes=(624, 78, 78),
    license="See the owner's terms.",
    source="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
    reference="Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 28, 2020",
)
CLASSES = TUMORS | {"normal": ANY_TUMOR}
MASK = re.compile(r"(?P<image>.+)_mask(_\d+)?")


def read_busi(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases of the three folders (see `ReadCases`); `normal/` may be missing.

    Classes may be those of `INFO`, and "breast tumor" for a tumor of either kind. Normal images are samples with any
    classes.
    """
    check_tumors(encoding, INFO)
    root = find_root(dataset_dir, has_folders("benign", "malignant"), "benign/ and malignant/ (dataset busi)")
    cases: list[Case] = []
    issues: list[DatasetIssue] = []
    for kind in CLASSES:
        if (root / kind).is_dir():
            found, complaints = _read_kind(root / kind, encoding)
            cases += found
            issues += complaints
    return sorted_or_raise(cases, issues)


def _read_kind(folder: Path, encoding: MaskEncoding) -> tuple[list[Case], list[DatasetIssue]]:
    inner, of_masks = (folder_of(folder, names) for names in (IMAGE_NAMES, MASK_NAMES))
    images: dict[str, Path] = {}
    masks: dict[str, list[Path]] = {}
    issues: list[DatasetIssue] = []
    for part in [inner, of_masks] if inner and of_masks else [folder]:
        files, unexpected = index_by_stem(part)
        issues += unexpected
        for stem, path in files.items():
            mask = MASK.fullmatch(stem)
            if mask or part == of_masks:
                masks.setdefault(mask["image"] if mask else stem, []).append(path)
            else:
                images[stem] = path
    stems, unmatched = pair_masks(folder, images, masks)
    if not images and not issues + unmatched:
        message = f"{folder} holds no images; put NAME (N).png and NAME (N)_mask.png there."
        unmatched = [DatasetIssue("missing", message, (str(folder),))]
    cases = [Case(stem, _samples(CLASSES[folder.name], images[stem], masks[stem], encoding)) for stem in stems]
    return cases, issues + unmatched


def _samples(shown: str, image: Path, masks: list[Path], encoding: MaskEncoding) -> list[Sample]:
    names = [ANY_TUMOR] if shown == ANY_TUMOR else encoding.class_names
    return tumor_samples(shown, image, masks[0] if len(masks) == 1 else masks, names, encoding.mask_threshold)


LAYOUT = Layout(read_busi, INFO, split=draw_published_sizes(*INFO.sizes), shown_classes_are_listed=True)
