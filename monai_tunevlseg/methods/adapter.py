"""Adapters: trainable modules beside or inside the layers of the base model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import nn

from monai_tunevlseg.methods.method import Method

__all__ = ["Adapter"]


class Adapter(Method, ABC):
    """Base of all adapters.

    A network starts with an adapter as it was without: its logits are the base model's, bit for bit, until the first
    step. Everything else follows from the parameters that require a gradient: checkpoints hold them, and features that
    they reach are not kept.
    """

    @abstractmethod
    def attach(self, base: nn.Module, parts: Mapping[str, Sequence[str]]) -> None:
        """Put trainable modules into a base model.

        Args:
            base: the network's own copy of the modules. Its parameters are frozen and shared with other networks:
                modules may be replaced and wrapped, parameters must not be changed.
            parts: names of the modules and parameters of the ``text`` encoder, the ``vision`` encoder and the
                ``decoder``.
        """
