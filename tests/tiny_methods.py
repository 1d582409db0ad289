"""Kinds of methods, and arguments with which they fit the tiny base models of the tests."""

from __future__ import annotations

from monai_tunevlseg.methods import METHODS, Adapter, with_defaults


def tiny_arguments(method: str | None, depth: int = 2) -> dict[str, int]:
    """Return the arguments with which a method fits the tiny base models; none without a registered method."""
    fitting = {"prompt_depth": depth, "adapted_layers": depth, "lora_rank": depth, "adapter_dim": 4}
    own = with_defaults(method, {}) if method in set(METHODS) else {}
    return {name: value for name, value in fitting.items() if name in own}


def is_adapter(method: str) -> bool:
    """Return whether a name is that of an adapter; names of bundles without a method, such as "decoder", are not."""
    return method in set(METHODS) and issubclass(METHODS[method], Adapter)
