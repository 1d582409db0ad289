"""The places of a VLSM where adapters can act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["AdapterSites", "LayerSites", "TapSite"]


@dataclass(frozen=True)
class LayerSites:
    """The modules of one transformer layer by name.

    Attributes:
        width: width of the layer's hidden states.
        branches: modules whose outputs, or first outputs, are added to the residual: attention first, then the MLP.
        attention: the projections of attention: ``Linear`` modules, or whole ``MultiheadAttention`` modules.
        mlp: the ``Linear`` modules of the MLP.
    """

    width: int
    branches: tuple[str, ...]
    attention: tuple[str, ...]
    mlp: tuple[str, ...]


@dataclass(frozen=True)
class TapSite:
    """A module that brings a hidden state of the vision encoder to the decoder.

    Attributes:
        width: width of the hidden state.
        layer: index of the layer that returns it.
        module: name of the module, whose input is the hidden state.
    """

    width: int
    layer: int
    module: str


@dataclass(frozen=True)
class AdapterSites:
    """The places of a VLSM where adapters can act.

    Attributes:
        condition_dim: width of the text feature that conditions the decoder.
        text: the layers of the text encoder.
        vision: the layers of the vision encoder that the decoder reads.
        decoder: the layers of the decoder.
        taps: the hidden states of the vision encoder that the decoder reads, first layer first.
        reasons: reason why a part has no layers, as the end of a sentence, by the part's name.
    """

    condition_dim: int
    text: tuple[LayerSites, ...] = ()
    vision: tuple[LayerSites, ...] = ()
    decoder: tuple[LayerSites, ...] = ()
    taps: tuple[TapSite, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def layers(self, part: str) -> Sequence[LayerSites]:
        """Return the layers of the part "text", "vision" or "decoder".

        Raises:
            ValueError: when the part has none; names the reason.
        """
        layers: tuple[LayerSites, ...] = {"text": self.text, "vision": self.vision, "decoder": self.decoder}[part]
        if not layers:
            raise ValueError(
                f"the {part} part has no layers for adapters: {self.reasons.get(part, 'this VLSM declares none')}; "
                "leave it out of adapted_parts."
            )
        return layers

    def first_layers(self, part: str, count: int) -> Sequence[LayerSites]:
        """Return the first ``count`` layers of a part.

        Raises:
            ValueError: when the part has fewer; names both numbers.
        """
        layers = self.layers(part)
        if count > len(layers):
            raise ValueError(
                f"adapted_layers {count} is outside 1..{len(layers)}, the number of layers of the {part} encoder that "
                "can have adapters."
            )
        return layers[:count]
