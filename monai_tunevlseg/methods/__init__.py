"""Methods that tune a frozen base model: prompt learners and adapters."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from monai_tunevlseg.methods.adapter import Adapter
from monai_tunevlseg.methods.adapter_sites import AdapterSites, LayerSites, TapSite
from monai_tunevlseg.methods.cocoop import CoCoOp
from monai_tunevlseg.methods.coop import CoOp
from monai_tunevlseg.methods.encoder_sizes import EncoderSizes
from monai_tunevlseg.methods.lora import LoRA
from monai_tunevlseg.methods.maple import MaPLe
from monai_tunevlseg.methods.method import Method
from monai_tunevlseg.methods.prompt_learner import PromptLearner, TextContextLearner
from monai_tunevlseg.methods.shared_attention import SharedAttention
from monai_tunevlseg.methods.shared_separate import SharedSeparate
from monai_tunevlseg.methods.telescopic_adapter import TelescopicAdapter
from monai_tunevlseg.methods.vlsm_adapter import VLSMAdapter
from monai_tunevlseg.methods.vpt import VPT
from monai_tunevlseg.registry import Registry

__all__ = [
    "METHODS",
    "VPT",
    "Adapter",
    "AdapterSites",
    "CoCoOp",
    "CoOp",
    "EncoderSizes",
    "LayerSites",
    "LoRA",
    "MaPLe",
    "Method",
    "PromptLearner",
    "SharedAttention",
    "SharedSeparate",
    "TapSite",
    "TelescopicAdapter",
    "TextContextLearner",
    "VLSMAdapter",
    "with_defaults",
]

METHODS: Registry[type[Method]] = Registry("method")
METHODS.register("coop", CoOp)
METHODS.register("cocoop", CoCoOp)
METHODS.register("vpt", VPT)
METHODS.register("maple", MaPLe)
METHODS.register("shared_attention", SharedAttention)
METHODS.register("shared_separate", SharedSeparate)
METHODS.register("lora", LoRA)
METHODS.register("vlsm_adapter", VLSMAdapter)
METHODS.register("telescopic_adapter", TelescopicAdapter)


def with_defaults(method: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's arguments, completed by its defaults.

    Args:
        method: registered name of the method.
        kwargs: some of its arguments.

    Raises:
        ValueError: when the method is unknown, or does not take one of the arguments.
    """
    parameters = inspect.signature(METHODS[method]).parameters.values()
    own = {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}
    if unknown := sorted(set(kwargs) - set(own)):
        raise ValueError(f"method {method!r} does not take {', '.join(unknown)}; it takes {', '.join(own)}.")
    return own | dict(kwargs)
