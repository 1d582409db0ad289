"""``torch.compile`` for the layers of a base model."""

from __future__ import annotations

from monai_tunevlseg.networks.module_copies import copy_modules
from monai_tunevlseg.networks.prompt_tuned_network import PromptTunedNetwork

__all__ = ["compile_layers"]


def compile_layers(network: PromptTunedNetwork) -> PromptTunedNetwork:
    """Let ``torch.compile`` translate the base's repeated layers, each kind once, when they first run.

    Layers and not the network: texts and tokenizer are no tensors. Numbers agree to rounding, and checkpoints fit. The
    network gets modules of its own around the base model's weights, because others may share the base model.

    Args:
        network: its ``repeated_layers`` are compiled.

    Returns:
        the same network.
    """
    network.base = copy_modules(network.base)
    for name in network.repeated_layers:
        for layer in network.base.get_submodule(name).children():
            # batches and texts have any length, and a translation for each length would soon be too many
            layer.compile(dynamic=True)
    return network
