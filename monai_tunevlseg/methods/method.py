"""What every method is: a module that is tuned while the base model stays frozen."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

__all__ = ["Method"]


class Method(nn.Module):
    """Base of all methods: prompt learners and adapters.

    A constructor takes the :class:`~monai_tunevlseg.methods.EncoderSizes` first, and after it the method's own
    arguments, each with a default and a type annotation, from which the bundles' hyperparameters follow.
    """

    prompts_text: ClassVar[bool] = False
    """Whether the text encoder gets context."""
    prompts_vision: ClassVar[bool] = False
    """Whether the vision encoder gets context."""
    image_conditioned: ClassVar[bool] = False
    """Whether the textual context depends on the image-level embedding."""
    training_only_arguments: ClassVar[frozenset[str]] = frozenset()
    """Arguments that do not change what trained weights mean: a checkpoint loads with any value of theirs."""
