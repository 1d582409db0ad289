"""Devices in traced networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

__all__ = ["follow_device_of_input", "nodes_of"]


def follow_device_of_input(traced: torch.jit.ScriptModule) -> None:
    """Let tensors that a traced network creates be on the device of its first input.

    ``torch.jit.trace`` records the device of the example instead, and ``torch.jit.load(..., map_location)`` moves only
    weights, so that a network exported on a CPU fails on a GPU.

    Args:
        traced: result of ``torch.jit.trace``, changed in place; its submodules are inlined.
    """
    graph: Any = traced.graph
    torch._C._jit_pass_inline(graph)
    recorded = [node for node in nodes_of(graph) if node.kind() == "prim::Constant" and _is_device(node.output())]
    device = graph.create("prim::device", [list(graph.inputs())[1]], 1)  # the first one is the module
    device.output().setType(torch._C.DeviceObjType.get())
    graph.prependNode(device)
    for node in recorded:
        node.output().replaceAllUsesWith(device.output())


def nodes_of(block: Any) -> Iterator[Any]:
    """Iterate over the nodes of a graph or block, including those of nested blocks."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from nodes_of(inner)


def _is_device(value: Any) -> bool:
    return str(value.type()) == "Device"
