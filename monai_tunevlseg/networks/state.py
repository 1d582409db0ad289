"""What a checkpoint of a prompt-tuned network holds: what trains and the network's identity, nothing of the base."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

__all__ = ["FORMAT_VERSION", "SavedWithoutBase", "decode_identity", "difference", "encode_identity"]

FORMAT_VERSION = 3  # of the entries and of what the fingerprint covers
BASE_PREFIX = re.compile(r"\bbase\.")
STATE_BLOCK = 4096  # bytes; the length of _extra_state is a multiple of it


def encode_identity(identity: Mapping[str, Any]) -> Tensor:
    """Return JSON as a uint8 tensor, which every loader lets through.

    Blanks fill it to a common length, for MONAI's ``copy_model_state`` skips tensors of another shape, and the checks
    of ``set_extra_state`` with them.
    """
    content = json.dumps(identity).encode()
    blocks = -(-len(content) // STATE_BLOCK)
    return torch.tensor(list(content.ljust(blocks * STATE_BLOCK)), dtype=torch.uint8)


def decode_identity(state: Tensor) -> dict[str, Any]:
    """Undo :func:`encode_identity`.

    Raises:
        ValueError: when the tensor holds something else.
    """
    try:
        return dict(json.loads(bytes(state.cpu().tolist())))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError("the checkpoint's _extra_state is not that of a prompt-tuned network.") from error


def difference(what: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Say in which entry a checkpoint differs from the network, naming both sides."""
    name = what
    mine, yours = ours[what], theirs.get(what)
    if what == "base_fingerprint":
        name = "base model"
        mine, yours = f"{ours['base_model']} ({mine})", f"{theirs.get('base_model')} ({yours})"
    return f"the checkpoint was trained with {name} {yours!r}, this network has {mine!r}; build the network as trained."


class SavedWithoutBase(nn.Module):
    """A module that saves and loads its state without the frozen part of its base model.

    Attributes:
        base: the base model.
        unfreeze: the part of it that trains: None, "decoder" or "all".
    """

    decoder_parts: ClassVar[tuple[str, ...]]
    """Names of the base model's children that are neither image nor text encoder."""

    def __init__(self, unfreeze: str | None) -> None:
        super().__init__()
        self.base: nn.Module
        self.unfreeze = unfreeze
        self.register_state_dict_post_hook(_drop_frozen)
        self.register_load_state_dict_pre_hook(_refuse_base_weights)
        self.register_load_state_dict_post_hook(_forgive_frozen)

    def frozen_names(self) -> set[str]:
        """Return the names, behind ``base.``, of the base model's weights and buffers that no checkpoint holds."""
        names = {f"base.{name}" for name in self.base.state_dict()}
        if self.unfreeze is None:
            return names
        trained = ("base.",) if self.unfreeze == "all" else tuple(f"base.{part}." for part in self.decoder_parts)
        return {name for name in names if not name.startswith(trained)}


def _drop_frozen(network: SavedWithoutBase, state: dict[str, Any], prefix: str, local_metadata: Any) -> None:
    for name in network.frozen_names():
        state.pop(prefix + name, None)
    versions = getattr(state, "_metadata", {})  # one entry a module, which would outweigh a small checkpoint
    if network.unfreeze is None:
        for name in [name for name in versions if f"{name}.".startswith(f"{prefix}base.")]:
            del versions[name]


def _refuse_base_weights(network: SavedWithoutBase, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
    if (identity := state.get(f"{prefix}_extra_state")) is not None:
        network.set_extra_state(identity)  # before anything is loaded, and before torch lists what is missing
    trained = {f"{prefix}base.{name}" for name in network.base.state_dict()}
    trained -= {prefix + name for name in network.frozen_names()}
    if foreign := [key for key in state if key.startswith(f"{prefix}base.") and key not in trained]:
        raise ValueError(
            f"the checkpoint holds {len(foreign)} weights of the frozen base model ({foreign[0]}, ...), which a "
            f"network with unfreeze {network.unfreeze!r} never saves; pass a checkpoint of such a network."
        )


def _forgive_frozen(network: SavedWithoutBase, incompatible_keys: Any) -> None:
    """Let strict loading do without the frozen weights, which no checkpoint holds, also below a wrapper's prefix."""
    frozen = network.frozen_names()
    missing = incompatible_keys.missing_keys
    missing[:] = [key for key in missing if not any(key[at.start() :] in frozen for at in BASE_PREFIX.finditer(key))]
