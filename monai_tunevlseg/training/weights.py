"""Reading checkpoints: without running code, with their checksums compared, and with errors that name the file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

__all__ = ["WeightsLoader", "checkpoint_errors", "load_weights", "read_checkpoint", "read_weights"]

TRAINING_STATE = "model"
"""Key of the network's weights in ``last.pt``."""


def read_checkpoint(path: str | Path, device: torch.device | str | None = "cpu") -> dict[str, Any]:
    """Read a file of tensors and plain values that ``torch.save`` wrote, onto a device.

    All checksums are compared first, which torch does not do.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when the file is damaged, or is not a checkpoint; names it.
    """
    path = _existing(path)
    with checkpoint_errors(path, "is damaged, or is not a checkpoint"):
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {damaged} differs")
        content = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a checkpoint: it holds a {type(content).__name__} instead of named tensors.")
    return content


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of a network from a ``model.pt`` or a ``last.pt``, onto the CPU.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when the file is damaged, does not hold weights, or a weight is not finite; names the file.
    """
    content = read_checkpoint(path)
    nested = content.get(TRAINING_STATE)
    weights = dict(nested) if isinstance(nested, Mapping) else content
    for name, value in weights.items():
        if problem := _problem(str(name), value):
            raise ValueError(f"the checkpoint {path} cannot be used: {name} {problem}; train again.")
    return weights


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Load a checkpoint into the network that it was trained in.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when the file is damaged, or belongs to another network; names the file.
    """
    weights = read_weights(path)
    with checkpoint_errors(path, "does not fit this network"):
        network.load_state_dict(weights)


class WeightsLoader:
    """Loads a checkpoint when a run starts, as MONAI's ``CheckpointLoader``, with errors that name the file.

    Args:
        path: a ``model.pt``, or a ``last.pt`` with the network after its last epoch.
        network: the network, not wrapped for several processes.

    Raises:
        FileNotFoundError: when the file does not exist.
    """

    def __init__(self, path: str | Path, network: nn.Module) -> None:
        self.path = _existing(path)
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Register with the trainer or evaluator."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the checkpoint."""
        load_weights(self.network, self.path)
        engine.logger.info(f"Loaded {self.path}.")


def _existing(path: str | Path) -> Path:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"no checkpoint {path}; run train.yaml first, pass --bundle_root with the folder of a bundle or run that "
            "has one, or --ckpt_path with the file, or run a zero_shot bundle for the base model without training."
        )
    return Path(path)


def _problem(name: str, value: Any) -> str | None:
    """Return the problem of an entry of a network's state; None without one."""
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}, not a tensor"
    if not value.is_floating_point():
        # counters of batch norms are int64, and the extra state of a network is bytes
        known = value.dtype == torch.int64 or name.endswith("_extra_state")
        return None if known else f"has the type {value.dtype}"
    return None if bool(torch.isfinite(value).all()) else "has values that are not finite"


@contextmanager
def checkpoint_errors(path: str | Path, what: str) -> Iterator[None]:
    """Turn any error into one that names the file; torch and pickle raise many kinds for damaged files."""
    try:
        yield
    except Exception as error:
        reason = _reason(error)
        raise ValueError(f"the checkpoint {path} {what} ({reason}); train again, or give another file.") from error


def _reason(error: Exception) -> str:
    """Return the message of an error in one line.

    For errors of torch's readers it is the type only, because their texts advise running the file's code.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = " ".join(str(error).split()).removesuffix(".")
    tells = isinstance(error, ValueError | zipfile.BadZipFile) or "loading state_dict" in said
    return f"{said:.300}" if said and tells else type(error).__name__
