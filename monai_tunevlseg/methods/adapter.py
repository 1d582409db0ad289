"""Adapters: trainable modules beside or inside the layers of the base model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from monai_tunevlseg.methods.adapter_sites import AdapterSites
from monai_tunevlseg.methods.method import Method

__all__ = ["Adapter"]


class Adapter(Method, ABC):
    """Base class of all adapters.

    Until the first optimizer step, the logits of a network with an adapter equal those of the base model, bit for bit.
    Checkpoints and caches follow from the parameters that require a gradient: checkpoints hold these, and features
    that depend on them are not cached.

    Attributes:
        adapts_condition: whether the adapter changes the text feature that conditions the decoder.
        text_taps: indices of the text encoder's layers whose end states :meth:`adapt_condition` reads.
    """

    training_only_arguments: ClassVar[frozenset[str]] = frozenset({"dropout"})

    def __init__(self) -> None:
        super().__init__()
        self.adapts_condition = False
        self.text_taps: tuple[int, ...] = ()

    @abstractmethod
    def attach(self, base: nn.Module, sites: AdapterSites) -> None:
        """Insert trainable modules into a base model, or build the adapter's own.

        Args:
            base: the network's own copy of the modules. Its parameters are frozen and shared with other networks:
                modules may be replaced and wrapped, but parameters must not change.
            sites: the places of the base model where adapters can act.

        Raises:
            ValueError: when the base model has no such place; names the reason.
        """

    def adapt_condition(self, condition: Tensor, states: Tensor | None) -> Tensor:
        """Adapt the text feature that conditions the decoder; called if ``adapts_condition``.

        Args:
            condition: (..., condition_dim).
            states: (..., T, text_dim), states of the end token after the T layers of ``text_taps``; None if there are
                none.

        Returns:
            (..., condition_dim), of the type of ``condition``.
        """
        return condition

    def merge(self, base: nn.Module) -> None:
        """Fold the adapter into the weights of a base model as far as it is linear, for inference.

        Args:
            base: a copy of the modules to which this adapter is attached. Its tensors are shared: they are replaced,
                and never changed.
        """


def chosen_parts(
    adapted_parts: Sequence[str] | None, default: Sequence[str], known: Sequence[str], sites: AdapterSites
) -> list[str]:
    """Return the parts that an adapter acts on.

    Args:
        adapted_parts: their names; None = those of ``default`` for which the VLSM has sites.
        default: names of the default parts.
        known: names of all parts that the adapter supports.
        sites: the places of the base model.

    Raises:
        ValueError: when a part is unknown, there is none, or the names are not in a list.
    """
    if adapted_parts is None:
        chosen = [part for part in default if part == "condition" or getattr(sites, part)] or [*default[:1]]
    else:
        chosen = list(dict.fromkeys(adapted_parts))
    if isinstance(adapted_parts, str) or not chosen or set(chosen) - set(known):
        raise ValueError(f"adapted_parts is {adapted_parts!r}; it must be a list of some of {', '.join(known)}.")
    return chosen
