"""Frozen modules with a trainable module before or after them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["AdaptedInput", "AdaptedOutput", "in_own_type", "wrap"]


class AdaptedOutput(nn.Module):
    """A frozen module whose output, or the first of its outputs, goes through an adapter.

    Args:
        frozen: module that returns a tensor, or a tuple that begins with one.
        adapter: module that keeps the shape of a tensor.
    """

    def __init__(self, frozen: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.frozen = frozen
        self.adapter = adapter

    def forward(self, *arguments: Any, **options: Any) -> Any:
        """Run the module, then the adapter."""
        output = self.frozen(*arguments, **options)
        if isinstance(output, tuple):
            return (self.adapter(output[0]), *output[1:])
        return self.adapter(output)


class AdaptedInput(nn.Module):
    """A frozen module whose input goes through an adapter.

    Args:
        frozen: module that takes a tensor.
        adapter: module that keeps the shape of a tensor.
    """

    def __init__(self, frozen: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.frozen = frozen
        self.adapter = adapter

    def forward(self, values: Tensor) -> Any:
        """Run the adapter, then the module."""
        return self.frozen(self.adapter(values))


def wrap(base: nn.Module, name: str, wrapper: type[AdaptedInput | AdaptedOutput], adapter: nn.Module) -> None:
    """Replace a module of a base model by itself with an adapter."""
    base.set_submodule(name, wrapper(base.get_submodule(name), adapter))


def in_own_type(module: nn.Module, values: Tensor) -> Tensor:
    """Run a module in the type of its parameters, and return the result in the type of the values.

    Trained parameters stay in float32 beside a frozen base model in bfloat16.
    """
    result: Tensor = module(values.to(next(module.parameters()).dtype))
    return result.to(values.dtype)
