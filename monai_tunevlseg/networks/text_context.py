"""The one place where a textual context is inserted."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_tunevlseg.methods import PromptLearner

__all__ = ["insert_text_context"]


def insert_text_context(
    hidden: Tensor, layer: int, learner: PromptLearner | None, image_embedding: Tensor | None = None
) -> Tensor:
    """Give a layer of a text encoder its context, which follows the start token (TuneVLSeg, eq. 5 and 6).

    Before layer 0 the context is inserted, ``[SOS, P_0, W]``; before layers below the prompt depth it takes the place
    of the one before it, ``[SOS, P_i, W_i]``; after that it is carried like any token.

    Args:
        hidden: (S, N, text_dim) at layer 0, (S, N + num_context, text_dim) after it: the layer's input.
        layer: index of the layer.
        learner: a prompt learner; without one, or with one that does not prompt the text, nothing is inserted.
        image_embedding: (S, image_embed_dim) for learners that are conditioned on the image.

    Returns:
        (S, N + num_context, text_dim).
    """
    if learner is None or not learner.prompts_text or layer >= learner.prompt_depth:
        return hidden
    context = learner.text_context(layer, image_embedding).expand(hidden.shape[0], -1, -1)
    words = 1 + (learner.num_context if layer else 0)
    return torch.cat([hidden[:, :1], context.to(hidden.dtype), hidden[:, words:]], dim=1)
