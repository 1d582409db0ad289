"""Files of masks that any tool has predicted, matched to the pairs of a dataset.

A folder of predictions has one of three forms:

- a file for each image, under the image's name: a binary mask for one class, a label map for several;
- a folder of binary masks for each class, ``CLASS/IMAGE.png``, which may overlap;
- a file for each pair, as ``evaluate.yaml`` writes them to ``predicted_masks/``.

In the first two forms, the prediction of a volume is a volume.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monai_tunevlseg.data.image_files import index_by_stem, is_image, list_subfolders, list_visible, normalized
from monai_tunevlseg.data.io.file_suffixes import SUFFIXES, stem_of
from monai_tunevlseg.data.issues import DatasetIssue
from monai_tunevlseg.data.layouts._dataset_json import DatasetJson, read_dataset_json
from monai_tunevlseg.data.layouts._discovery import common_ending
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Sample
from monai_tunevlseg.evaluation.example_overlays import mask_name
from monai_tunevlseg.messages import shorten

__all__ = ["FoundPredictions", "PredictionForm", "find_predictions", "in_terms_of_predictions"]

OTHER_FILES = re.compile(rf"(?i)(?!.*({'|'.join(map(re.escape, SUFFIXES))})$).*")
"""Files beside the masks, such as nnU-Net's plans and probabilities."""


@dataclass(frozen=True)
class PredictionForm:
    """How predictions encode classes.

    Args:
        class_names: names of the classes.
        prediction_values: the value of each class in label maps; None = what nnU-Net's ``dataset.json`` beside the
            predictions says, else binary masks for one class and 1..K in order for K.
        prediction_threshold: lowest brightness in (0, 255] of the foreground of binary masks; None = masks must be
            clean.
        prediction_ending: the ending of the files' names beyond those of the images, such as ``_pred``; None = their
            common ending.

    Raises:
        ValueError: when the names or values contradict each other, or the threshold is out of range.
    """

    class_names: Sequence[str]
    prediction_values: Mapping[str, int] | None = None
    prediction_threshold: float | None = None
    prediction_ending: str | None = None

    def __post_init__(self) -> None:
        try:
            MaskEncoding(self.class_names, self.prediction_values)
            self.binary(self.class_names[0])
        except ValueError as error:
            raise ValueError(in_terms_of_predictions(str(error))) from error

    def binary(self, class_name: str) -> MaskEncoding:
        """Return the encoding of one class in binary masks."""
        return MaskEncoding([class_name], mask_threshold=self.prediction_threshold)

    def label_map(self, folder: Path) -> tuple[MaskEncoding, set[int] | None]:
        """Return the encoding in a file for each image, and the values that label maps may hold; None = any.

        Raises:
            ValueError: when ``dataset.json`` has no value for a class, or a threshold is given for label maps.
        """
        if self.prediction_values is not None:
            return MaskEncoding(self.class_names, self.prediction_values, self.prediction_threshold), None
        encoding = MaskEncoding(self.class_names, mask_threshold=self.prediction_threshold)
        if (description := _read_description(folder, self.class_names)) is None:
            return encoding, {0, *(value for value in encoding.values.values() if value is not None)}
        known = {0, *range(1, len(description.class_names) + 1), description.ignore_value}
        return description.encode(encoding), {value for value in known if value is not None}


@dataclass(frozen=True)
class FoundPredictions:
    """The files of a folder that belong to the pairs of a split.

    Attributes:
        files: the file of each pair, by the number of the pair.
        encodings: the encoding of each class.
        allowed: the values that label maps may hold; None = any.
        per_pair: whether each file has the prediction of one pair only, of a slice for a volume.
        absent: names of the missing files.
        issues: files that belong to no pair.
    """

    files: Mapping[int, Path]
    encodings: Mapping[str, MaskEncoding]
    allowed: set[int] | None = None
    per_pair: bool = False
    absent: Sequence[str] = ()
    issues: Sequence[DatasetIssue] = ()


