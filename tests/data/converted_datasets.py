"""Datasets in another form, and what training sees of them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from monai_tunevlseg.data import LAYOUTS, DatasetSpec, LoadImageMaskd, Sample, build_datalists
from monai_tunevlseg.data.dataset_conversion import convert_dataset
from monai_tunevlseg.data.forms import ConvertedDataset


def spec_of(layout: str, folder: Path, **arguments: Any) -> DatasetSpec:
    arguments.setdefault("class_names", LAYOUTS[layout].info.class_names if LAYOUTS[layout].info else ["polyp"])
    return DatasetSpec(folder, layout=layout, **arguments)


def convert(layout: str, folder: Path, output: Path, form: str = "folder", **arguments: Any) -> ConvertedDataset:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the published sizes")
        return convert_dataset(spec_of(layout, folder, **arguments), output, form)


def read(layout: str, folder: Path, **arguments: Any) -> dict[tuple[Any, ...], np.ndarray]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the published sizes")
        return loaded(build_datalists(spec_of(layout, folder, **arguments)))


def loaded(datalists: dict[str, list[Sample]]) -> dict[tuple[Any, ...], np.ndarray]:
    """Return the mask of each split, image (its pixels), slice, class and text."""
    seen = {}
    for split, samples in datalists.items():
        for sample in samples:
            tensors = LoadImageMaskd()(sample)
            image = np.asarray(tensors["image"]).tobytes()
            key = (split, image, sample.get("slice"), sample["class_name"], sample["text"])
            assert key not in seen
            seen[key] = np.asarray(tensors["label"])
    return seen


def assert_equal(one: dict[tuple[Any, ...], np.ndarray], other: dict[tuple[Any, ...], np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for key, mask in one.items():
        np.testing.assert_array_equal(mask, other[key])
