"""Adapters: trainable modules beside or inside the layers of the base model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import nn

from monai_tunevlseg.methods.method import Method

__all__ = ["Adapter"]


class Adapter(Method, ABC):
    """Base class of all adapters.

    Until the first optimizer step, the logits of a network with an adapter equal those of the base model, bit for bit.
    Checkpoints and caches follow from the parameters that require a gradient: checkpoints hold these, and features
    that depend on them are not cached.
    """

    @abstractmethod
    def attach(self, base: nn.Module, parts: Mapping[str, Sequence[str]]) -> None:
        """Insert trainable modules into a base model.

        Args:
            base: the network's own copy of the modules. Its parameters are frozen and shared with other networks:
                modules may be replaced and wrapped, but parameters must not change.
            parts: names of the modules and parameters of the ``text`` encoder, the ``vision`` encoder and the
                ``decoder``.
        """
