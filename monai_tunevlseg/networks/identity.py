"""The identity of a network in its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["FORMAT_VERSION", "identity_from_tensor", "identity_to_tensor", "require_equal", "require_equal_entries"]

FORMAT_VERSION = 3  # version of the entries and of the fingerprint's content
STATE_BLOCK = 4096  # bytes; the length of _extra_state is a multiple
_FOREIGN = "the checkpoint's _extra_state is not that of a network of this package."


def identity_to_tensor(identity: Mapping[str, Any]) -> Tensor:
    """Return an identity as JSON in a uint8 tensor, which every checkpoint loader accepts.

    Blanks pad it to a common length, because MONAI's ``copy_model_state`` skips tensors of another shape, and with
    them the checks of ``set_extra_state``.
    """
    content = json.dumps(identity).encode()
    blocks = -(-len(content) // STATE_BLOCK)
    return torch.tensor(list(content.ljust(blocks * STATE_BLOCK)), dtype=torch.uint8)


def identity_from_tensor(state: Tensor) -> dict[str, Any]:
    """Return the identity in a tensor; the inverse of :func:`identity_to_tensor`.

    Raises:
        ValueError: when the tensor does not hold an identity.
    """
    try:
        return dict(json.loads(bytes(state.cpu().tolist())))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(_FOREIGN) from error


def require_equal_entries(group: str, names: Iterable[str], theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Require that the named entries of a group of a checkpoint's identity equal the network's.

    Raises:
        ValueError: when one differs, with both values, or the group is not a mapping.
    """
    given = theirs.get(group)
    if not isinstance(given, Mapping):
        raise ValueError(_FOREIGN)
    for name in names:
        require_equal(name, given, ours[group])


def require_equal(entry: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Require that an entry of a checkpoint's identity equals the network's.

    Raises:
        ValueError: when it differs; names both values.
    """
    name, mine, yours = entry, ours[entry], theirs.get(entry)
    if mine == yours:
        return
    if entry == "base_fingerprint":
        name = "base model"
        mine, yours = f"{ours['base_model']} ({mine})", f"{theirs.get('base_model')} ({yours})"
    raise ValueError(
        f"the checkpoint was trained with {name} {yours!r}, this network has {mine!r}; build the network as trained."
    )
