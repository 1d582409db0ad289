"""Copies of modules that share their tensors, so that several networks can hold one base model."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import TypeVar

from torch import Tensor, nn

__all__ = ["copy_modules", "tensors_of"]

M = TypeVar("M", bound=nn.Module)


def tensors_of(module: nn.Module) -> Iterator[Tensor]:
    """Iterate over the parameters and buffers of a module and all below it."""
    return chain(module.parameters(), module.buffers())


def copy_modules(module: M, own: Collection[int] = (), instead: Mapping[int, Tensor] | None = None) -> M:
    """Copy a module and all below it around the same parameters and buffers.

    Args:
        module: what is copied.
        own: ids of the tensors that are copied too.
        instead: tensors that take the place of others, by the ids of those.
    """
    replaced = instead or {}
    shared = {id(tensor): replaced.get(id(tensor), tensor) for tensor in tensors_of(module) if id(tensor) not in own}
    return copy.deepcopy(module, shared)
