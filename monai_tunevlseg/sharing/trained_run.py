"""What a run of a bundle has left behind: the checkpoint, how it was trained, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_tunevlseg.config_values import refuse_expressions
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.networks.identity import decode_identity
from monai_tunevlseg.sharing.schemas import IDENTITY_SCHEMA, METRICS_SCHEMA, NETWORK_KEYS, check_schema
from monai_tunevlseg.training import CHECKPOINT, CHECKPOINT_DIGEST, HYPERPARAMETERS, read_weights

__all__ = ["TrainedRun", "read_trained_run"]


@dataclass(frozen=True)
class TrainedRun:
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


def read_trained_run(folder: str | Path, metrics_file: str | Path | None = None) -> TrainedRun:
    """Read what a run has written into a folder, or a search into its folder ``best``.

    Args:
        folder: has ``models/model.pt``, and maybe ``eval/metrics.json``; a search's has ``../test/metrics.json``.
        metrics_file: a ``metrics.json`` elsewhere.

    Raises:
        FileNotFoundError: when there is no checkpoint, or no ``metrics_file``.
        ValueError: when a file cannot be read, holds values of another type or some that MONAI's configs would
            evaluate, or the metrics are those of another checkpoint.
    """
    checkpoint = Path(folder) / CHECKPOINT
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"the run folder {folder} has no {CHECKPOINT.as_posix()}; pass --run-dir with the bundle_root of a "
            "finished training, or a search's folder best."
        )
    state = _read_network(checkpoint)
    identity = decode_identity(state["_extra_state"])
    check_schema(identity, IDENTITY_SCHEMA, checkpoint)
    refuse_expressions(identity, f"the checkpoint {checkpoint}")
    found = _metrics_file(Path(folder), metrics_file)
    metrics = None if found is None else _checked_metrics(found, checkpoint, identity)
    return TrainedRun(state, identity, _read_record(checkpoint), metrics)


def _read_network(path: Path) -> dict[str, Tensor]:
    state = read_weights(path)
    if "_extra_state" not in state:
        raise ValueError(f"{path} is not a checkpoint of a prompt-tuned network; pass the model.pt of a run.")
    return state


def _read_record(checkpoint: Path) -> dict[str, Any]:
    """Return the hyperparameters that led to a checkpoint; none where no record was written."""
    path = checkpoint.with_name(HYPERPARAMETERS)
    if not path.is_file():
        return {}
    # names that begin with _ are the user's own, and go no further
    record = {name: value for name, value in read_json_object(path).items() if not name.startswith("_")}
    refuse_expressions(record, str(path))
    if record.pop(CHECKPOINT_DIGEST, None) not in (None, file_digest(checkpoint)):
        raise ValueError(
            f"{path} was not written with {checkpoint}, so that it may say what was not trained; resume or repeat the "
            "training, or remove the file to share with the experiment's own values."
        )
    return record


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
    metrics = read_json_object(path)
    check_schema(metrics, METRICS_SCHEMA, path)
    refuse_expressions(metrics["classes"], str(path))
    differing = [name for name in NETWORK_KEYS if metrics["network"].get(name) != identity.get(name)]
    digest = metrics.get("checkpoint_digest")
    if differing or digest != file_digest(checkpoint):
        what = f"it has another {differing[0]}" if differing else _difference(digest)
        raise ValueError(
            f"{path} was not measured of {checkpoint} ({what}); evaluate this checkpoint again, or remove the file to "
            "share without metrics."
        )
    return metrics


def _difference(digest: str | None) -> str:
    return "it names no checkpoint_digest" if digest is None else "the checkpoint was written anew since"
