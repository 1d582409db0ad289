"""Adapters in the obvious way: LoRA by a call of peft, and bottlenecks by forward hooks on transformers' modules."""

from __future__ import annotations

from typing import Any, cast

from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from monai_tunevlseg.methods import Adapter, LoRA
from monai_tunevlseg.methods._wrapping import AdaptedOutput

__all__ = ["add_adapter"]

ATTENTION = r"clip\.(text|vision)_model\.encoder\.layers\.\d+\.self_attn\.(q|k|v|out)_proj"


def add_adapter(model: nn.Module, method: Adapter, adapted: nn.Module) -> None:
    """Give a model an adapter with the weights of one that is attached to another model.

    Args:
        model: transformers' ``CLIPSegForImageSegmentation``.
        method: the attached adapter, or a copy; bottlenecks must be inside the layers of both encoders.
        adapted: the project's modules to which it is attached.

    Raises:
        RuntimeError: when a trainable weight of ``adapted`` has no place in the model.
    """
    if isinstance(method, LoRA):
        config = LoraConfig(
            r=method.lora_rank, lora_alpha=method.lora_alpha, lora_dropout=method.dropout, target_modules=ATTENTION
        )
        inject_adapter_in_model(config, model)
    else:
        for name, module in list(adapted.named_modules()):
            if isinstance(module, AdaptedOutput):
                _adapt_output(model.get_submodule(name), module.adapter)
        _adapt_output(model.get_submodule("clip.text_projection"), cast(nn.Module, method.condition))
    learned = {name: value.detach() for name, value in adapted.named_parameters() if value.requires_grad}
    model.load_state_dict(model.state_dict() | learned)


def _adapt_output(module: nn.Module, adapter: nn.Module) -> None:
    module.add_module("adapter", adapter)
    module.register_forward_hook(_run_adapter)


def _run_adapter(module: Any, inputs: tuple[Tensor, ...], output: Any) -> Any:
    if isinstance(output, tuple):
        return module.adapter(output[0]), *output[1:]
    return module.adapter(output)
