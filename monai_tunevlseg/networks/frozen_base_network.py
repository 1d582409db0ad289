"""A network around a frozen base model, whose state dict holds the trained parameters alone."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import chain
from typing import Any, ClassVar, Self

import torch
from torch import nn

from monai_tunevlseg.methods import Adapter, AdapterSites, Method
from monai_tunevlseg.networks.module_copies import copy_modules, tensors_of
from monai_tunevlseg.networks.precision import cast_frozen
from monai_tunevlseg.networks.trained_part import ModelParts, TrainedPart

__all__ = ["UNFREEZE", "FrozenBaseNetwork"]

UNFREEZE = (None, "decoder", "all")
BASE_PREFIX = re.compile(r"\bbase\.")


class FrozenBaseNetwork(nn.Module, ABC):
    """A network with a frozen base model; checkpoints hold its trained parameters alone.

    The loaded base model never changes, because several networks may share it: the network trains a copy of an
    unfrozen part, and an adapter modifies copies of the modules that share the frozen tensors.

    Args:
        base: the loaded base model.
        unfreeze: trainable part of the base model: None, "decoder" or "all".

    Attributes:
        base: the base model, or the network's own copy.
        trained: trained part of the base model.

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
        self.trained: TrainedPart
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

    @abstractmethod
    def adapter_sites(self) -> AdapterSites:
        """Return the places of the base model where adapters can act."""

    def _attach(self, method: Method | None) -> None:
        """Insert an adapter into the base model, and derive the trained part."""
        added = self._insert(method) if isinstance(method, Adapter) else []
        unfrozen = [
            ".".join(filter(None, (part, name)))
            for part in self._unfrozen_names()
            for name, _ in self.base.get_submodule(part).named_modules()
        ]
        self.trained = TrainedPart.derive(
            self.base,
            self.parts,
            list(dict.fromkeys([*unfrozen, *added])),
            prompts_text=method is not None and method.prompts_text,
            prompts_vision=method is not None and method.prompts_vision,
        )

    def _insert(self, adapter: Adapter) -> list[str]:
        """Insert an adapter into copies of the modules, and return the names of the modules that it adds.

        Raises:
            ValueError: when it unfreezes a parameter that other networks share.
        """
        self.base = copy_modules(self.base)
        known = {id(module) for module in self.base.modules()}
        frozen = [parameter for parameter in self.base.parameters() if not parameter.requires_grad]
        adapter.attach(self.base, self.adapter_sites())
        if shared := [parameter for parameter in frozen if parameter.requires_grad]:
            for parameter in shared:
                parameter.requires_grad_(False)
            raise ValueError(
                f"{type(adapter).__name__} unfreezes {len(shared)} parameters of the base model, which other networks "
                "share; train parameters of its own, or set unfreeze."
            )
        return [name for name, module in self.base.named_modules() if id(module) not in known]

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the trained modules; frozen modules and all batch norms of the base stay in eval mode."""
        self.training = mode
        for name, part in self.named_children():
            if name != "base":
                part.train(mode)
        for name in self.trained.modules:
            self.base.get_submodule(name).training = mode
        return self

    def compute_in(self, precision: str) -> Self:
        """Set the precision of the frozen base model; checkpoints do not depend on it.

        Args:
            precision: "fp32"; "bf16" for frozen parameters in bfloat16 and trained ones in float32; or "fp16-amp",
                which equals "fp32" here, because the engine that runs the network applies autocast.

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
    versions = getattr(state, "_metadata", {})  # one entry per module would outweigh a small checkpoint
    saved = tuple(f"{prefix}base.{name}" for name in network.trained.saved)
    kept = {name[:end] for name in saved for end in (at.start() for at in re.finditer(r"\.", name))}
    for name in [name for name in versions if f"{name}.".startswith(f"{prefix}base.") and name not in kept]:
        del versions[name]


def _refuse_frozen(network: FrozenBaseNetwork, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
    if (identity := state.get(f"{prefix}_extra_state")) is not None:
        network.set_extra_state(identity)  # before anything is loaded, and before torch lists missing keys
    of_base = f"{prefix}base."
    known = {of_base + name for name in network.trained.saved}
    if foreign := [key for key in state if key.startswith(of_base) and key not in known]:
        raise ValueError(
            f"the checkpoint holds {len(foreign)} weights of the frozen base model ({foreign[0]}, ...), which a "
            f"network with unfreeze {network.unfreeze!r} never saves; pass a checkpoint of such a network."
        )


def _ignore_missing_frozen(network: FrozenBaseNetwork, incompatible_keys: Any) -> None:
    """Drop frozen weights from the missing keys of strict loading, also below the prefix of a wrapper."""
    frozen = network._frozen_keys()
    missing: list[str] = incompatible_keys.missing_keys
    missing[:] = [key for key in missing if not any(key[at.start() :] in frozen for at in BASE_PREFIX.finditer(key))]
