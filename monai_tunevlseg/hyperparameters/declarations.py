"""The hyperparameters of the bundles, and the type of each."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.data.dataset_spec import TEXT_SOURCES
from monai_tunevlseg.data.subsets import SAME
from monai_tunevlseg.hyperparameters.value_types import (
    DEVICE,
    LABEL_VALUES,
    PATH,
    PATTERN,
    SWITCH,
    TEXT,
    TEXT_OR_TEXTS,
    TEXTS,
    WINDOW,
    ValueType,
    choice,
    number,
    numbers,
    or_null,
    or_word,
    whole_number,
    whole_numbers,
)
from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks import IMAGE_ONLY_NETWORKS, ImageOnlyNetwork
from monai_tunevlseg.networks.frozen_base_network import UNFREEZE
from monai_tunevlseg.networks.precision import PRECISIONS

__all__ = ["TEXT_OPTIONS", "ZERO_SHOT", "bundle_option_types", "hyperparameter_types", "method_argument_types"]

ZERO_SHOT: Mapping[str, Any] = types.MappingProxyType({"method": None, "unfreeze": None, "upsampler": False})
"""The options with which any bundle of a VLSM uses the base model unchanged."""

TEXT_OPTIONS = ("absent_texts", "compared_texts", "negative_texts", "text_sets")
"""The hyperparameters that bundles refuse whose network reads no text; null and 0 are off."""

_COUNT = 1_000_000  # above the epochs, images and steps of any run
_WIDTH = 65_536  # above the width of any layer
_NAMES = replace(TEXTS, example="\"['vision']\"")

_DATASET = {
    "dataset_dir": PATH,
    "class_names": TEXTS,
    "splits_file": or_null(PATH),
    "label_values": or_null(LABEL_VALUES),
    "mask_threshold": or_null(number(0, 255, "128", above_low=True)),
    "mask_ending": or_null(TEXT),
    "group_pattern": or_null(PATTERN),
    "slice_axis": whole_number(0, 2, "2"),
    "intensity_window": or_null(WINDOW),
    "empty_slices": SWITCH,
    "every_slice": SWITCH,
    "neutral_text": or_null(TEXT),
    "text_source": choice(*TEXT_SOURCES),
    "write_splits_to": or_null(PATH),
    "splits_draft": or_null(PATH),
    "trained_splits": or_null(PATH),
    "num_shots": or_null(whole_number(1, _COUNT, "4")),
    "train_fraction": or_null(number(0, 1, "0.1", above_low=True)),
    "val_fraction": or_null(or_word(number(0, 1, "0.1", above_low=True), SAME)),
    "subset_seed": whole_number(0, 2**32 - 1, "0"),
}
_NETWORK = {
    "unfreeze": or_null(choice(*(part for part in UNFREEZE if part is not None))),
    "upsampler": SWITCH,
    "image_size": whole_number(1, 8192, "352"),
    "image_mean": numbers(3, -1e6, 1e6, "[0.485,0.456,0.406]"),
    "image_std": numbers(3, 0, 1e6, "[0.229,0.224,0.225]", above_low=True),
    "antialias": SWITCH,
    "precision": choice(*PRECISIONS, "auto"),
    "compile": SWITCH,
    "device": DEVICE,
}
_TEXT_MODEL = {
    "pretrained": PATH,
    "base_fingerprint": or_null(TEXT),
    "absent_texts": or_null(TEXT_OR_TEXTS),
    "compared_texts": or_null(PATH),
    "negative_texts": whole_number(0, _COUNT, "3"),
    "negative_source": TEXT_OR_TEXTS,
    "negative_weight": number(0, 100, "1"),
    "text_sets": or_null(PATH),
}
_TRAINING = {
    "ckpt_dir": PATH,
    "resume": SWITCH,
    "initial_checkpoint": or_null(PATH),
    "loads_initial_checkpoint": SWITCH,
    "learning_rate": number(0, 100, "5e-4", above_low=True),
    "weight_decay": number(0, 100, "0.001"),
    "presence_weight": number(0, 100, "0.1"),
    "effective_batch_size": whole_number(1, _COUNT, "32"),
    "batch_size": whole_number(1, _COUNT, "8"),
    "accumulation_steps": whole_number(1, _COUNT, "4"),
    "epochs": whole_number(1, _COUNT, "20"),
    "val_interval": whole_number(1, _COUNT, "1"),
    "lr_factor": number(0, 1, "0.2", above_low=True, below_high=True),
    "lr_patience": whole_number(0, _COUNT, "5"),
    "early_stopping_patience": whole_number(1, _COUNT, "12"),
    "early_stopping_min_delta": number(0, 1e6, "1e-4"),
    "min_epochs": whole_number(0, _COUNT, "10"),
    "seed": whole_number(0, 2**32 - 1, "0"),
    "augmentation_probability": number(0, 1, "0.2"),
    "cache_rate": number(0, 1, "1.0"),
    "num_views": whole_number(0, _COUNT, "8"),
    "calibrate": SWITCH,
    "show_progress": SWITCH,
    "num_processes": whole_number(1, _COUNT, "1"),
    "rank": whole_number(0, _COUNT, "0"),
    "is_main_process": SWITCH,
}
_RESULTS = {
    "bundle_root": PATH,
    "output_dir": PATH,
    "ckpt_path": PATH,
    "num_workers": whole_number(0, 1024, "4"),
    "num_writers": whole_number(0, 1024, "2"),
    "feature_cache": choice("off", "memory", "disk"),
    "feature_cache_dir": PATH,
    "feature_cache_size": number(0, 1e6, "8", above_low=True),
    "split": choice("train", "val", "test"),
    "presence_threshold": or_null(number(0, 1, "0.5")),
    "hd95": SWITCH,
    "surface_dice": SWITCH,
    "surface_tolerance": number(0, 1e6, "2"),
    "bootstrap_resamples": whole_number(1, _COUNT, "9999"),
    "bootstrap_seed": whole_number(0, 2**32 - 1, "0"),
    "num_overlays": whole_number(0, _COUNT, "3"),
    "save_masks": SWITCH,
    "save_probabilities": SWITCH,
    "calibration": choice("auto", "off"),
    "sw_batch_size": whole_number(1, _COUNT, "8"),
}


def hyperparameter_types() -> dict[str, ValueType]:
    """Return the types of all top-level hyperparameters of ``train.yaml``, ``evaluate.yaml`` and ``inference.yaml``.

    Raises:
        TypeError: when an argument of a method has the name of another hyperparameter.
    """
    registered = {"layout": choice(*LAYOUTS), "method": or_null(choice(*METHODS))}
    own = {**_DATASET, **_NETWORK, **_TRAINING, **_RESULTS, **registered}
    options = bundle_option_types()
    if taken := sorted(own.keys() & options.keys()):
        raise TypeError(
            f"a method or model has the argument {taken[0]!r}, a hyperparameter of every bundle; rename it."
        )
    return own | options


def bundle_option_types() -> dict[str, ValueType]:
    """Return the types of the hyperparameters that only the bundles of some models or methods have.

    Raises:
        TypeError: as :func:`method_argument_types`, also for the arguments of image-only models.
    """
    common = inspect.signature(ImageOnlyNetwork).parameters.keys()
    of_models = {
        (f"the model {model!r}", name): kind
        for model in IMAGE_ONLY_NETWORKS
        for name, kind in _argument_types(IMAGE_ONLY_NETWORKS[model]).items()
        if name not in common
    }
    return _TEXT_MODEL | _merged(_method_arguments() | of_models)


def method_argument_types() -> dict[str, ValueType]:
    """Return the types of the methods' hyperparameters, which are the annotated arguments of their constructors.

    Raises:
        TypeError: when an argument has a type that no hyperparameter can have, or another type in another method.
    """
    return _merged(_method_arguments())


def _method_arguments() -> dict[tuple[str, str], ValueType]:
    return {
        (f"the method {method!r}", name): kind
        for method in METHODS
        for name, kind in _argument_types(METHODS[method]).items()  # type: ignore[arg-type]  # mypy: the hash of instances
    }


def _merged(arguments: Mapping[tuple[str, str], ValueType]) -> dict[str, ValueType]:
    """Merge the arguments of several owners, keyed by owner and name."""
    found: dict[str, ValueType] = {}
    for (owner, name), given in arguments.items():
        if found.setdefault(name, given).description != given.description:
            raise TypeError(
                f"{owner} has the argument {name!r} as {given.description}, another one as "
                f"{found[name].description}; rename it."
            )
    return found


@cache  # because reading the annotations of all methods takes milliseconds
def _argument_types(owner: type) -> Mapping[str, ValueType]:
    """Return the types of a constructor's arguments with a default."""
    annotations = get_type_hints(owner.__init__)  # type: ignore[misc]
    parameters = inspect.signature(owner).parameters.values()
    return {
        parameter.name: _value_type(annotations[parameter.name], parameter.default)
        for parameter in parameters
        if parameter.default is not parameter.empty
    }


def _value_type(annotation: Any, default: Any) -> ValueType:
    """Return the type of an annotated argument.

    Raises:
        TypeError: when a hyperparameter cannot have this type.
    """
    if get_origin(annotation) in (Union, types.UnionType):
        (given,) = (each for each in get_args(annotation) if each is not type(None))
        return or_null(_value_type(given, default))
    if get_origin(annotation) is Literal:
        return choice(*get_args(annotation))
    if get_origin(annotation) in (list, tuple, Sequence):
        of_numbers = get_args(annotation)[0] is int
        return whole_numbers(1, _WIDTH, str(list(default)).replace(" ", "")) if of_numbers else _NAMES
    example = str(default)
    known = {bool: SWITCH, int: whole_number(1, _WIDTH, example), float: number(0, 1e6, example), str: TEXT}
    if annotation not in known:
        raise TypeError(f"an argument of type {annotation!r} cannot be a hyperparameter of a bundle.")
    return known[annotation]
