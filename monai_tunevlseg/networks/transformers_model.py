"""Models of transformers that a base model's folder holds: configuration and complete, finite weights in float32."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from monai_tunevlseg.networks.pretrained_folder import name_in_errors
from monai_tunevlseg.networks.stored_weights import (
    StoredWeight,
    check_dtypes,
    check_finite,
    count_elements,
    stored_weights,
)

__all__ = ["check_model_type", "check_settings", "load_model", "parse_config"]

_LAYER = re.compile(r"layers\.\d")


def check_model_type(found: Any, expected: Collection[str], model_class: str, file: Path) -> None:
    """Check the type of model in a configuration.

    Args:
        found: the ``model_type``.
        expected: types that are accepted.
        model_class: name of the model's class in the message.
        file: the configuration file.

    Raises:
        ValueError: when it is another; names the folder and both types.
    """
    if not isinstance(found, str) or found not in expected:
        raise ValueError(
            f"{str(file.parent)!r} holds a model of type {found!r}, not {' or '.join(map(repr, expected))}; pass the "
            f"folder or hub id of a {model_class}."
        )


def parse_config(config_class: Any, entries: Mapping[str, Any], file: Path) -> Any:
    """Build a configuration from the content of its file.

    Raises:
        ValueError: when an entry is invalid; names the file.
    """
    with name_in_errors(file):
        return config_class.from_dict(dict(entries))


def check_settings(settings: Iterable[tuple[str, Any, bool]], described: str, file: Path) -> None:
    """Check values that transformers does not validate.

    Args:
        settings: name, value and validity of each.
        described: what the configuration describes, such as ``a CLIPSeg of 12 vision layers``.
        file: the configuration file.

    Raises:
        ValueError: when a value is invalid; names the file, the setting and the value.
    """
    for name, value, fits in settings:
        if not fits:
            raise ValueError(
                f"{file} has the {name} {value!r:.100}, which is invalid for {described}; download it again."
            )


def load_model(model_class: Any, config: Any, layers: int, folder: Path) -> Any:
    """Load a model in float32 and evaluation mode.

    Args:
        model_class: the model's class in transformers.
        config: its configuration.
        layers: number of layers that the configuration describes.
        folder: folder of the weights.

    Raises:
        FileNotFoundError: when a file of weights is missing.
        ValueError: when weights are missing, misshapen, not finite or of another type, or belong to layers that the
            configuration lacks; names the file or the weight.
    """
    stored = stored_weights(folder)
    check_dtypes(stored, folder)
    _check_size(model_class, config, layers, stored, folder / "config.json")
    with name_in_errors(folder):
        model, report = model_class.from_pretrained(
            str(folder),
            config=config,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
            ignore_mismatched_sizes=True,  # reported below
            output_loading_info=True,
        )
    wrong = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    wrong |= {key for key in report["unexpected_keys"] if _LAYER.search(key)}  # layers beyond those of the config
    if wrong:
        raise ValueError(
            f"{str(folder)!r} is not a complete {model_class.__name__}: {len(wrong)} weights are missing, unexpected "
            f"or misshapen ({', '.join(sorted(wrong)[:3])}, ...); pass the folder or hub id of a complete one."
        )
    check_finite(model, folder)
    return model


def _check_size(model_class: Any, config: Any, layers: int, stored: Mapping[str, StoredWeight], file: Path) -> None:
    """Check on the meta device that a model is not far larger than its files, before memory is allocated for it.

    Up to twice their size, the weights that do not fit are named after loading.
    """
    if layers > len(stored):  # building many layers takes time even without memory
        raise _not_together(f"{layers} layers", f"{len(stored)} tensors", file)
    with name_in_errors(file), torch.device("meta"):
        numbers = sum(weight.numel() for weight in model_class(config).parameters())
    if numbers > 2 * (held := count_elements(stored)):
        raise _not_together(f"{numbers} weights", str(held), file)


def _not_together(described: str, held: str, file: Path) -> ValueError:
    return ValueError(
        f"{file} describes a model of {described}, but the files beside it hold {held}; they do not belong together: "
        "download them again."
    )
