"""What the references of all VLSMs share: a loop over texts, text contexts in the obvious way, and the upsampler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

__all__ = ["Reference", "original_modules"]


class Reference(nn.Module, ABC):
    """A VLSM of transformers with a method, without optimizations.

    Args:
        model: transformers' model, frozen.
        tokenizer: tokenizer of the model.
        method: prompt learner that returns the contexts, or an adapter, which is in the modules of ``model``; shared
            with a network of the project, or a copy of its method.
        upsampler: holds the weights ``reduce``, ``convolution`` and ``residual_factor``; shared or a copy, too;
            None = none.
    """

    def __init__(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, method: Any, upsampler: nn.Module | None
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.tokenizer = tokenizer
        self.method = method
        self.upsampler: Any = upsampler

    @abstractmethod
    def forward(self, image: Any, text: Sequence[str]) -> Tensor:
        """Segment images (B, 3, H, W), or what ``reusable`` returns for them, with one text each: (B, 1, H, W)."""

    def reusable(self, image: Tensor) -> Any:
        """Return what transformers' model takes in place of images to avoid encoding them again; here, the images."""
        return image

    def segment(self, image: Tensor, class_names: Sequence[str]) -> Tensor:
        """Segment images with every class, one pass per class: logits (B, K, H, W)."""
        reused = self.reusable(image)
        return torch.cat([self(reused, [name] * len(image)) for name in class_names], dim=1)

    def run_text_transformer(self, model: Any, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """Run a CLIP text transformer with contexts after the first token.

        Args:
            model: the text transformer.
            tokens: (B, N), the text of every image.
            condition: image embeddings (B, C) for a method that is conditioned on them.

        Returns:
            normalized states (B, N + num_context, text_dim).
        """
        depth = self.method.prompt_depth if self.method.prompts_text else 0
        count = self.method.num_context if depth else 0
        hidden = model.embeddings.token_embedding(tokens)
        if depth:
            context = self.method.text_context(0, condition).expand(len(tokens), -1, -1)
            hidden = torch.cat([hidden[:, :1], context, hidden[:, 1:]], dim=1)
        hidden = model.embeddings(inputs_embeds=hidden)
        for index, layer in enumerate(model.encoder.layers):
            if 0 < index < depth:
                context = self.method.text_context(index, condition).expand(len(tokens), -1, -1)
                hidden = torch.cat([hidden[:, :1], context, hidden[:, 1 + count :]], dim=1)
            hidden = layer(hidden, attention_mask=None, is_causal=True)
        return model.final_layer_norm(hidden)

    def mix_upsampler(self, features: Tensor, logits: Tensor) -> Tensor:
        """Upsample the decoder's penultimate features, and mix them into the logits (TuneVLSeg, section 5).

        Args:
            features: (B, C, h, w).
            logits: (B, 1, H, W).
        """
        if self.upsampler is None:
            return logits
        reduced = self.upsampler.reduce(features)
        upsampled = functional.interpolate(reduced, size=logits.shape[-2:], mode="bilinear", align_corners=False)
        padded = functional.pad(upsampled, (2, 2, 2, 2), mode="replicate")
        convolution, factor = self.upsampler.convolution, self.upsampler.residual_factor
        upsampled = functional.conv2d(padded, convolution.weight, convolution.bias)
        return (1 - factor) * logits + factor * upsampled


def original_modules(kind: Any, model: Any) -> Any:
    """Return transformers' own modules with the weights of a loaded base model, whose modules may differ.

    Args:
        kind: class of transformers.
        model: the base model; its weights are shared.
    """
    with torch.device("meta"):
        original = kind(model.config)
    original.load_state_dict(model.state_dict(), assign=True)
    for name, buffer in model.named_buffers():  # some are not in the state dict
        owner, _, attribute = name.rpartition(".")
        setattr(original.get_submodule(owner), attribute, buffer)
    return original.requires_grad_(False).eval()
