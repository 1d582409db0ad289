"""VLSM-Adapter: bottleneck modules in the layers of both encoders, or after the tapped ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from torch import Tensor, nn

from monai_tunevlseg.methods._argument_checks import check_positive
from monai_tunevlseg.methods._wrapping import AdaptedInput, AdaptedOutput, in_own_type, wrap
from monai_tunevlseg.methods.adapter import Adapter, chosen_parts
from monai_tunevlseg.methods.adapter_sites import AdapterSites
from monai_tunevlseg.methods.encoder_sizes import EncoderSizes

__all__ = ["Bottleneck", "VLSMAdapter"]

PARTS = ("vision", "text", "condition")


class Bottleneck(nn.Module):
    """x + W_up ReLU(W_down x), the adapter of Houlsby et al., *Parameter-Efficient Transfer Learning for NLP*, 2019.

    W_up starts at zero. Dhakal et al. have a second ReLU after W_up, which would never get a gradient from a start at
    zero, and is left out here.

    Args:
        width: width of the values.
        adapter_dim: width of the bottleneck.
        output_width: width of the update; None = ``width``.
    """

    def __init__(self, width: int, adapter_dim: int, output_width: int | None = None) -> None:
        super().__init__()
        up = nn.Linear(adapter_dim, output_width or width)
        nn.init.zeros_(up.weight)
        nn.init.zeros_(up.bias)
        self.layers = nn.Sequential(nn.Linear(width, adapter_dim), nn.ReLU(), up)

    def update(self, values: Tensor) -> Tensor:
        """Return the update alone: (..., width) -> (..., output_width)."""
        return in_own_type(self.layers, values)

    def forward(self, values: Tensor) -> Tensor:
        """Add the update: (..., width) -> (..., width)."""
        return values + self.update(values)


class VLSMAdapter(Adapter):
    """Bottleneck adapters (Dhakal et al., *VLSM-Adapter*, MICCAI 2024, section 2).

    - ``dense``: after attention and after the MLP, before each is added to the residual, in the first layers of both
      encoders.
    - ``shallow``: on the hidden states of the vision encoder that the decoder reads; and from the states of the end
      token after the text encoder's layers of the same numbers to the condition. The encoders run unchanged.

    The condition is the text feature that modulates the decoder; it has an adapter in both placements.

    Args:
        encoders: sizes of the network's encoders.
        placement: ``dense`` or ``shallow``.
        adapted_parts: some of ``vision``, ``text`` and ``condition``; None = all that the VLSM has layers for.
        adapter_dim: width of the bottlenecks; the paper has 64 (dense) and 512 (shallow).
        condition_adapter_dim: width of the condition's bottleneck.
        adapted_layers: number of adapted layers of each encoder, from the first; only for ``dense``.

    Raises:
        ValueError: when a width or the number of layers is below 1, or the placement is unknown.
    """

    def __init__(
        self,
        encoders: EncoderSizes,
        placement: Literal["dense", "shallow"] = "dense",
        adapted_parts: Sequence[str] | None = None,
        adapter_dim: int = 64,
        condition_adapter_dim: int = 256,
        adapted_layers: int = 9,
    ) -> None:
        super().__init__()
        if placement not in ("dense", "shallow"):
            raise ValueError(f"placement is {placement!r}; it must be 'dense' or 'shallow'.")
        check_positive(
            adapter_dim=adapter_dim, condition_adapter_dim=condition_adapter_dim, adapted_layers=adapted_layers
        )
        self.text_dim = encoders.text_dim
        self.placement, self.adapted_parts = placement, adapted_parts
        self.adapter_dim, self.condition_adapter_dim = adapter_dim, condition_adapter_dim
        self.adapted_layers = adapted_layers
        self.condition: Bottleneck | None = None
        self.text = nn.ModuleList()

    def attach(self, base: nn.Module, sites: AdapterSites) -> None:
        """Insert the bottlenecks; see :meth:`Adapter.attach`."""
        shallow = self.placement == "shallow"
        default = [part for part in PARTS if not shallow or part == "condition" or sites.taps]
        parts = chosen_parts(self.adapted_parts, default, PARTS, sites)
        if "condition" in parts:
            self.condition = Bottleneck(sites.condition_dim, self.condition_adapter_dim)
        attach = self._attach_to_taps if shallow else self._attach_inside_layers
        attach(base, sites, [part for part in parts if part != "condition"])
        self.adapts_condition = "condition" in parts or bool(self.text)

    def _attach_inside_layers(self, base: nn.Module, sites: AdapterSites, parts: Sequence[str]) -> None:
        for layer in (layer for part in parts for layer in sites.first_layers(part, self.adapted_layers)):
            for branch in layer.branches:
                wrap(base, branch, AdaptedOutput, Bottleneck(layer.width, self.adapter_dim))

    def _attach_to_taps(self, base: nn.Module, sites: AdapterSites, parts: Sequence[str]) -> None:
        for part in parts:
            if not sites.taps:
                sites.layers(part)
                raise ValueError(
                    f"placement 'shallow' needs hidden states that the decoder reads, and this VLSM has none for "
                    f"{part!r}; choose placement dense, or adapted_parts [condition]."
                )
        if "vision" in parts:
            for tap in sites.taps:
                wrap(base, tap.module, AdaptedInput, Bottleneck(tap.width, self.adapter_dim))
        if "text" in parts:
            self.text_taps = tuple(tap.layer for tap in sites.taps)
            if (last := max(self.text_taps)) >= len(sites.text):
                raise ValueError(
                    f"the decoder reads layer {last + 1} of the vision encoder, but the text encoder has "
                    f"{len(sites.text)} layers; leave text out of adapted_parts, or choose placement dense."
                )
            self.text.extend(Bottleneck(self.text_dim, self.adapter_dim, sites.condition_dim) for _ in self.text_taps)

    def adapt_condition(self, condition: Tensor, states: Tensor | None) -> Tensor:
        """Adapt the condition, then add the updates from the text encoder's layers; see :class:`Adapter`."""
        adapted = condition if self.condition is None else self.condition(condition)
        if states is not None:
            for adapter, state in zip(self.text, states.unbind(-2), strict=True):
                adapted = adapted + cast(Bottleneck, adapter).update(state)
        return adapted
