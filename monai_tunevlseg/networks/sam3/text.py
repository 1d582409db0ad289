"""The text encoders of SAM 3 with prompts: CLIP's, and the smaller one of SAM 3 LiteText."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from monai_tunevlseg.methods import PromptLearner
from monai_tunevlseg.networks.text_context import insert_text_context
from monai_tunevlseg.networks.texts import Tokens

__all__ = ["TextEncoderParts", "encode_text", "text_encoder_parts"]


class TextEncoderParts(NamedTuple):
    """The modules of a text encoder.

    Attributes:
        layers: name of the list of its layers, below the base model.
        token_embedding: the token embeddings.
        add_positions: function that adds the position embeddings to (S, N, text_dim).
        layer_modules: the layers.
        final_norm: the norm after the last layer.
        causal: whether a token attends to earlier tokens alone.
    """

    layers: str
    token_embedding: nn.Embedding
    add_positions: Callable[[Tensor], Tensor]
    layer_modules: nn.ModuleList
    final_norm: nn.LayerNorm
    causal: bool


def text_encoder_parts(encoder: Any) -> TextEncoderParts:
    """Return the modules of the text encoder of a ``Sam3Model`` (CLIP's) or a ``Sam3LiteTextModel``."""
    if hasattr(encoder, "text_model"):
        model = encoder.text_model
        return TextEncoderParts(
            layers="text_encoder.text_model.encoder.layers",
            token_embedding=model.embeddings.token_embedding,
            add_positions=lambda hidden: model.embeddings(inputs_embeds=hidden),
            layer_modules=model.encoder.layers,
            final_norm=model.final_layer_norm,
            causal=True,
        )
    return TextEncoderParts(
        layers="text_encoder.layers",
        token_embedding=encoder.embeddings.token_embedding,
        add_positions=lambda hidden: hidden + encoder.embeddings.position_embedding(hidden.shape[1]).to(hidden.dtype),
        layer_modules=encoder.layers,
        final_norm=encoder.final_layer_norm,
        causal=False,
    )


def encode_text(
    encoder: Any, tokens: Tokens, learner: PromptLearner | None, image_embedding: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Encode token sequences with the learner's textual context after SOS (TuneVLSeg, eq. 5 and 6).

    Args:
        encoder: the text encoder of the loaded model.
        tokens: ids and mask, each (S, N).
        learner: prompt learner; its textual context is inserted, if any.
        image_embedding: (S, image_embed_dim) for learners that are conditioned on the image.

    Returns:
        the normalized states (S, N + num_context, text_dim), and the mask of tokens (S, N + num_context) bool, False
        for padding.
    """
    parts = text_encoder_parts(encoder)
    hidden = insert_text_context(parts.token_embedding(tokens.ids), 0, learner, image_embedding)
    count = hidden.shape[1] - tokens.ids.shape[1]
    mask = nn.functional.pad(tokens.mask, (count, 0), value=True)  # the first token is never padding
    hidden = parts.add_positions(hidden)
    # padding comes last, so that a causal encoder needs no mask
    attention: dict[str, Any] = {"attention_mask": None if parts.causal else mask[:, None, None]}
    attention |= {"is_causal": True} if parts.causal else {}
    for index, layer in enumerate(parts.layer_modules):
        if index:
            hidden = insert_text_context(hidden, index, learner, image_embedding)
        hidden = layer(hidden, **attention)
    return parts.final_norm(hidden), mask
