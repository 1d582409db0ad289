"""The identity of a network, as its checkpoints hold it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["FORMAT_VERSION", "identity_from_tensor", "mismatch_message", "identity_to_tensor"]

FORMAT_VERSION = 3  # of the entries and of what the fingerprint covers
STATE_BLOCK = 4096  # bytes; the length of _extra_state is a multiple of it


def identity_to_tensor(identity: Mapping[str, Any]) -> Tensor:
    """Return JSON as a uint8 tensor, which every loader lets through.

    Blanks fill it to a common length, because MONAI's ``copy_model_state`` skips tensors of another shape, and the
    checks of ``set_extra_state`` with them.
    """
    content = json.dumps(identity).encode()
    blocks = -(-len(content) // STATE_BLOCK)
    return torch.tensor(list(content.ljust(blocks * STATE_BLOCK)), dtype=torch.uint8)


def identity_from_tensor(state: Tensor) -> dict[str, Any]:
    """Undo :func:`identity_to_tensor`.

    Raises:
        ValueError: when the tensor holds something else.
    """
    try:
        return dict(json.loads(bytes(state.cpu().tolist())))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError("the checkpoint's _extra_state is not that of a prompt-tuned network.") from error


def mismatch_message(what: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Say in which entry a checkpoint differs from the network, naming both sides."""
    name = what
    mine, yours = ours[what], theirs.get(what)
    if what == "base_fingerprint":
        name = "base model"
        mine, yours = f"{ours['base_model']} ({mine})", f"{theirs.get('base_model')} ({yours})"
    return f"the checkpoint was trained with {name} {yours!r}, this network has {mine!r}; build the network as trained."
