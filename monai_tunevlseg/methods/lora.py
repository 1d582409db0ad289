"""LoRA: low-rank updates of frozen projections, through the peft library."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from monai_tunevlseg.methods._argument_checks import check_positive, check_probability
from monai_tunevlseg.methods.adapter import Adapter, chosen_parts
from monai_tunevlseg.methods.adapter_sites import AdapterSites
from monai_tunevlseg.methods.encoder_sizes import EncoderSizes

__all__ = ["LoRA"]

PARTS = ("vision", "text", "decoder")


class LoRA(Adapter):
    """Low-rank updates W + (alpha / rank) B A (Hu et al., *LoRA: Low-Rank Adaptation of Large Language Models*, 2022).

    A projection that is a ``Linear`` module becomes a LoRA layer of ``peft``. ``torch.nn.MultiheadAttention``, as in
    CRIS, reads its weights without calling a module: :class:`LowRankAttention` updates them in each call, because
    ``peft`` adds the update to the frozen weight and subtracts it again, and rounding errors accumulate. Dropout acts
    on the inputs of ``Linear`` modules alone.

    Args:
        encoders: sizes of the network's encoders.
        adapted_parts: some of ``vision``, ``text`` and ``decoder``; None = both encoders, if they have layers.
        lora_rank: rank of the updates.
        lora_alpha: scale; the update is multiplied by ``lora_alpha / lora_rank``.
        lora_mlp: whether to update the MLPs, too; else attention alone.
        dropout: probability before the update.

    Raises:
        ValueError: when rank or alpha is below 1, or the probability is 1 or more.
    """

    def __init__(
        self,
        encoders: EncoderSizes,
        adapted_parts: Sequence[str] | None = None,
        lora_rank: int = 8,
        lora_alpha: int = 16,
        lora_mlp: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_positive(lora_rank=lora_rank, lora_alpha=lora_alpha)
        check_probability(dropout)
        self.adapted_parts, self.lora_rank, self.lora_alpha = adapted_parts, lora_rank, lora_alpha
        self.lora_mlp, self.dropout = lora_mlp, dropout

    def attach(self, base: nn.Module, sites: AdapterSites) -> None:
        """Insert the updates; see :meth:`Adapter.attach`.

        Raises:
            ValueError: when the rank exceeds a width of a projection.
        """
        parts = chosen_parts(self.adapted_parts, ("vision", "text"), PARTS, sites)
        names = [
            name
            for part in parts
            for layer in sites.layers(part)
            for name in (*layer.attention, *(layer.mlp if self.lora_mlp else ()))
        ]
        for name in names:
            self._check_rank(name, base.get_submodule(name))
        packed = [name for name in names if isinstance(base.get_submodule(name), nn.MultiheadAttention)]
        for name in packed:
            attention = cast(nn.MultiheadAttention, base.get_submodule(name))
            base.set_submodule(name, LowRankAttention(attention, self.lora_rank, self.lora_alpha))
        self._inject([name for name in names if name not in packed], base)

    def _check_rank(self, name: str, module: nn.Module) -> None:
        width = min(side for weight in module.parameters() if weight.ndim == 2 for side in weight.shape)
        if self.lora_rank > width:
            raise ValueError(f"lora_rank {self.lora_rank} is outside 1..{width}, the width of {name}.")

    def _inject(self, names: Sequence[str], base: nn.Module) -> None:
        if not names:
            return
        from peft import LoraConfig, inject_adapter_in_model  # takes seconds to import

        trained = [parameter for parameter in base.parameters() if parameter.requires_grad]
        config = LoraConfig(
            r=self.lora_rank, lora_alpha=self.lora_alpha, lora_dropout=self.dropout, target_modules=list(names)
        )
        inject_adapter_in_model(config, base)
        for parameter in base.parameters():  # peft takes the type of the frozen weight, which may be bfloat16
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        for parameter in trained:  # peft freezes everything else
            parameter.requires_grad_(True)

    def merge(self, base: nn.Module) -> None:
        """Add the updates to copies of the weights, and remove the LoRA layers; see :meth:`Adapter.merge`."""
        from peft.tuners.lora import Linear

        for name, module in list(base.named_modules()):
            if isinstance(module, Linear):
                base.set_submodule(name, _merged_linear(module))
            elif isinstance(module, LowRankAttention):
                base.set_submodule(name, module.merged())


@torch.no_grad()
def _merged_linear(layer: Any) -> nn.Module:
    merged: nn.Module = copy.deepcopy(layer.get_base_layer())
    for name in layer.active_adapters:
        merged.weight += layer.get_delta_weight(name).to(merged.weight.dtype)
    return merged


class LowRankUpdate(nn.Module):
    """(alpha / rank) B A; B starts at zero, A as the weight of a Linear.

    Args:
        shape: rows and columns of the updated weight.
        rank: rank of the update.
        alpha: scale.
    """

    def __init__(self, shape: Sequence[int], rank: int, alpha: int) -> None:
        super().__init__()
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.empty(rank, shape[1]))
        self.up = nn.Parameter(torch.zeros(shape[0], rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the updated weight, (rows, columns)."""
        return weight + (self.scale * self.up @ self.down).to(weight.dtype)


class LowRankAttention(nn.Module):
    """``MultiheadAttention`` with low-rank updates of the packed projection of its inputs, and of its outputs.

    Args:
        frozen: the attention, whose weights stay as they are.
        rank: rank of the updates.
        alpha: scale.
    """

    def __init__(self, frozen: nn.MultiheadAttention, rank: int, alpha: int) -> None:
        super().__init__()
        self.frozen = frozen
        self.inputs = LowRankUpdate(frozen.in_proj_weight.shape, rank, alpha)
        self.outputs = LowRankUpdate(frozen.out_proj.weight.shape, rank, alpha)

    def _weights(self) -> dict[str, Tensor]:
        return {
            "in_proj_weight": self.inputs(self.frozen.in_proj_weight),
            "out_proj.weight": self.outputs(self.frozen.out_proj.weight),
        }

    def forward(self, *arguments: Any, **options: Any) -> Any:
        """Attend; takes and returns the same as ``MultiheadAttention``."""
        if torch.jit.is_tracing():  # functional_call cannot be traced
            return self.merged()(*arguments, **options)
        return functional_call(self.frozen, self._weights(), arguments, options)

    def merged(self) -> nn.Module:
        """Return an attention of its own with the updated weights."""
        merged = copy.deepcopy(self.frozen)
        merged.load_state_dict(self._weights(), strict=False)
        return merged
