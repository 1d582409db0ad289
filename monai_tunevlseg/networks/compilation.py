"""``torch.compile`` for the layers of a base model."""

from __future__ import annotations

from monai_tunevlseg.networks.module_copies import copy_modules
from monai_tunevlseg.networks.prompt_tuned_network import PromptTunedNetwork

__all__ = ["compile_layers"]


def compile_layers(network: PromptTunedNetwork) -> PromptTunedNetwork:
    """Compile the base model's repeated layers with ``torch.compile``, each kind once, at their first call.

    Layers are compiled instead of the network, because texts and tokenizer are not tensors. Results agree up to
    rounding, and checkpoints stay compatible. The network gets copies of the modules that share the base model's
    weights, because other networks may share the base model.

    Args:
        network: network whose ``repeated_layers`` are compiled.

    Returns:
        the same network.
    """
    network.base = copy_modules(network.base)
    for name in network.repeated_layers:
        for layer in network.base.get_submodule(name).children():
            # batch sizes and text lengths vary, and one compilation per shape would exceed torch's limit
            layer.compile(dynamic=True)
    return network
