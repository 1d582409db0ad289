"""Classes of a dataset under the names that a network knows, such as benign and malignant tumors as tumors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from monai_tunevlseg.data.sample_masks import MASK_KEYS, mask_paths
from monai_tunevlseg.data.samples import Case, Sample

__all__ = ["map_classes"]


def map_classes(cases: Iterable[Case], mapping: Mapping[str, str]) -> list[Case]:
    """Return the cases with the classes' new names, which are also their texts.

    Classes that get the same name become one: the mask of an image is the union of their masks.

    Args:
        cases: the cases of a dataset; none is changed.
        mapping: the new name of each class; a class without one is left out.
    """
    return [Case(case.stem, _map_samples(case.samples, mapping)) for case in cases]


def _map_samples(samples: Iterable[Sample], mapping: Mapping[str, str]) -> list[Sample]:
    united: dict[tuple[object, ...], list[Sample]] = {}
    for sample in samples:
        if (name := mapping.get(sample["class_name"])) is not None:
            united.setdefault((name, sample["image"], sample.get("slice")), []).append(sample)
    return [_unite(found, str(name)) for (name, *_), found in united.items()]


def _unite(samples: Sequence[Sample], name: str) -> Sample:
    """Return the sample of a class with one or more masks of the same image or slice."""
    named = samples[0] | {"class_name": name, "text": name}
    if len(samples) == 1:
        return named
    parts = [{key: sample[key] for key in MASK_KEYS if key in sample} for sample in samples]
    files = dict.fromkeys(str(path) for sample in samples for path in mask_paths(sample))
    return {key: value for key, value in named.items() if key not in MASK_KEYS} | {"label": [*files], "parts": parts}
