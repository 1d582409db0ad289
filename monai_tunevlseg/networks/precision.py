"""Precision of a network: its choice for a device, and the cast of the frozen base model to bfloat16."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_tunevlseg.networks.module_copies import copy_modules
from monai_tunevlseg.networks.product_attention import use_product_attention

__all__ = ["PRECISIONS", "cast_frozen", "choose_precision", "limit_bfloat16"]

PRECISIONS = ("fp32", "bf16", "fp16-amp")
LIMIT = "bfloat16_parts"
"""Attribute of a base model: names of the modules to which :func:`limit_bfloat16` limits bfloat16."""

logger = logging.getLogger(__name__)


def choose_precision(precision: str, device: str | torch.device) -> str:
    """Choose the precision for a device, and log it.

    Args:
        precision: one of the three below, or "auto" for the fastest on the device: "fp16-amp" on CUDA, "bf16" on CPUs
            with bfloat16 instructions (AMX, AVX512-BF16), because other CPUs are several times slower in bfloat16
            than in float32, and "fp32" elsewhere.
        device: device that runs the network.

    Returns:
        "fp32"; "bf16", the frozen base model in bfloat16 and trained parameters in float32; or "fp16-amp", all weights
        in float32 and CUDA's automatic mixed precision.

    Raises:
        ValueError: when the precision is unknown, "fp16-amp" is requested without CUDA, or "bf16" on a GPU without
            bfloat16 instructions.
    """
    kind = torch.device(device).type
    if precision not in ("auto", *PRECISIONS):
        raise ValueError(f"precision is {precision!r}; it must be one of auto, {', '.join(PRECISIONS)}.")
    if precision == "fp16-amp" and kind != "cuda":
        raise ValueError(f"precision 'fp16-amp' needs CUDA, and the device is {kind!r}; choose auto, fp32 or bf16.")
    if precision == "bf16" and kind == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError("precision 'bf16' needs a GPU with bfloat16 (compute capability 8.0); choose auto or fp32.")
    chosen = _fastest(kind) if precision == "auto" else precision
    reason = f"the choice for {kind}" if precision == "auto" else "as requested"
    logger.info("precision: %s (%s)", chosen, reason)
    return chosen


def _fastest(kind: str) -> str:
    if kind == "cuda":
        return "fp16-amp"
    return "bf16" if kind == "cpu" and _cpu_has_bfloat16() else "fp32"


def _cpu_has_bfloat16() -> bool:
    # AMX is available only if the operating system grants this process its registers
    return torch.cpu._is_avx512_bf16_supported() or (torch.cpu._is_amx_tile_supported() and torch.cpu._init_amx())


def limit_bfloat16(base: nn.Module, parts: Iterable[str]) -> None:
    """Limit bfloat16 to some modules of a base model, which round their inputs; all others stay in float32.

    A transformer's residual stream is a sum over all layers. In bfloat16 each addition rounds the whole sum to eight
    bits, in float32 only the summands are rounded, which are smaller. Wide products take nearly all of the time, and
    are the modules to name.

    Args:
        base: the base model.
        parts: names of modules without common submodules, whose inputs are tensors.
    """
    setattr(base, LIMIT, tuple(parts))


def cast_frozen(base: nn.Module, precision: str) -> nn.Module:
    """Return the base model in a precision.

    With "bf16" a copy: frozen tensors are cast once, because autocast would cast them at every call. Trained
    parameters are shared and unchanged, and so are modules outside of a limit (:func:`limit_bfloat16`), batch norms,
    because bfloat16's eight bits cannot resolve their statistics, and buffers that no checkpoint holds.

    Args:
        base: the base model; trained parameters have ``requires_grad``.
        precision: one of ``PRECISIONS``.

    Raises:
        ValueError: when the precision is unknown.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; it must be one of {', '.join(PRECISIONS)}.")
    if precision != "bf16":
        return base
    converted = {name: _converted_tensors(base.get_submodule(name)) for name in getattr(base, LIMIT, [""])}
    copied = copy_modules(base, replacements={key: each for part in converted.values() for key, each in part.items()})
    for name in (name for name, part in converted.items() if name and part):
        copied.get_submodule(name).register_forward_pre_hook(_round_inputs, with_kwargs=True)
    if _cpu_has_bfloat16():  # other CPUs emulate products in bfloat16
        use_product_attention(copied)
    return copied


def _converted_tensors(part: nn.Module) -> dict[int, Tensor]:
    """Return frozen tensors in bfloat16 by the id of the tensor, unless it is in bfloat16 already."""
    return {
        id(tensor): _converted(tensor)
        for module in part.modules()
        if not isinstance(module, _BatchNorm)
        for tensor in (*module.parameters(recurse=False), *_stored_buffers(module))
        if tensor.is_floating_point() and tensor.dtype != torch.bfloat16 and not tensor.requires_grad
    }


def _round_inputs(module: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, Any]:
    return tuple(map(_rounded, arguments)), {name: _rounded(value) for name, value in options.items()}


def _rounded(value: Any) -> Any:
    return value.to(torch.bfloat16) if isinstance(value, Tensor) and value.is_floating_point() else value


def _stored_buffers(module: nn.Module) -> list[Tensor]:
    """List a module's own buffers but for computed constants, such as rotary positions, which need all their bits."""
    buffers = module.named_buffers(recurse=False)
    return [buffer for name, buffer in buffers if name not in module._non_persistent_buffers_set]


def _converted(tensor: Tensor) -> Tensor:
    converted = tensor.detach().to(torch.bfloat16)
    return nn.Parameter(converted, requires_grad=False) if isinstance(tensor, nn.Parameter) else converted
