"""The layout `chexlocalize`: CheXlocalize's masks on the radiographs of CheXpert, as their owner distributes them.

`gt_segmentations_val.json` and `gt_segmentations_test.json` (one is enough), in the folder or in `CheXlocalize/`:
{"patient64541_study1_view1_frontal": {"Cardiomegaly": {"size": [H, W], "counts": "..."}, ...}, ...}, one run-length
code for each finding, empty for an absent finding. The radiographs are `val/patient64541/study1/view1_frontal.jpg`
(`valid/` in CheXpert's own archive) and `test/...`, in the folder, in `CheXpert/` or in `CheXpert-v1.0/`. Findings
overlap.

The classes are the findings by their names in the files, in lower case, except that "Airspace Opacity" is called "lung
opacity", as in the paper and in CheXpert's labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_tunevlseg.data.io.reading import read_shape
from monai_tunevlseg.data.io.run_lengths import parse_run_lengths
from monai_tunevlseg.data.issues import DatasetIssue, map_files, size_issue, sorted_or_raise
from monai_tunevlseg.data.layouts._base import DatasetInfo, Layout
from monai_tunevlseg.data.layouts._files import file_inside, find_root
from monai_tunevlseg.data.layouts._mask_encodings import check_classes
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Splits
from monai_tunevlseg.data.splits import DrawSplits
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.messages import shorten

__all__ = ["LAYOUT", "read_chexlocalize"]

INFO = DatasetInfo(
    title="CheXlocalize",
    class_names=(
        "atelectasis",
        "cardiomegaly",
        "consolidation",
        "edema",
        "enlarged cardiomediastinum",
        "lung lesion",
        "lung opacity",
        "pleural effusion",
        "pneumothorax",
        "support devices",
    ),
    modality="X-ray",
    organ="chest",
    sizes=(1279, 446, 452),
    license="Stanford University's research use agreement; see the owner's terms.",
    source="https://aimi.stanford.edu/datasets/chexlocalize",
    reference="Saporta et al., Benchmarking saliency methods for chest X-ray interpretation, "
    "Nature Machine Intelligence 2022",
)
OTHER_NAMES = {"airspace opacity": "lung opacity"}
"""Names of classes in the files that differ from the paper's, in lower case."""
PARTS = {"val": ("val", "valid"), "test": ("test",)}
"""The parts with masks, and the names of the folders of their radiographs."""
PATIENT = r"^(patient\d+)_"


@dataclass(frozen=True)
class Radiograph:
    """A radiograph with the run-length codes of its findings, by class name, and the file that holds them."""

    stem: str
    image: Path
    source: Path
    codes: Mapping[str, Any]


def read_chexlocalize(dataset_dir: Path, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """Read the cases of both parts (see `ReadCases`): one sample for each present finding.

    Stems are the names in the files, such as `patient64541_study1_view1_frontal`.

    Raises:
        ValueError: when a JSON file has another form, or label values or a threshold are given.
    """
    check_classes(encoding, INFO)
    if encoding.label_values is not None or encoding.mask_threshold is not None:
        raise ValueError(
            f"the masks of {INFO.title} are run-length codes, and label_values {encoding.label_values} and "
            f"mask_threshold {encoding.mask_threshold} do not apply; set both to null."
        )
    radiographs = _read_radiographs(find_root(dataset_dir, _has_codes, "gt_segmentations_*.json (chexlocalize)"))

    def read(radiograph: Radiograph) -> Case | DatasetIssue:
        return _read_case(radiograph, encoding)

    cases, issues = map_files(read, radiographs, lambda radiograph: (radiograph.image, radiograph.source))
    return sorted_or_raise(cases, issues)


def _split(dataset_dir: Path, cases: Sequence[Case], draw: DrawSplits) -> Splits:
    return draw(
        (case.stem for case in cases), sizes=INFO.sizes, weights={case.stem: len(case.samples) for case in cases}
    )


LAYOUT = Layout(read_chexlocalize, INFO, PATIENT, _split, shown_classes_are_listed=True)


def _read_radiographs(root: Path) -> list[Radiograph]:
    radiographs: dict[str, Radiograph] = {}
    for part, names in PARTS.items():
        source = _find_codes(root, part)
        if source is None:
            continue
        folder = _first(root, ("", "CheXpert", "CheXpert-v1.0"), names, Path.is_dir)
        if folder is None:
            raise FileNotFoundError(
                f"neither {root} nor CheXpert/ in it has a folder {' or '.join(names)} with the radiographs of "
                f"{source.name}; unpack them there."
            )
        radiographs |= {stem: _radiograph(stem, codes, folder, source) for stem, codes in _read_json(source).items()}
    return list(radiographs.values())


def _has_codes(folder: Path) -> bool:
    return any(_find_codes(folder, part) for part in PARTS)


def _find_codes(root: Path, part: str) -> Path | None:
    return _first(root, ("", "CheXlocalize"), (f"gt_segmentations_{part}.json",), Path.is_file)


def _first(root: Path, folders: Sequence[str], names: Sequence[str], exists: Callable[[Path], bool]) -> Path | None:
    paths = (root / folder / name for folder in folders for name in names)
    return next(filter(exists, paths), None)


def _read_json(path: Path) -> dict[str, dict[str, Any]]:
    content = read_json_object(path)
    if not all(isinstance(codes, dict) for codes in content.values()):
        raise ValueError(f"{path} must hold one JSON object for each radiograph; replace the file.")
    return content


def _radiograph(stem: str, codes: Mapping[str, Any], folder: Path, source: Path) -> Radiograph:
    renamed = {OTHER_NAMES.get(name.lower(), name.lower()): code for name, code in codes.items()}
    # patient64541_study1_view1_frontal is patient64541/study1/view1_frontal.jpg
    return Radiograph(stem, file_inside(folder, "/".join(f"{stem}.jpg".split("_", 2)), source), source, renamed)


def _read_case(radiograph: Radiograph, encoding: MaskEncoding) -> Case | DatasetIssue:
    unknown = sorted(radiograph.codes.keys() - set(INFO.class_names))
    if unknown:
        message = f"{radiograph.source} has the unknown findings {shorten(unknown)} for {radiograph.stem}; remove them."
        return DatasetIssue("encoding", message, (str(radiograph.source),))
    size = read_shape(radiograph.image)
    samples = []
    for name in encoding.class_names:
        code = radiograph.codes.get(name)
        if code is None or not any(parse_run_lengths(code, radiograph.source)[1::2]):
            continue
        if tuple(code["size"]) != size:
            return size_issue(radiograph.image, size, radiograph.source, code["size"])
        paths = {"image": str(radiograph.image), "label": str(radiograph.source)}
        samples.append(
            paths | {"text": name, "class_name": name, "rle": {key: code[key] for key in ("size", "counts")}}
        )
    return Case(radiograph.stem, samples)
