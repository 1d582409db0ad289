"""A network around a frozen base model: what of it trains, and a state without the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from typing import Any, ClassVar, Self

import torch
from torch import nn

from monai_tunevlseg.methods import Adapter, Method
from monai_tunevlseg.networks.module_copies import copy_modules, tensors_of
from monai_tunevlseg.networks.precision import cast_frozen
from monai_tunevlseg.networks.trained_parts import ModelParts, TrainedParts

__all__ = ["UNFREEZE", "FrozenBaseNetwork"]

UNFREEZE = (None, "decoder", "all")
BASE_PREFIX = re.compile(r"\bbase\.")


class FrozenBaseNetwork(nn.Module):
    """A module whose base model is frozen but for what it says; checkpoints hold the trained part alone.

    The base model itself never changes, because several networks may share it: an unfrozen part is a copy of its own,
    and an adapter goes into copies of the modules around the same tensors.

    Args:
        base: the loaded base model.
        unfreeze: the part of it that trains: None, "decoder" or "all".

    Attributes:
        base: the base model, or the network's own copy.
        trained: what trains of it.

    Raises:
        ValueError: when ``unfreeze`` is unknown.
    """

    parts: ClassVar[ModelParts]

    def __init__(self, base: nn.Module, unfreeze: str | None) -> None:
        super().__init__()
        if unfreeze not in UNFREEZE:
            raise ValueError(f"unfreeze is {unfreeze!r}; it must be one of {', '.join(map(repr, UNFREEZE))}.")
        self.unfreeze = unfreeze
        self.base = self._unfrozen(base.requires_grad_(False).eval())
        self.trained: TrainedParts
        self.register_state_dict_post_hook(_drop_frozen)
        self.register_load_state_dict_pre_hook(_refuse_frozen)
        self.register_load_state_dict_post_hook(_ignore_missing_frozen)

    def _unfrozen(self, base: nn.Module) -> nn.Module:
        unfrozen = [base.get_submodule(name) for name in self._unfrozen_names()]
        if not unfrozen:
            return base
        copied = copy_modules(base, {id(tensor) for module in unfrozen for tensor in tensors_of(module)})
        for name in self._unfrozen_names():
            copied.get_submodule(name).requires_grad_(True)
        return copied

    def _unfrozen_names(self) -> tuple[str, ...]:
        return {None: (), "decoder": self.parts.decoder, "all": ("",)}[self.unfreeze]

    def _tune(self, method: Method | None) -> None:
        """Put an adapter into the base model, and derive what trains."""
        added: list[str] = []
        if isinstance(method, Adapter):
            self.base = copy_modules(self.base)
            known = {id(module) for module in self.base.modules()}
            method.attach(self.base, vars(self.parts))
            added = [name for name, module in self.base.named_modules() if id(module) not in known]
        unfrozen = [
            ".".join(filter(None, (part, name)))
            for part in self._unfrozen_names()
            for name, _ in self.base.get_submodule(part).named_modules()
        ]
        self.trained = TrainedParts.derive(
            self.base,
            self.parts,
            list(dict.fromkeys([*unfrozen, *added])),
            prompts_text=method is not None and method.prompts_text,
            prompts_vision=method is not None and method.prompts_vision,
        )

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the trained modules; frozen ones stay in eval, and so does every batch norm of the base."""
        self.training = mode
        for name, part in self.named_children():
            if name != "base":
                part.train(mode)
        for name in self.trained.modules:
            self.base.get_submodule(name).training = mode
        return self

    def compute_in(self, precision: str) -> Self:
        """Let the frozen base model compute in a precision; no checkpoint depends on it.

        Args:
            precision: "fp32"; "bf16": frozen parameters compute in bfloat16, trained ones in float32; or "fp16-amp",
                the same as "fp32" here: autocast belongs to the engine that runs the network.

        Returns:
            this network.

        Raises:
            ValueError: when ``precision`` is unknown.
        """
        self.base = cast_frozen(self.base, precision)
        return self

    def dtype_of(self, part: str = "") -> torch.dtype:
        """Return the type in which a part of the base model takes its inputs: that of its frozen parameters, if any."""
        module = self.base.get_submodule(part)
        frozen = (parameter for parameter in module.parameters() if not parameter.requires_grad)
        return next(chain(frozen, module.parameters())).dtype

    def _frozen_keys(self) -> set[str]:
        return {f"base.{name}" for name in self.base.state_dict() if name not in self.trained.saved}


def _drop_frozen(network: FrozenBaseNetwork, state: dict[str, Any], prefix: str, local_metadata: Any) -> None:
    for name in network._frozen_keys():
        state.pop(prefix + name, None)
    versions = getattr(state, "_metadata", {})  # an entry per module, which would outweigh a small checkpoint
    saved = tuple(f"{prefix}base.{name}" for name in network.trained.saved)
    kept = {name[:end] for name in saved for end in (at.start() for at in re.finditer(r"\.", name))}
    for name in [name for name in versions if f"{name}.".startswith(f"{prefix}base.") and name not in kept]:
        del versions[name]


def _refuse_frozen(network: FrozenBaseNetwork, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
    if (identity := state.get(f"{prefix}_extra_state")) is not None:
        network.set_extra_state(identity)  # before anything is loaded, and before torch lists what is missing
    of_base = f"{prefix}base."
    known = {of_base + name for name in network.trained.saved}
    if foreign := [key for key in state if key.startswith(of_base) and key not in known]:
        raise ValueError(
            f"the checkpoint holds {len(foreign)} weights of the frozen base model ({foreign[0]}, ...), which a "
            f"network with unfreeze {network.unfreeze!r} never saves; pass a checkpoint of such a network."
        )


def _ignore_missing_frozen(network: FrozenBaseNetwork, incompatible_keys: Any) -> None:
    """Let strict loading do without the frozen weights, which no checkpoint holds, also below a wrapper's prefix."""
    frozen = network._frozen_keys()
    missing: list[str] = incompatible_keys.missing_keys
    missing[:] = [key for key in missing if not any(key[at.start() :] in frozen for at in BASE_PREFIX.finditer(key))]
