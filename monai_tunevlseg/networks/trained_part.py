"""The trained part of a base model, derived from the parameters that require a gradient."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["ModelParts", "TrainedPart"]


@dataclass(frozen=True)
class ModelParts:
    """Names of the modules and parameters of each part of a base model, disjoint and complete.

    Attributes:
        text: the text encoder.
        vision: the vision encoder.
        decoder: the decoder.
        early_decoder: the decoder's modules that run before it reads a text.
        other_outputs: parts for outputs other than logits.
    """

    text: tuple[str, ...]
    vision: tuple[str, ...]
    decoder: tuple[str, ...]
    early_decoder: tuple[str, ...]
    other_outputs: tuple[str, ...] = ()

    def affects_text(self, name: str) -> bool:
        """Return whether a parameter affects text features; one outside of all parts affects everything."""
        return _is_below(name, self.text) or not _is_below(name, self.vision + self.decoder)

    def affects_image(self, name: str) -> bool:
        """Return whether a parameter affects image features; one outside of all parts affects everything."""
        return _is_below(name, self.vision + self.early_decoder) or not _is_below(name, self.text + self.decoder)


@dataclass(frozen=True)
class TrainedPart:
    """The trained part of a base model, derived once when the network is built.

    Attributes:
        saved: names of the parameters and buffers in a checkpoint.
        modules: names of the modules that follow the network's mode; all others stay in eval mode.
        text_is_constant: whether text features are independent of all trained parameters.
        image_is_constant: whether image features are independent of all trained parameters.
    """

    saved: frozenset[str]
    modules: tuple[str, ...]
    text_is_constant: bool
    image_is_constant: bool

    @classmethod
    def derive(
        cls, base: nn.Module, parts: ModelParts, modules: Collection[str], prompts_text: bool, prompts_vision: bool
    ) -> TrainedPart:
        """Derive the trained part from the parameters that require a gradient.

        Args:
            base: the network's base model, adapters included.
            parts: names of its parts.
            modules: names of the unfrozen modules and of an adapter's modules. Batch norms among them keep the base
                model's statistics, because fine-tuning uses small batches.
            prompts_text: whether a prompt learner prompts the text encoder.
            prompts_vision: whether a prompt learner prompts the vision encoder.
        """
        parameters = {name: each.requires_grad for name, each in base.named_parameters(remove_duplicate=False)}
        trained = {name for name, trains in parameters.items() if trains}
        owners = {name.rpartition(".")[0] for name in trained}
        buffers = {name for name in base.state_dict() if name not in parameters and name.rpartition(".")[0] in owners}
        return cls(
            saved=frozenset(trained | buffers),
            modules=tuple(name for name in modules if not isinstance(base.get_submodule(name), _BatchNorm)),
            text_is_constant=not (prompts_text or any(map(parts.affects_text, trained))),
            image_is_constant=not (prompts_vision or any(map(parts.affects_image, trained))),
        )


def _is_below(name: str, parts: tuple[str, ...]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)
