"""Telescopic Adapters: bottleneck modules whose width grows with the depth of the layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_tunevlseg.methods._argument_checks import check_positive, check_probability
from monai_tunevlseg.methods._wrapping import AdaptedOutput, in_own_type, wrap
from monai_tunevlseg.methods.adapter import Adapter, chosen_parts
from monai_tunevlseg.methods.adapter_sites import AdapterSites
from monai_tunevlseg.methods.encoder_sizes import EncoderSizes

__all__ = ["ScaledBottleneck", "TelescopicAdapter", "telescopic_widths"]

PARTS = ("vision", "text", "condition")
TEXT_LAYERS = 3  # the last three of the adapted layers
MIN_WIDTH = 8


class ScaledBottleneck(nn.Module):
    """x + a W_up dropout(SiLU(LayerNorm(W_down x))), without biases; W_up starts at zero, the scalar a at 0.1.

    Args:
        width: width of the values.
        adapter_dim: width of the bottleneck.
        dropout: probability in the bottleneck.
    """

    def __init__(self, width: int, adapter_dim: int, dropout: float) -> None:
        super().__init__()
        up = nn.Linear(adapter_dim, width, bias=False)
        nn.init.zeros_(up.weight)
        self.layers = nn.Sequential(
            nn.Linear(width, adapter_dim, bias=False), nn.LayerNorm(adapter_dim), nn.SiLU(), nn.Dropout(dropout), up
        )
        self.scale = nn.Parameter(torch.tensor([0.1]))

    def forward(self, values: Tensor) -> Tensor:
        """Add the update: (..., width) -> (..., width)."""
        return values + (self.scale * in_own_type(self.layers, values)).to(values.dtype)


class TelescopicAdapter(Adapter):
    """Adapters whose width grows with depth (Mishra et al., *Improvise, Adapt, Overcome*, WACV 2026, section 3).

    The vision encoder has two adapters in each adapted layer, as :class:`VLSMAdapter` in its dense placement; the text
    encoder has them in the last three of the adapted layers; and one adapts the condition. :func:`telescopic_widths`
    has the widths.

    Args:
        encoders: sizes of the network's encoders.
        adapted_parts: some of ``vision``, ``text`` and ``condition``; None = all that the VLSM has layers for.
        adapter_dim: width from which all widths follow; 64 in the paper.
        adapted_layers: number of adapted layers of the vision encoder, from the first, and of the last adapted layer of
            the text encoder; 9 in the paper.
        dropout: probability in the bottlenecks.

    Raises:
        ValueError: when a width or the number of layers is below 1, or the probability is 1 or more.
    """

    def __init__(
        self,
        encoders: EncoderSizes,
        adapted_parts: Sequence[str] | None = None,
        adapter_dim: int = 64,
        adapted_layers: int = 9,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_positive(adapter_dim=adapter_dim, adapted_layers=adapted_layers)
        check_probability(dropout)
        self.adapted_parts, self.adapter_dim = adapted_parts, adapter_dim
        self.adapted_layers, self.dropout = adapted_layers, dropout
        self.condition: ScaledBottleneck | None = None

    def attach(self, base: nn.Module, sites: AdapterSites) -> None:
        """Insert the bottlenecks; see :meth:`Adapter.attach`."""
        parts = chosen_parts(self.adapted_parts, PARTS, PARTS, sites)
        vision, text, condition = telescopic_widths(self.adapter_dim, self.adapted_layers)
        if "condition" in parts:
            self.condition = ScaledBottleneck(sites.condition_dim, condition, self.dropout)
        self.adapts_condition = "condition" in parts
        widths = {"vision": vision, "text": [text] * min(TEXT_LAYERS, self.adapted_layers)}
        for part in (part for part in parts if part != "condition"):
            layers = sites.first_layers(part, self.adapted_layers)
            for layer, width in zip(layers[-len(widths[part]) :], widths[part], strict=True):
                for branch in layer.branches:
                    wrap(base, branch, AdaptedOutput, ScaledBottleneck(layer.width, width, self.dropout))

    def adapt_condition(self, condition: Tensor, states: Tensor | None) -> Tensor:
        """Adapt the condition; see :meth:`Adapter.adapt_condition`."""
        return condition if self.condition is None else self.condition(condition)


def telescopic_widths(adapter_dim: int, layers: int) -> tuple[list[int], int, int]:
    """Return the widths of the bottlenecks.

    Of L vision layers, layer l = 1..L has max(8, floor(``adapter_dim`` * l / (2 L))); a text layer has
    ``adapter_dim`` / 4, at least 8, and the condition ``adapter_dim`` / 8, at least 16. With 64 and nine layers:
    8, 8, 10, 14, 17, 21, 24, 28, 32; 16; 16.
    """
    vision = [max(MIN_WIDTH, adapter_dim * layer // (2 * layers)) for layer in range(1, layers + 1)]
    return vision, max(MIN_WIDTH, adapter_dim // 4), max(2 * MIN_WIDTH, adapter_dim // 8)
