"""Insertion of a textual context into a layer of a text encoder."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_tunevlseg.methods import PromptLearner

__all__ = ["insert_text_context"]


def insert_text_context(
    hidden: Tensor, layer: int, learner: PromptLearner | None, image_embedding: Tensor | None = None
) -> Tensor:
    """Insert the context of a layer after the start token (TuneVLSeg, eq. 5 and 6).

    Layer 0 gets ``[SOS, P_0, W]``. In the other layers below the prompt depth, the context replaces that of the
    previous layer, ``[SOS, P_i, W_i]``. Deeper layers process it like any token.

    Args:
        hidden: input of the layer, (S, N, text_dim) for layer 0 and (S, N + num_context, text_dim) for the others.
        layer: index of the layer.
        learner: a prompt learner; None, or one without textual context, inserts nothing.
        image_embedding: (S, image_embed_dim) for learners that are conditioned on the image.

    Returns:
        (S, N + num_context, text_dim).
    """
    if learner is None or not learner.prompts_text or layer >= learner.prompt_depth:
        return hidden
    context = learner.text_context(layer, image_embedding).expand(hidden.shape[0], -1, -1)
    words = 1 + (learner.num_context if layer else 0)
    return torch.cat([hidden[:, :1], context.to(hidden.dtype), hidden[:, words:]], dim=1)
