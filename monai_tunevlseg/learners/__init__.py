"""Prompt learners: what is learned in front of a frozen encoder."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from monai_tunevlseg.learners.base import PromptLearner, TextContextLearner
from monai_tunevlseg.learners.cocoop import CoCoOp
from monai_tunevlseg.learners.coop import CoOp
from monai_tunevlseg.learners.maple import MaPLe
from monai_tunevlseg.learners.shared_attention import SharedAttention
from monai_tunevlseg.learners.shared_separate import SharedSeparate
from monai_tunevlseg.learners.vpt import VPT
from monai_tunevlseg.registry import Registry

__all__ = [
    "LEARNERS",
    "VPT",
    "CoCoOp",
    "CoOp",
    "MaPLe",
    "PromptLearner",
    "SharedAttention",
    "SharedSeparate",
    "TextContextLearner",
    "complete_arguments",
]

LEARNERS: Registry[type[PromptLearner]] = Registry("learner")
LEARNERS.register("coop", CoOp)
LEARNERS.register("cocoop", CoCoOp)
LEARNERS.register("vpt", VPT)
LEARNERS.register("maple", MaPLe)
LEARNERS.register("shared_attention", SharedAttention)
LEARNERS.register("shared_separate", SharedSeparate)


def complete_arguments(learner: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Add the defaults to a learner's own arguments.

    Raises:
        ValueError: when the learner is unknown, or does not take one of the arguments.
    """
    parameters = inspect.signature(LEARNERS[learner]).parameters.values()
    own = {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}
    if unknown := sorted(set(arguments) - set(own)):
        raise ValueError(f"learner {learner!r} does not take {', '.join(unknown)}; it takes {', '.join(own)}.")
    return own | dict(arguments)
