"""What a run of a bundle has left behind: the checkpoint, how it was trained, and what was measured."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_tunevlseg.evaluation import file_digest
from monai_tunevlseg.networks.state import decode_identity
from monai_tunevlseg.training import CHECKPOINT, HYPERPARAMETERS

__all__ = ["Run", "read_run"]

SAME = ("network", "base_fingerprint", "learner", "learner_arguments", "upsampler", "trainable")
"""What of an evaluation's network must be that of the checkpoint."""


@dataclass(frozen=True)
class Run:
    """A trained network on disk.

    Attributes:
        state: the checkpoint's tensors, on the CPU.
        identity: what the checkpoint says of its network.
        hyperparameters: what training was given; empty when the run did not write it down.
        metrics: what ``evaluate.yaml`` measured of this very checkpoint; None when it did not.
    """

    state: dict[str, Tensor]
    identity: dict[str, Any]
    hyperparameters: dict[str, Any]
    metrics: dict[str, Any] | None


def read_run(folder: str | Path, metrics_file: str | Path | None = None) -> Run:
    """Read what a run has written into a folder, or a search into its folder ``best``.

    Args:
        folder: has ``models/model.pt``, and maybe ``eval/metrics.json``; a search's has ``../test/metrics.json``.
        metrics_file: a ``metrics.json`` elsewhere.

    Raises:
        FileNotFoundError: when there is no checkpoint, or no ``metrics_file``.
        ValueError: when a file cannot be read, or the metrics are those of another checkpoint.
    """
    checkpoint = Path(folder) / CHECKPOINT
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"the run folder {folder} has no {CHECKPOINT.as_posix()}; pass --run with the bundle_root of a finished "
            "training, or a search's folder best."
        )
    state = _read_checkpoint(checkpoint)
    identity = decode_identity(state["_extra_state"])
    record = checkpoint.with_name(HYPERPARAMETERS)
    hyperparameters = _read_json(record) if record.is_file() else {}
    found = _metrics_file(Path(folder), metrics_file)
    metrics = None if found is None else _checked_metrics(found, checkpoint, identity)
    return Run(state, identity, hyperparameters, metrics)


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"the checkpoint {path} cannot be read ({type(error).__name__}); train again.") from error
    if not isinstance(state, dict) or not isinstance(state.get("_extra_state"), Tensor):
        raise ValueError(f"{path} is no checkpoint of a prompt-tuned network; pass the model.pt of a run.")
    return dict(state)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}); run again what wrote it.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no mapping; run again what wrote it.")
    return content


def _metrics_file(folder: Path, given: str | Path | None) -> Path | None:
    if given is not None:
        if not Path(given).is_file():
            raise FileNotFoundError(f"there is no {given}; pass --metrics with the metrics.json of an evaluation.")
        return Path(given)
    places = [folder / "eval" / "metrics.json"]
    if folder.resolve().name == "best":
        places.append(folder.resolve().parent / "test" / "metrics.json")
    return next((path for path in places if path.is_file()), None)


def _checked_metrics(path: Path, checkpoint: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluation's numbers; those of another network would be invented here."""
    metrics = _read_json(path)
    network = metrics.get("network")
    differing = [name for name in SAME if not isinstance(network, dict) or network.get(name) != identity.get(name)]
    digest = metrics.get("checkpoint_digest")
    if differing or (digest is not None and digest != file_digest(checkpoint)):
        what = f"it has another {differing[0]}" if differing else "the checkpoint was written anew since"
        raise ValueError(
            f"{path} was not measured of {checkpoint} ({what}); evaluate this checkpoint again, or remove the file to "
            "share without metrics."
        )
    return metrics
