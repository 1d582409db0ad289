"""The record of a run, kept with its checkpoints: its hyperparameters, and a digest of its data."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle.utils import ID_SEP_KEY

from monai_tunevlseg.atomic_files import write_text_atomically

__all__ = [
    "CHECKPOINT_DIGEST",
    "HYPERPARAMETERS",
    "check_same_run",
    "plain_values",
    "without_machine_options",
    "write_hyperparameters",
]

HYPERPARAMETERS = "hyperparameters.json"
CHECKPOINT_DIGEST = "checkpoint_digest"
"""Key in ``hyperparameters.json`` of the digest of the ``model.pt`` beside it."""

MACHINE_OPTIONS = {
    *("bundle_root", "dataset_dir", "splits_file", "ckpt_dir", "output_dir", "write_splits_to", "splits_draft"),
    *("pretrained", "base_fingerprint", "resume", "initial_checkpoint", "loads_initial_checkpoint", "opened_cache"),
    *("num_workers", "loader_workers", "cache_rate", "image_cache_rate", "feature_cache_dir", "feature_cache_size"),
    *("show_progress", "rank", "is_main_process", "compile", "zero_shot", "text_sets"),
}
"""Paths, because their content is compared instead, and options that change no result."""

CHANGEABLE_OPTIONS = {
    *("epochs", "min_epochs", "early_stopping_patience", "early_stopping_min_delta", "val_interval"),
    *("batch_size", "accumulation_steps", "num_processes", "precision", "chosen_precision", "amp"),
    "calibrate",
}
"""Options that a run may change when it resumes: its length, how a step is computed, and what follows the last one."""

logger = logging.getLogger(__name__)


def plain_values(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the top-level values of a config that are numbers, strings, booleans, None, or lists or mappings of these.

    Args:
        resolved: the values of the config by id, nested ids included.
    """
    values = {name: value for name, value in resolved.items() if ID_SEP_KEY not in name and _is_plain(value)}
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def write_hyperparameters(checkpoint: Path, values: Mapping[str, Any], digest: str) -> None:
    """Write ``hyperparameters.json`` beside a checkpoint, with the digest of the checkpoint."""
    content = {**values, CHECKPOINT_DIGEST: digest}
    write_text_atomically(checkpoint.with_name(HYPERPARAMETERS), json.dumps(content, indent=2, sort_keys=True) + "\n")


def without_machine_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters without paths and without options that change no result."""
    return {name: value for name, value in values.items() if name not in MACHINE_OPTIONS}


def check_same_run(path: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any], data: Mapping[str, str]) -> None:
    """Check that a run may resume from a checkpoint: hyperparameters and data must be those of the checkpoint's run.

    Args:
        path: the checkpoint.
        theirs: its content, with ``hyperparameters`` and ``data``.
        ours: the hyperparameters of the run that resumes, as :func:`without_machine_options` returns them.
        data: the digests of the data of the run that resumes, by split.

    Raises:
        ValueError: when hyperparameters or data differ; names the values of both sides.
    """
    before = theirs["hyperparameters"]
    changed = [name for name in ours if name in before and _text(ours[name]) != _text(before[name])]
    if refused := [name for name in changed if name not in CHANGEABLE_OPTIONS]:
        others = ", ".join(f"{name} {before[name]!r} instead of {ours[name]!r}" for name in sorted(refused))
        raise ValueError(f"the run of {path} has {others}; resume with the same values, or train with resume false.")
    if splits := [split for split, digest in data.items() if theirs["data"].get(split, digest) != digest]:
        raise ValueError(
            f"the run of {path} has other data in the split {' and '.join(splits)}; resume with the same images, masks "
            "and texts, or train with resume false."
        )
    for name in changed:
        logger.warning(f"{name} changes from {before[name]!r} to {ours[name]!r} in the resumed run.")


def _text(value: Any) -> str:
    """Return a value as JSON; a string such as ``true``, as a command line gives it, like the value that it means."""
    return (value if isinstance(value, str) else json.dumps(value)).lower()


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_scalar(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(_is_scalar(item) for item in value)
    return _is_scalar(value)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
