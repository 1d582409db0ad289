"""``torch.compile`` for the layers of a network."""

from __future__ import annotations

from typing import TypeVar

import torch

from monai_tunevlseg.networks.module_copies import copy_modules
from monai_tunevlseg.networks.prompt_tuned_network import PromptTunedNetwork
from monai_tunevlseg.networks.segmentation_network import SegmentationNetwork

__all__ = ["compile_layers"]

N = TypeVar("N", bound=SegmentationNetwork)


def compile_layers(network: N) -> N:
    """Compile the layers of a network with ``torch.compile`` at their first call.

    Of a VLSM these are the base model's repeated layers, each kind once, and of other networks the whole model. The
    network itself is not compiled, because texts and tokenizer are not tensors. Results agree up to rounding, and
    checkpoints stay compatible.

    Args:
        network: the network. A VLSM gets copies of the modules that share the base model's weights, because other
            networks may share the base model.

    Returns:
        the same network.
    """
    if isinstance(network, PromptTunedNetwork):
        network.base = copy_modules(network.base)
        lists = (network.base.get_submodule(name) for name in network.repeated_layers)
        layers = [layer for each in lists for layer in each.children()]
        for name in network.layer_functions:
            setattr(network, name, torch.compile(getattr(network, name), dynamic=True))
    else:
        layers = list(network.children())
    for layer in layers:
        # batch sizes and text lengths vary, and one compilation per shape would exceed torch's limit
        layer.compile(dynamic=True)
    return network
