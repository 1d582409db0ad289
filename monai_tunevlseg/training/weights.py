"""Reading checkpoints: never code from one, never a damaged one, and every error names the file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

__all__ = ["WeightsLoader", "load_weights", "checkpoint_errors", "read_checkpoint", "read_weights"]

TRAINING_STATE = "model"
"""Where ``last.pt`` has the network's weights among all else."""


def read_checkpoint(path: str | Path, device: torch.device | str | None = "cpu") -> dict[str, Any]:
    """Read a file that ``torch.save`` wrote with tensors and plain values in it.

    All its checksums are compared first, which torch does not do.

    Args:
        path: the checkpoint.
        device: where its tensors go.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, or something else; names it.
    """
    path = _existing(path)
    with checkpoint_errors(path, "is damaged, or is not a checkpoint"):
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {damaged} differs")
        content = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__} where a checkpoint has named tensors.")
    return content


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of a network from a ``model.pt`` or a ``last.pt``, onto the CPU.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, holds something else than weights, or one of them is not a finite number; names
            the file.
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
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, or is that of another network; names the file.
    """
    weights = read_weights(path)
    with checkpoint_errors(path, "does not fit this network"):
        network.load_state_dict(weights)


class WeightsLoader:
    """Loads a checkpoint when a run starts: MONAI's ``CheckpointLoader`` with errors that name the file.

    Args:
        path: a ``model.pt``, or a ``last.pt`` for the network at the end of its last epoch.
        network: not wrapped for several processes.

    Raises:
        FileNotFoundError: when there is no such file.
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
            f"there is no checkpoint {path}; run train.yaml first, pass --bundle_root with the folder of the bundle or "
            "run that has one, or --ckpt_path with the file, or --method null for the base model without training."
        )
    return Path(path)


def _problem(name: str, value: Any) -> str | None:
    """Return what is wrong with an entry of a network's state."""
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__} and not a tensor"
    if not value.is_floating_point():
        # counters of batch norms are int64, and the identity of the network is bytes
        known = value.dtype == torch.int64 or name.endswith("_extra_state")
        return None if known else f"has the type {value.dtype}"
    return None if bool(torch.isfinite(value).all()) else "has values that are not finite"


@contextmanager
def checkpoint_errors(path: str | Path, what: str) -> Iterator[None]:
    """Turn any error into one that names the file: for damaged files torch and pickle raise nearly every kind."""
    try:
        yield
    except Exception as error:
        reason = _reason(error)
        raise ValueError(f"the checkpoint {path} {what} ({reason}); train again, or give another one.") from error


def _reason(error: Exception) -> str:
    """Return what an error says in one line.

    Of torch's readers only the kind is told, because their texts advise to run the file's code.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = " ".join(str(error).split()).removesuffix(".")
    tells = isinstance(error, ValueError | zipfile.BadZipFile) or "loading state_dict" in said
    return f"{said:.300}" if said and tells else type(error).__name__