def find_predictions(
    folder: Path, form: PredictionForm, samples: Sequence[Sample], cases: Sequence[Case]
) -> FoundPredictions:
    """Find the files of the predictions by their names.

    A warning names the common ending of the files, and predictions of images that have no pair in the split.

    Args:
        folder: the folder of the predictions.
        form: how they encode classes.
        samples: the pairs of the split.
        cases: all cases of the dataset.

    Raises:
        FileNotFoundError: when the folder does not exist or holds no predictions.
        ValueError: when the files' names have several endings, or options do not apply to the files.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; give the folder of the predicted masks.")
    files = {path.name: path for path in list_visible(folder) if path.is_file() and is_image(path)}
    names = {mask_name(sample | {"number": number}): number for number, sample in enumerate(samples)}
    if not names.keys().isdisjoint(files):
        return _in_pair_files(folder, form, files, names)
    if not files and any((folder / name).is_dir() for name in form.class_names):
        return _in_class_folders(folder, form, samples, _Images.of(samples, cases))
    if not files:
        raise FileNotFoundError(_nothing_found(folder))
    return _in_image_files(folder, form, samples, _Images.of(samples, cases))


def _in_pair_files(
    folder: Path, form: PredictionForm, files: Mapping[str, Path], names: Mapping[str, int]
) -> FoundPredictions:
    found = {number: files[name] for name, number in names.items() if name in files}
    surplus = [path for name, path in files.items() if name not in names]
    return FoundPredictions(
        found,
        {name: form.binary(name) for name in form.class_names},
        per_pair=True,
        absent=[name for name in names if name not in files],
        issues=_surplus(folder, surplus),
    )


def _in_class_folders(
    folder: Path, form: PredictionForm, samples: Sequence[Sample], images: _Images
) -> FoundPredictions:
    if form.prediction_values is not None:
        raise ValueError(f"{folder} has a folder of binary masks for each class, which have no prediction_values.")
    found: dict[int, Path] = {}
    others: list[Path] = []
    issues: list[DatasetIssue] = []
    for name in form.class_names:
        if (folder / name).is_dir():
            of_image, of_others, unexpected = _index(folder / name, form, images)
            others += of_others
            issues += unexpected
            found |= {number: of_image[number] for number in of_image if samples[number]["class_name"] == name}
    _warn_of_others(folder, others)
    absent = [
        f"{sample['class_name']}/{stem_of(Path(sample['image']))}"
        for number, sample in enumerate(samples)
        if number not in found
    ]
    encodings = {name: form.binary(name) for name in form.class_names}
    return FoundPredictions(found, encodings, absent=list(dict.fromkeys(absent)), issues=issues)


def _in_image_files(folder: Path, form: PredictionForm, samples: Sequence[Sample], images: _Images) -> FoundPredictions:
    found, others, issues = _index(folder, form, images)
    _warn_of_others(folder, others)
    absent = [stem_of(Path(sample["image"])) for number, sample in enumerate(samples) if number not in found]
    encoding, allowed = form.label_map(folder)
    encodings = dict.fromkeys(form.class_names, encoding)
    return FoundPredictions(found, encodings, allowed, absent=list(dict.fromkeys(absent)), issues=issues)


@dataclass
class _Images:
    """The images of a dataset by the names that their predictions may have.

    Attributes:
        pairs: the numbers of the pairs of each image in the split.
        others: names of images without pairs in the split.
    """

    pairs: dict[str, list[int]] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, samples: Sequence[Sample], cases: Sequence[Case]) -> _Images:
        """List the names: stems with ``__`` for ``/`` as in converted datasets, and file names that are unique."""
        of_image: dict[str, list[int]] = {}
        for number, sample in enumerate(samples):
            of_image.setdefault(sample["image"], []).append(number)
        images, further = cls(), []
        for case in cases:
            image = case.samples[0]["image"] if case.samples else ""
            name = normalized(re.sub(r"[/\\]", "__", case.stem))
            if image not in of_image:
                images.others.add(name)
                continue
            images.pairs[name] = of_image[image]
            further += [(other, of_image[image]) for other in {Path(case.stem).name, stem_of(Path(image))}]
        counts = Counter(normalized(name) for name, _ in further)
        for name, numbers in further:
            if counts[normalized(name)] == 1:
                images.pairs.setdefault(normalized(name), numbers)
        return images


def _index(
    folder: Path, form: PredictionForm, images: _Images
) -> tuple[dict[int, Path], list[Path], list[DatasetIssue]]:
    """Return the file of each pair's image, the files of other images, and the issues of files without an image."""
    files, issues = index_by_stem(folder, form.prediction_ending or "", OTHER_FILES)
    known = images.pairs.keys() | images.others
    ending = common_ending(known, files) if form.prediction_ending is None else ""
    if ending:
        warnings.warn(
            f"the names of the predictions in {folder} end in {ending!r} beyond those of their images, which is "
            "removed; set prediction_ending if this is wrong.",
            stacklevel=2,
        )
    named = {stem.removesuffix(ending): path for stem, path in files.items()}
    others = [path for stem, path in named.items() if stem in images.others and stem not in images.pairs]
    found = {number: path for stem, path in named.items() for number in images.pairs.get(stem, ())}
    used = set(found.values())
    twice = [path for stem, path in named.items() if stem in images.pairs and path not in used]
    surplus = [path for stem, path in named.items() if stem not in known]
    return (
        found,
        others,
        [*issues, *_surplus(folder, surplus), *_surplus(folder, twice, "an image that has another prediction")],
    )


def _warn_of_others(folder: Path, others: Sequence[Path]) -> None:
    if others:
        names = shorten(path.relative_to(folder) for path in others)
        warnings.warn(
            f"{len(others)} predictions in {folder} are left out, because their images are in another split or show no "
            f"class: {names}.",
            stacklevel=2,
        )


def _surplus(folder: Path, files: Sequence[Path], owner: str = "no image of the split") -> list[DatasetIssue]:
    if not files:
        return []
    message = f"{len(files)} predictions in {folder} belong to {owner}: {shorten(path.name for path in files)}; remove "
    return [DatasetIssue("extra", f"{message}or rename them.", tuple(map(str, files)))]


def in_terms_of_predictions(message: str) -> str:
    """Return a message of a reader of masks with the names of the settings of predictions."""
    for setting in ("mask_threshold", "mask_ending", "label_values"):
        message = message.replace(setting, f"prediction_{setting.partition('_')[2]}")
    return message


def _nothing_found(folder: Path) -> str:
    inner = [path.name for path in list_subfolders(folder) if any(map(is_image, list_visible(path)))]
    remedy = f"give its folder {shorten(inner)}" if inner else f"supported are {', '.join(SUFFIXES)}"
    return f"{folder} holds no predicted masks; {remedy}."


def _read_description(folder: Path, class_names: Sequence[str]) -> DatasetJson | None:
    """Read the ``dataset.json`` that nnU-Net copies to its predictions; None without that file."""
    try:
        description = read_dataset_json(folder)
    except ValueError as error:
        raise ValueError(f"{str(error).rstrip('.')}, unless prediction_values are given.") from error
    if description is None:
        return None
    if missing := [name for name in class_names if name not in description.class_names]:
        raise ValueError(
            f"{description.path} has no class {shorten(map(repr, missing))} but {shorten(description.class_names)}; "
            "give prediction_values."
        )
    return description
