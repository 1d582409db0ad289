"""CLIPSeg tuned in the obvious way, the reference for the project's speed and memory.

Transformers' modules in their own order and precision, contexts inserted with ``torch.cat``, every layer run, the text
of every image encoded separately, one pass per (image, class), the upsampler as in section 5 of TuneVLSeg. So that the
reference is not a straw man, the weights of the frozen model have no gradients and attention is the default of
transformers. The few operations of a method are the project's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from reference import Reference, original_modules
from reference_adapters import add_adapter
from torch import Tensor, nn
from transformers import CLIPSegForImageSegmentation

from monai_tunevlseg.methods import Adapter
from monai_tunevlseg.networks import PromptTunedNetwork

__all__ = ["ReferenceCLIPSeg", "build_reference_clipseg"]


def build_reference_clipseg(base: nn.Module, network: PromptTunedNetwork) -> ReferenceCLIPSeg:
    """Build the reference of a base model with the method and the upsampler of a network of the project."""
    model = original_modules(CLIPSegForImageSegmentation, base)
    if isinstance(network.method, Adapter):
        add_adapter(model, network.method, network.base)
    return ReferenceCLIPSeg(model, network.tokenizer, network.method, network.upsampler)


class ReferenceCLIPSeg(Reference):
    """``CLIPSegForImageSegmentation``, with any method."""

    def forward(self, image: Tensor, text: Sequence[str]) -> Tensor:
        """Segment images (B, 3, H, W) with one text each: logits (B, 1, H, W)."""
        taps, image_embedding = self.encode_image(image)
        text_embedding = self.encode_text(text, image_embedding)
        return self.decode(taps, text_embedding, image.shape[-2:])

    def encode_image(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Run the vision transformer; return the hidden states for the decoder and the image embedding (B, 512)."""
        vision, method = self.model.clip.vision_model, self.method
        depth = method.prompt_depth if method.prompts_vision else 0
        hidden = vision.embeddings(image)
        patches = hidden.shape[1]
        if depth:
            hidden = torch.cat([hidden, method.visual_context(0).expand(len(image), -1, -1)], dim=1)
        hidden = vision.pre_layrnorm(hidden)
        states = []
        for index, layer in enumerate(vision.encoder.layers):
            hidden = layer(hidden, attention_mask=None)
            if index + 1 < depth:
                context = method.visual_context(index + 1).expand(len(image), -1, -1)
                hidden = torch.cat([hidden[:, :patches], context], dim=1)
            states.append(hidden)
        pooled = vision.post_layernorm(hidden[:, 0])
        return [states[index] for index in self.model.extract_layers], self.model.clip.visual_projection(pooled)

    def encode_text(self, text: Sequence[str], image_embedding: Tensor) -> Tensor:
        """Run the text transformer on the text of every image; return embeddings (B, 512)."""
        tokens = self.tokenizer(list(text), padding=True, return_tensors="pt")["input_ids"].to(image_embedding.device)
        condition = image_embedding if self.method.image_conditioned else None
        hidden = self.run_text_transformer(self.model.clip.text_model, tokens, condition)
        count = hidden.shape[1] - tokens.shape[1]
        end = (tokens == self.tokenizer.eos_token_id).int().argmax(dim=1) + count
        return self.model.clip.text_projection(hidden[torch.arange(len(text), device=hidden.device), end])

    def decode(self, taps: list[Tensor], text_embedding: Tensor, size: Sequence[int]) -> Tensor:
        """Decode hidden states and text embeddings (B, 512) to logits (B, 1, H, W), including the upsampler."""
        decoder = self.model.decoder
        output: Any = 0
        for index, (tap, layer, reduce) in enumerate(zip(reversed(taps), decoder.layers, decoder.reduces, strict=True)):
            output = reduce(tap) + output
            if index == decoder.conditional_layer:
                scale, shift = decoder.film_mul(text_embedding), decoder.film_add(text_embedding)
                output = scale.unsqueeze(1) * output + shift.unsqueeze(1)
            output = layer(output, attention_mask=None)
        patch = self.model.config.vision_config.patch_size
        rows, columns = size[0] // patch, size[1] // patch
        features = output[:, 1 : 1 + rows * columns].transpose(1, 2).unflatten(2, (rows, columns))
        return self.mix_upsampler(features, decoder.transposed_convolution(features))
