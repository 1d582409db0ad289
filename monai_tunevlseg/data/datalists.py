"""From a dataset folder to MONAI datalists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

from monai_tunevlseg.data.class_mapping import map_classes
from monai_tunevlseg.data.class_presence import require_classes
from monai_tunevlseg.data.compared_texts import compared_text_chooser
from monai_tunevlseg.data.dataset_spec import CLASS_NAME, DatasetSpec
from monai_tunevlseg.data.image_files import is_image, list_images, list_subfolders, list_visible
from monai_tunevlseg.data.intensity_windows import warn_of_dark_pictures, window_entry
from monai_tunevlseg.data.io.file_suffixes import SUFFIXES, is_volume_file, suffix_of
from monai_tunevlseg.data.layouts import LAYOUTS
from monai_tunevlseg.data.samples import SPLIT_NAMES, Case, Sample, Splits
from monai_tunevlseg.data.splits import (
    complete_splits,
    draw_splits,
    find_run_splits,
    read_splits,
    refuse_trained,
    warn_of_overlap,
    write_splits,
)
from monai_tunevlseg.data.subsets import Subset, draw_subset
from monai_tunevlseg.data.text_sets import choose_one, text_set_chooser
from monai_tunevlseg.messages import shorten

__all__ = ["build_datalists", "build_inference_datalist", "choose_text", "find_splits", "read_cases", "require_samples"]


def build_datalists(
    spec: DatasetSpec,
    write_splits_to: str | Path | None = None,
    trained_splits: str | Path | None = None,
    cases: Sequence[Case] | None = None,
    subset: Subset | None = None,
    class_mapping: Mapping[str, str] | None = None,
    required: Sequence[str] = SPLIT_NAMES,
) -> dict[str, list[Sample]]:
    """List the samples of a dataset by split.

    Args:
        spec: the dataset, and how it is read.
        write_splits_to: a JSON file that gets the splits in use.
        trained_splits: the splits file of a training run, if it exists. For the same dataset, these splits are used
            where others would be drawn, so that images added since are in no split; a splits file whose test split
            holds images that the run trained or chose its checkpoint on is refused.
        cases: the dataset's cases from `read_cases`; None = they are read.
        subset: the part of the training and validation images in use; None = all.
        class_mapping: the name under which each class of the dataset is asked for, as for `map_classes`; a class
            without one is left out. None = each class under its own name.
        required: the splits that must have samples, such as test alone for a dataset that is not trained on.

    Returns:
        {"train": [...], "val": [...], "test": [...]}: plain dictionaries that JSON can hold; paths are absolute.

    Raises:
        FileNotFoundError: when a folder or the splits file is missing.
        ValueError: when an argument, the folder's content or the splits are wrong, or too small for the subset; the
            message names it.
    """
    window = window_entry(spec.intensity_window)
    cases = read_cases(spec) if cases is None else cases
    encoding, group_of = spec.encoding(), spec.group_of()
    require_classes(encoding, cases)
    cases = cases if class_mapping is None else map_classes(cases, class_mapping)
    splits = _splits_beside(spec, cases, trained_splits)
    require_samples(cases, {name: splits[name] for name in required})
    if subset is not None:
        splits = draw_subset(subset, splits, cases, encoding.class_names, group_of)
    datalists = _gather(cases, splits, group_of)
    text_set_of, compared_texts_of = text_set_chooser(spec), compared_text_chooser(spec)
    for samples in datalists.values():
        texts: list[Sample] = [{"text": choose_text(sample, spec)} for sample in samples]
        if text_set_of is not None:
            texts = [own | {"text_set": text_set_of(sample)} for own, sample in zip(texts, samples, strict=True)]
        if compared_texts_of is not None:
            texts = [
                own | {"compared_texts": compared_texts_of(sample)} for own, sample in zip(texts, samples, strict=True)
            ]
        # new dictionaries: splits that overlap share samples
        samples[:] = [_with_texts(sample, own) | window for sample, own in zip(samples, texts, strict=True)]
    if write_splits_to is not None:
        left_out = sorted({case.stem for case in cases}.difference(*splits.values()))
        write_splits(Path(write_splits_to).expanduser(), splits, spec.folder, left_out)
    return datalists


def build_inference_datalist(dataset_dir: str | Path, intensity_window: Sequence[float] | None = None) -> list[Sample]:
    """List images to segment, with a warning when pictures would be read as nearly black.

    Args:
        dataset_dir: an image file, a folder of image files, or a folder with such a folder `images/` in it.
        intensity_window: the intensity window that they are loaded with.

    Returns:
        [{"image": path}, ...], sorted by file name; paths are absolute.

    Raises:
        FileNotFoundError: when the file or folder does not exist.
        ValueError: when the folder has no images, other files, or two images with the same stem.
    """
    path = Path(dataset_dir).expanduser().absolute()
    if path.is_file():
        if suffix_of(path).lower() not in SUFFIXES:
            raise ValueError(f"{path} has no supported suffix; supported are {', '.join(SUFFIXES)}.")
        return _to_segment([path], intensity_window)
    folder = path / "images" if (path / "images").is_dir() else path
    images = list_images(folder)
    if not images:
        inner = [path.name for path in list_subfolders(folder) if any(map(is_image, list_visible(path)))]
        remedy = f"set dataset_dir to its folder {shorten(inner)}" if inner else f"supported are {', '.join(SUFFIXES)}"
        raise ValueError(f"{folder} holds no images; {remedy}.")
    return _to_segment(images, intensity_window)


def batch_pictures(datalist: Sequence[Sample], batch_size: int) -> list[list[int]]:
    """Return the indices of a datalist in batches: consecutive pictures, or one volume, because it is large.

    Args:
        datalist: samples with an `image`.
        batch_size: largest number of pictures in a batch.
    """
    batches: list[list[int]] = []
    for alone, group in groupby(range(len(datalist)), lambda index: is_volume_file(Path(datalist[index]["image"]))):
        indices, size = list(group), 1 if alone else batch_size
        batches += [indices[start : start + size] for start in range(0, len(indices), size)]
    return batches


def _to_segment(images: Sequence[Path], intensity_window: Sequence[float] | None) -> list[Sample]:
    if intensity_window is None:
        warn_of_dark_pictures([image for image in images if not is_volume_file(image)])
    return [{"image": str(image)} for image in images]


def read_cases(spec: DatasetSpec) -> list[Case]:
    """List a dataset's cases, one or more.

    Raises:
        FileNotFoundError: when the folder is missing, or the layout misses images or a part of the dataset in it.
        ValueError: as the layout describes.
    """
    if not spec.folder.is_dir():
        raise FileNotFoundError(f"dataset_dir {spec.folder} is not a folder; set it to the folder of the dataset.")
    cases = LAYOUTS[spec.layout].read(spec.folder, spec.encoding(), spec.slice_axis)
    if not cases:
        raise FileNotFoundError(
            f"{spec.folder} holds no images where the layout {spec.layout!r} expects them; unpack the dataset there."
        )
    return cases


def choose_text(sample: Sample, spec: DatasetSpec) -> str:
    """Choose a sample's text, as :class:`DatasetSpec` describes.

    Raises:
        ValueError: when the sample has no such text; the layout is named.
    """
    source = spec.text_source
    if source != CLASS_NAME and source not in sample.get("texts", {}):
        raise ValueError(
            f"text_source {source!r} needs published texts, which the layout {spec.layout!r} does not give for "
            f"{sample['image']}; set it to {CLASS_NAME}, or use the layout 'annotations' with such texts."
        )
    if spec.neutral_text is not None:
        return spec.neutral_text
    if source == CLASS_NAME:
        return sample["text"]
    texts = sample["texts"][source]
    return texts if isinstance(texts, str) else choose_one(texts, sample)


def _with_texts(sample: Sample, texts: Sample) -> Sample:
    return {key: value for key, value in sample.items() if key != "texts"} | texts


def find_splits(spec: DatasetSpec, cases: Sequence[Case], tolerant: bool = False) -> Splits:
    """Find which images are in which split, as :class:`DatasetSpec` describes.

    Args:
        spec: the dataset, and how it is read.
        cases: its cases.
        tolerant: skip names in the splits file that belong to no image.

    Raises:
        FileNotFoundError: when the splits file, or one of the owner's lists, is missing.
        ValueError: when the splits are wrong or two cases have the same stem.
    """
    stems = [case.stem for case in cases]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise ValueError(f"{spec.folder} has several images with the stem {shorten(twice)}; keep one of each.")
    group_of = spec.group_of()
    draw = partial(draw_splits, group_of=group_of)
    own_split = LAYOUTS[spec.layout].split
    path = _splits_file(spec)
    if path is not None:
        splits = complete_splits(read_splits(path, stems, tolerant), draw, str(path))
    elif own_split is not None:
        splits = own_split(spec.folder, cases, draw)
    else:
        return draw(stems)
    warn_of_overlap(splits)
    if group_of is not None:
        warn_of_overlap(splits, group_of)
    return splits


def _splits_file(spec: DatasetSpec) -> Path | None:
    """Return the given splits file, or the one in the folder."""
    if spec.splits_file is not None:
        return Path(spec.splits_file).expanduser()
    own = spec.folder / "splits.json"
    return own if own.exists() else None


def _splits_beside(spec: DatasetSpec, cases: Sequence[Case], trained_splits: str | Path | None) -> Splits:
    """Find splits whose test split holds nothing that a run was trained on."""
    path = Path(trained_splits or "").expanduser()
    trained = find_run_splits(path, spec.folder, [case.stem for case in cases]) if trained_splits is not None else None
    if trained is None:
        return find_splits(spec, cases)
    if _splits_file(spec) is None:
        return find_splits(replace(spec, splits_file=path), cases, tolerant=True)
    splits = find_splits(spec, cases)
    refuse_trained(splits, trained, path)
    return splits


def _gather(cases: Sequence[Case], splits: Splits, group_of: Callable[[str], str] | None) -> dict[str, list[Sample]]:
    samples = {case.stem: case.samples for case in cases}
    if group_of is not None:
        for stem in set().union(*splits.values()):
            for sample in samples[stem]:
                sample["group"] = group_of(stem)
    return {name: [sample for stem in stems for sample in samples[stem]] for name, stems in splits.items()}


def require_samples(cases: Sequence[Case], splits: Splits) -> None:
    """Check that each split has samples.

    Raises:
        ValueError: when a split is empty, or none of its images shows a class.
    """
    shown = {case.stem for case in cases if case.samples}
    for name, stems in splits.items():
        if not stems:
            raise ValueError(
                f"the split {name!r} is empty: its list in the splits file is empty, or the {len(cases)} images (or "
                "their groups) are too few to draw from; give each split at least one image, or leave val or test out "
                "of the splits file to draw it from train."
            )
        if shown.isdisjoint(stems):
            raise ValueError(f"the split {name!r} has no samples: none of its {len(stems)} images shows a class.")
