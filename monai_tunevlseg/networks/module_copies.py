"""Copies of modules that share tensors, so that several networks can share one base model."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import TypeVar

from torch import Tensor, nn

__all__ = ["copy_modules", "tensors_of"]

M = TypeVar("M", bound=nn.Module)


def tensors_of(module: nn.Module) -> Iterator[Tensor]:
    """Iterate over the parameters and buffers of a module and its submodules."""
    return chain(module.parameters(), module.buffers())


def copy_modules(module: M, unshared: Collection[int] = (), replacements: Mapping[int, Tensor] | None = None) -> M:
    """Copy a module and its submodules, but share their parameters and buffers.

    Args:
        module: module to copy.
        unshared: ids of the tensors to copy too.
        replacements: tensors that replace others, by the id of the replaced tensor.
    """
    replaced = replacements or {}
    shared = {
        id(tensor): replaced.get(id(tensor), tensor) for tensor in tensors_of(module) if id(tensor) not in unshared
    }
    return copy.deepcopy(module, shared)
