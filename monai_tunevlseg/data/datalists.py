"""From a dataset folder to MONAI datalists."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from monai_tunevlseg.data.class_presence import require_classes
from monai_tunevlseg.data.dark_pictures import warn_of_dark_pictures
from monai_tunevlseg.data.intensity_windows import window_entry
from monai_tunevlseg.data.io.file_suffixes import SUFFIXES, is_volume_file, suffix_of
from monai_tunevlseg.data.layouts import LAYOUTS
from monai_tunevlseg.data.layouts._base import Layout
from monai_tunevlseg.data.layouts._files import is_image, list_images, subfolders, visible
from monai_tunevlseg.data.mask_encoding import MaskEncoding
from monai_tunevlseg.data.samples import Case, Sample, Splits
from monai_tunevlseg.data.splits import (
    complete_splits,
    draw_splits,
    find_run_splits,
    group_by,
    read_splits,
    refuse_trained,
    warn_of_overlap,
    write_splits,
)
from monai_tunevlseg.messages import shorten

__all__ = ["build_datalists", "build_inference_datalist", "choose_text", "find_splits", "read_cases"]

CLASS_NAME = "class_name"
GroupOf: TypeAlias = Callable[[str], str]
TEXT_SOURCES = (CLASS_NAME, *(f"p{number}" for number in range(10)))


def build_datalists(
    dataset_dir: str | Path,
    class_names: Sequence[str],
    layout: str = "folder",
    splits_file: str | Path | None = None,
    slice_axis: int = 2,
    write_splits_to: str | Path | None = None,
    label_values: Mapping[str, int] | None = None,
    mask_threshold: float | None = None,
    group_pattern: str | None = None,
    neutral_text: str | None = None,
    text_source: str = CLASS_NAME,
    mask_ending: str | None = None,
    trained_splits: str | Path | None = None,
    intensity_window: Sequence[float] | None = None,
    every_slice: bool = False,
) -> dict[str, list[Sample]]:
    r"""List the samples of a dataset by split.

    Args:
        dataset_dir: the dataset's folder.
        class_names: what is learned, in the order of the network's outputs.
        layout: how the folder is laid out, one of `LAYOUTS`.
        splits_file: JSON {"train": [stem, ...], "val": [...], "test": [...]}, where val or test may be left out and is
            then drawn from train. None = `splits.json` in the folder, and where there is none, the layout's own splits,
            and where it has none, 80/10/10 drawn from the file names. Images and volumes are never divided.
        slice_axis: sagittal (0), coronal (1) or axial (2) slices of volumes.
        write_splits_to: a JSON file that gets the splits in use.
        label_values: the value of each class in the mask files; None = binary for one class, 1..K in order for K.
        mask_threshold: values of binary masks from here on are foreground, for masks with grey edges (128) or several
            values that all count (1); None = binary masks must be clean.
        group_pattern: a regular expression such as `^(patient\d+)_` that finds the group in a file name; drawn splits
            never divide a group, and given ones that do are warned of. None = as the layout knows.
        neutral_text: replaces every text, so that the text cannot say what the mask should show.
        text_source: "class_name", or "p0" to "p9" for the texts of the published layout `annotations`; of several
            texts for one pair, the hash of its file name chooses one.
        mask_ending: what the names of masks end in beyond those of their images, such as "_mask", in the layout
            `folder`; None = what the names of all of them end in.
        trained_splits: the splits that a training run has written, if it has. Of this dataset, they are used where
            others would be drawn, so that images added since are in no split; a splits file whose test split holds
            images that they trained or chose the checkpoint on is refused.
        intensity_window: the values of the image files that become 0 and 1, in their own units; None = the range of a
            picture's type, and of a volume its 0.5 and 99.5 percentiles.
        every_slice: whether slices of a volume that show nothing of a class are pairs too.

    Returns:
        {"train": [...], "val": [...], "test": [...]}: plain dictionaries that JSON can hold; paths are absolute.

    Raises:
        FileNotFoundError: when a folder or the splits file is missing.
        ValueError: when an argument, the folder's content or the splits are wrong; the message names what.
    """
    if slice_axis not in (0, 1, 2):
        raise ValueError(f"slice_axis must be 0, 1 or 2, not {slice_axis!r}.")
    window = window_entry(intensity_window)
    folder = Path(dataset_dir).expanduser().absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f"dataset_dir {folder} is not a folder; set it to the dataset's.")
    _check_text_source(text_source)
    chosen = LAYOUTS[layout]
    encoding = MaskEncoding(class_names, label_values, mask_threshold, mask_ending, every_slice)
    cases = read_cases(folder, layout, encoding, slice_axis)
    require_classes(encoding, cases)
    pattern = group_pattern or chosen.group_pattern
    group_of = group_by(pattern) if pattern else None
    splits = _splits_beside(folder, cases, chosen, splits_file, group_of, trained_splits)
    datalists = _gather(cases, splits, group_of)
    for samples in datalists.values():
        texts = [choose_text(sample, neutral_text, text_source, layout) for sample in samples]
        # new dictionaries: splits that overlap share samples
        samples[:] = [_with_text(sample, text) | window for sample, text in zip(samples, texts, strict=True)]
    if write_splits_to is not None:
        write_splits(Path(write_splits_to).expanduser(), splits, folder)
    return datalists


def build_inference_datalist(dataset_dir: str | Path, intensity_window: Sequence[float] | None = None) -> list[Sample]:
    """List images to segment, with a warning where pictures would be read as nearly black.

    Args:
        dataset_dir: an image file, a folder of image files, or a folder with such a folder `images/` in it.
        intensity_window: as they are loaded.

    Returns:
        [{"image": path}, ...], sorted by file name; paths are absolute.

    Raises:
        FileNotFoundError: when there is no such file or folder.
        ValueError: when there is no image, a file that is no image, or two with the same stem.
    """
    path = Path(dataset_dir).expanduser().absolute()
    if path.is_file():
        if suffix_of(path).lower() not in SUFFIXES:
            raise ValueError(f"{path} has no supported suffix; supported are {', '.join(SUFFIXES)}.")
        return _to_segment([path], intensity_window)
    folder = path / "images" if (path / "images").is_dir() else path
    images = list_images(folder)
    if not images:
        inner = [path.name for path in subfolders(folder) if any(map(is_image, visible(path)))]
        way_out = f"set dataset_dir to its folder {shorten(inner)}" if inner else f"supported are {', '.join(SUFFIXES)}"
        raise ValueError(f"{folder} holds no images; {way_out}.")
    return _to_segment(images, intensity_window)


def _to_segment(images: Sequence[Path], intensity_window: Sequence[float] | None) -> list[Sample]:
    if intensity_window is None:
        warn_of_dark_pictures([image for image in images if not is_volume_file(image)])
    return [{"image": str(image)} for image in images]


def read_cases(folder: Path, layout: str, encoding: MaskEncoding, slice_axis: int) -> list[Case]:
    """List a dataset's cases, one or more.

    Raises:
        FileNotFoundError: when the layout finds no images in the folder, or misses a part of it.
        ValueError: as the layout describes.
    """
    cases = LAYOUTS[layout].read(folder, encoding, slice_axis)
    if not cases:
        raise FileNotFoundError(
            f"{folder} holds no images where the layout {layout!r} looks; unpack the dataset there."
        )
    return cases


def _check_text_source(text_source: str) -> None:
    if text_source not in TEXT_SOURCES:
        raise ValueError(f"text_source must be one of {', '.join(TEXT_SOURCES)}, not {text_source!r}.")


def choose_text(sample: Sample, neutral_text: str | None, text_source: str, layout: str) -> str:
    """Choose a sample's text, as `build_datalists` describes.

    Raises:
        ValueError: when the sample has no such text; `layout` is named.
    """
    if text_source != CLASS_NAME and text_source not in sample.get("texts", {}):
        raise ValueError(
            f"text_source {text_source!r} needs published texts, which the layout {layout!r} does not give for "
            f"{sample['image']}; set it to {CLASS_NAME}, or use the layout 'annotations' with such texts."
        )
    if neutral_text is not None:
        return neutral_text
    if text_source == CLASS_NAME:
        return sample["text"]
    texts = sample["texts"][text_source]
    if isinstance(texts, str):
        return texts
    name = f"{Path(sample['image']).name} {sample['class_name']}"
    return texts[int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(texts)]


def _with_text(sample: Sample, text: str) -> Sample:
    return {key: value for key, value in sample.items() if key != "texts"} | {"text": text}


def find_splits(
    folder: Path,
    cases: Sequence[Case],
    layout: Layout,
    splits_file: str | Path | None = None,
    group_of: GroupOf | None = None,
    tolerant: bool = False,
) -> Splits:
    """Find which images are in which split, as `build_datalists` describes; `tolerant` passes over unknown ones.

    Raises:
        FileNotFoundError: when the splits file, or one of the owner's lists, is missing.
        ValueError: when the splits are wrong or two cases have one stem.
    """
    stems = [case.stem for case in cases]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise ValueError(f"{folder} has several images with the stem {shorten(twice)}; keep one of each.")
    own = folder / "splits.json"
    if splits_file is not None or own.exists():
        path = Path(splits_file).expanduser() if splits_file is not None else own
        splits = complete_splits(read_splits(path, stems, tolerant), partial(draw_splits, group_of=group_of), str(path))
    elif layout.split is not None:
        splits = layout.split(folder, cases, partial(draw_splits, group_of=group_of))
    else:
        return draw_splits(stems, group_of)
    warn_of_overlap(splits)
    if group_of is not None:
        warn_of_overlap(splits, group_of)
    return splits


def _splits_beside(
    folder: Path,
    cases: Sequence[Case],
    layout: Layout,
    splits_file: str | Path | None,
    group_of: GroupOf | None,
    trained_splits: str | Path | None,
) -> Splits:
    """Find splits that test nothing which a run was trained on."""
    path = Path(trained_splits or "").expanduser()
    trained = find_run_splits(path, folder, [case.stem for case in cases]) if trained_splits is not None else None
    if trained is None:
        return find_splits(folder, cases, layout, splits_file, group_of)
    if splits_file is None and not (folder / "splits.json").exists():
        return find_splits(folder, cases, layout, path, group_of, tolerant=True)
    splits = find_splits(folder, cases, layout, splits_file, group_of)
    refuse_trained(splits, trained, path)
    return splits


def _gather(cases: Sequence[Case], splits: Splits, group_of: GroupOf | None) -> dict[str, list[Sample]]:
    samples = {case.stem: case.samples for case in cases}
    if group_of is not None:
        for stem in set().union(*splits.values()):
            for sample in samples[stem]:
                sample["group"] = group_of(stem)
    datalists = {name: [sample for stem in stems for sample in samples[stem]] for name, stems in splits.items()}
    for name, stems in splits.items():
        if not stems:
            raise ValueError(
                f"the split {name!r} is empty: its list in the splits file is empty, or the {len(cases)} images (or "
                "their groups) are too few to draw from; give train, val and test an image each, or leave val or test "
                "out of the splits file to draw it from train."
            )
        if not datalists[name]:
            raise ValueError(f"the split {name!r} has no samples: none of its {len(stems)} images shows a class.")
    return datalists
