"""The base class of all methods."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

__all__ = ["Method"]


class Method(nn.Module):
    """Base class of all methods, prompt learners and adapters: modules that train while the base model stays frozen.

    The first argument of a constructor is the :class:`~monai_tunevlseg.methods.EncoderSizes`. The others are the
    method's own, each with a default and a type annotation, from which the bundles' hyperparameters follow.
    """

    prompts_text: ClassVar[bool] = False
    """Whether the text encoder gets context."""
    prompts_vision: ClassVar[bool] = False
    """Whether the vision encoder gets context."""
    image_conditioned: ClassVar[bool] = False
    """Whether the textual context depends on the image-level embedding."""
    training_only_arguments: ClassVar[frozenset[str]] = frozenset()
    """Arguments that affect training alone: a checkpoint loads with any values of them."""
