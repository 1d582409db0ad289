"""The hyperparameters of the bundles: what each of them may be, checked before a run builds anything."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping
from inspect import currentframe, signature
from typing import Any

from monai.bundle import ConfigComponent, ConfigExpression, ReferenceResolver, run
from monai.bundle.properties import InferProperties, TrainProperties
from monai.bundle.utils import ID_SEP_KEY
from monai.utils import BundlePropertyConfig

from monai_tunevlseg.bundles.kinds import (
    DEVICE,
    LABEL_VALUES,
    PATH,
    PATTERN,
    SWITCH,
    TEXT,
    TEXTS,
    WINDOW,
    Kind,
    choice,
    number,
    numbers,
    or_null,
    whole_number,
)
from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.data.dataset_spec import TEXT_SOURCES
from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.networks.precision import PRECISIONS

__all__ = ["HYPERPARAMETERS", "METHODS_OWN", "check_hyperparameters", "typed"]

logger = logging.getLogger(__name__)

_COUNT = 1_000_000  # more epochs, images or steps than any run has
_WIDTH = 65_536  # wider than any layer
_SHOWN = 80  # characters of a wrong value

_DATASET = {
    "dataset_dir": PATH,
    "class_names": TEXTS,
    "layout": choice(*LAYOUTS),
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
}
_NETWORK = {
    "method": or_null(choice(*METHODS, "finetune")),
    "unfreeze": or_null(choice("decoder", "all")),
    "upsampler": SWITCH,
    "pretrained": PATH,
    "base_fingerprint": or_null(TEXT),
    "image_size": whole_number(1, 8192, "352"),
    "image_mean": numbers(3, -1e6, 1e6, "[0.485,0.456,0.406]"),
    "image_std": numbers(3, 0, 1e6, "[0.229,0.224,0.225]", above_low=True),
    "antialias": SWITCH,
    "precision": choice(*PRECISIONS, "auto"),
    "compile": SWITCH,
    "device": DEVICE,
}
_TRAINING = {
    "ckpt_dir": PATH,
    "resume": SWITCH,
    "initial_checkpoint": or_null(PATH),
    "loads_initial_checkpoint": SWITCH,
    "learning_rate": number(0, 100, "5e-4", above_low=True),
    "weight_decay": number(0, 100, "0.001"),
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
    "feature_cache": choice("off", "memory", "disk"),
    "feature_cache_dir": PATH,
    "feature_cache_size": number(0, 1e6, "8", above_low=True),
    "split": choice("train", "val", "test"),
    "hd95": SWITCH,
    "surface_dice": SWITCH,
    "surface_tolerance": number(0, 1e6, "2"),
    "bootstrap_resamples": whole_number(1, _COUNT, "9999"),
    "bootstrap_seed": whole_number(0, 2**32 - 1, "0"),
    "num_overlays": whole_number(0, _COUNT, "3"),
    "save_masks": SWITCH,
    "sw_batch_size": whole_number(1, _COUNT, "8"),
}
METHODS_OWN: Mapping[str, Kind] = {
    "num_context": whole_number(1, _WIDTH, "4"),
    "prompt_depth": whole_number(1, 1024, "9"),
    "context_initializer": or_null(TEXT),
    "intermediate_dim": whole_number(1, _WIDTH, "64"),
    "linear_projection": SWITCH,
    "shared_dim": whole_number(1, _WIDTH, "64"),
    "nhead": whole_number(1, _WIDTH, "16"),
    "dim_feedforward": whole_number(1, _WIDTH, "1280"),
    "dropout": number(0, 1, "0.1", below_high=True),
    "norm_first": SWITCH,
}
"""Those that only some bundles have; elsewhere one changes nothing, and the log says so."""

HYPERPARAMETERS: Mapping[str, Kind] = {**_DATASET, **_NETWORK, **_TRAINING, **_RESULTS, **METHODS_OWN}
"""Every flat hyperparameter of ``train.yaml``, ``evaluate.yaml`` and ``inference.yaml``, and what it may be."""

_STRUCTURE = {"initialize", "run", "finalize", "imports", "displayable_configs", "use_click"} | {
    str(facts[BundlePropertyConfig.ID]).split(ID_SEP_KEY)[0]
    for facts in (*TrainProperties.values(), *InferProperties.values())
}
"""What MONAI and MONAI Label look for without a reference to it."""


def check_hyperparameters() -> None:
    """Check the hyperparameters of the config that this call stands in, and give each its own type.

    For an expression of a config that comes before everything else. What a config's author or user has written as an
    expression or a reference is left to them.

    Raises:
        ValueError: when a value is not what its hyperparameter may be, or when nothing knows or refers to an option.
        RuntimeError: when it is not called from a config.
    """
    resolver = _asking_resolver()
    config = resolver.items[""].get_config()
    references = {name.split(ID_SEP_KEY)[0] for text in _texts_in(config) for name in resolver.match_refs_pattern(text)}
    for name, value in config.items():
        if not _is_known(name, value, references):
            raise ValueError(_unknown(name, value, config))
        if name in METHODS_OWN and name not in references:
            logger.warning("%s is %s, but the method of this bundle does not have it.", name, _shown(value))
        if name in HYPERPARAMETERS:
            _refuse_references_to_nothing(name, value, config)
            if not _is_program(value):
                resolver.resolved_content[name] = typed(name, value)


def typed(name: str, value: Any) -> Any:
    """Return the value of a hyperparameter in its own type.

    Args:
        name: one of `HYPERPARAMETERS`.
        value: as a command line, a config file or a program gives it.

    Raises:
        ValueError: when it is not what the hyperparameter may be; says what it may be, with an example.
    """
    kind = HYPERPARAMETERS[name]
    if any(ID_SEP_KEY in text for text in _texts_in(value)):
        raise ValueError(
            f"{name} is {_shown(value)}, and MONAI's configs read every # as {ID_SEP_KEY}; "
            f"neither can be in it, so write it without # and {ID_SEP_KEY}."
        )
    try:
        return kind.read(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is {_shown(value)}; it must be {kind.words}, such as --{name} {kind.example}"
            f"{f' ({error})' if error.args else ''}."
        ) from None


def _asking_resolver() -> ReferenceResolver:
    """Return the resolver of the config whose expression is running: MONAI hands an expression resolved ids only."""
    frame = currentframe()
    while frame is not None:
        asking = frame.f_locals.get("self")
        if isinstance(asking, ReferenceResolver):
            return asking
        frame = frame.f_back
    raise RuntimeError("hyperparameters are checked by an expression of a config; call it from there.")


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)


def _is_program(value: Any) -> bool:
    """Return whether MONAI evaluates a value, or a part of it."""
    return ConfigComponent.is_instantiable(value) or any(
        ConfigExpression.is_expression(text) or ReferenceResolver.id_matcher.fullmatch(text)
        for text in _texts_in(value)
    )


def _refuse_references_to_nothing(name: str, value: Any, config: Mapping[str, Any]) -> None:
    for text in _texts_in(value):
        reference = ReferenceResolver.id_matcher.fullmatch(text)
        if reference and reference[0].removeprefix(ReferenceResolver.ref).split(ID_SEP_KEY)[0] not in config:
            raise ValueError(
                f"{name} is {_shown(value)}, and MONAI's configs read {text!r} as a reference to something that this "
                "config does not have; write it without @."
            )


def _is_known(name: str, value: Any, references: set[str]) -> bool:
    named = name in HYPERPARAMETERS or name in _STRUCTURE or name in references
    return named or name.startswith("_") or _is_program(value)


def _unknown(name: str, value: Any, config: Mapping[str, Any]) -> str:
    known = [*HYPERPARAMETERS, *signature(run).parameters, *(other for other in config if other != name)]
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else "."
    return (
        f"{name} is {_shown(value)}, but no option has that name{hint} "
        "A value of your own needs a reference to it, or a name that begins with _."
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
