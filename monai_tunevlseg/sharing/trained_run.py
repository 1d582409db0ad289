"""Read the results of a run: the checkpoint, its hyperparameters and its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_tunevlseg.calibration import Calibration, read_calibration
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.networks.identity import identity_from_tensor
from monai_tunevlseg.sharing.schemas import METRICS_SCHEMA, NETWORK_KEYS, check_schema, identity_schema
from monai_tunevlseg.training import CHECKPOINT, CHECKPOINT_DIGEST, HYPERPARAMETERS, read_weights
from monai_tunevlseg.untrusted_values import refuse_expressions

__all__ = ["TrainedRun", "read_trained_run"]


@dataclass(frozen=True)
class TrainedRun:
    """Results of a run.

    Attributes:
        state: state dict of the checkpoint, on the CPU.
        identity: identity of the network, from the checkpoint.
        hyperparameters: hyperparameters of training; empty without a ``hyperparameters.json``.
        metrics: metrics of exactly this checkpoint, from ``evaluate.yaml``; None without an evaluation.
        calibration: calibration of exactly this checkpoint; None if it has none.
    """

    state: dict[str, Tensor]
    identity: dict[str, Any]
    hyperparameters: dict[str, Any]
    metrics: dict[str, Any] | None
    calibration: Calibration | None


def read_trained_run(folder: str | Path, metrics_file: str | Path | None = None) -> TrainedRun:
    """Read the results in the folder of a run, or in the folder ``best`` of a search.

    Args:
        folder: folder with ``models/model.pt`` and optionally ``eval/metrics.json``; the metrics of a search are in
            ``../test/metrics.json``.
        metrics_file: path of another ``metrics.json``.

    Raises:
        FileNotFoundError: when the checkpoint or ``metrics_file`` does not exist.
        ValueError: when a file cannot be read, has values of a wrong type or values that MONAI's config parser would
            evaluate, or the metrics or the calibration belong to another checkpoint.
    """
    checkpoint = Path(folder) / CHECKPOINT
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"no {CHECKPOINT.as_posix()} in the run folder {folder}; pass --run-dir with the bundle_root of a finished "
            "training, or with the folder best of a search."
        )
    state = _read_network(checkpoint)
    identity = identity_from_tensor(state["_extra_state"])
    check_schema(identity, identity_schema(), checkpoint)
    refuse_expressions(identity, f"the checkpoint {checkpoint}")
    found = _metrics_file(Path(folder), metrics_file)
    metrics = None if found is None else _checked_metrics(found, checkpoint, identity)
    record, calibration = _read_record(checkpoint), read_calibration(checkpoint)
    refuse_expressions([] if calibration is None else list(calibration.classes), f"the calibration of {checkpoint}")
    return TrainedRun(state, identity, record, metrics, calibration)


def _read_network(path: Path) -> dict[str, Tensor]:
    state = read_weights(path)
    if "_extra_state" not in state:
        raise ValueError(f"{path} is not a checkpoint of this package: no _extra_state; pass the model.pt of a run.")
    return state


def _read_record(checkpoint: Path) -> dict[str, Any]:
    """Return the hyperparameters that led to a checkpoint; empty without a record."""
    path = checkpoint.with_name(HYPERPARAMETERS)
    if not path.is_file():
        return {}
    # names that begin with _ are the user's own and are not shared
    record = {name: value for name, value in read_json_object(path).items() if not name.startswith("_")}
    refuse_expressions(record, str(path))
    if record.pop(CHECKPOINT_DIGEST, None) not in (None, file_digest(checkpoint)):
        raise ValueError(
            f"{path} was not written together with {checkpoint}, so its values may be wrong; resume or repeat the "
            "training, or remove the file to share the bundle with the experiment's defaults."
        )
    return record


def _metrics_file(folder: Path, given: str | Path | None) -> Path | None:
    if given is not None:
        if not Path(given).is_file():
            raise FileNotFoundError(f"no file {given}; pass --metrics with the metrics.json of an evaluation.")
        return Path(given)
    places = [folder / "eval" / "metrics.json"]
    if folder.resolve().name == "best":
        places.append(folder.resolve().parent / "test" / "metrics.json")
    return next((path for path in places if path.is_file()), None)


def _checked_metrics(path: Path, checkpoint: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of an evaluation; those of another network are refused."""
    metrics = read_json_object(path)
    check_schema(metrics, METRICS_SCHEMA, path)
    refuse_expressions(metrics["classes"], str(path))
    digest = metrics.get("checkpoint_digest")
    if digest != file_digest(checkpoint):
        differing = [name for name in NETWORK_KEYS if metrics["network"].get(name) != identity.get(name)]
        reason = f"its {differing[0]} differs" if differing else _digest_difference(digest)
        raise ValueError(
            f"the metrics in {path} are not those of {checkpoint} ({reason}); evaluate this checkpoint again, or "
            "remove the file to share the bundle without metrics."
        )
    return metrics


def _digest_difference(digest: str | None) -> str:
    return "it has no checkpoint_digest" if digest is None else "its checkpoint_digest differs"
