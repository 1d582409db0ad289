"""SAM 3 tuned in the obvious way: a plain loop over transformers' ``Sam3Model``, in float32.

The whole model runs for every (image, text), the search for instances included, because ``Sam3Model.forward`` has no
other way to the semantic map. Contexts are inserted into the layers of its text encoder with ``torch.cat``, and the
result is passed as ``text_embeds``. So that the reference is not a straw man, the weights of the frozen model have no
gradients, and image features are reused as ``vision_embeds`` for the next text and, with a cache, in the next epoch, as
the documentation of ``Sam3Model`` shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from reference import Reference, original_modules
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutputWithPooling

from monai_tunevlseg.methods import Adapter
from monai_tunevlseg.networks import PromptTunedNetwork

__all__ = ["ReferenceSAM3", "build_reference_sam3"]

TEXT_LENGTH = 32  # tokens of every text, context included, as in transformers' Sam3Processor


def build_reference_sam3(base: nn.Module, network: PromptTunedNetwork) -> ReferenceSAM3:
    """Build the reference of a base model with the method and the upsampler of a network of the project.

    Raises:
        ValueError: when the method is not a prompt learner of texts alone.
    """
    method: Any = network.method
    if method is None or isinstance(method, Adapter) or method.prompts_vision or method.image_conditioned:
        raise ValueError(f"SAM 3's reference inserts contexts into texts alone; it cannot run {network.method_name}.")
    from transformers.models.sam3.modeling_sam3 import Sam3Model

    return ReferenceSAM3(original_modules(Sam3Model, base), network.tokenizer, method, network.upsampler)


class ReferenceSAM3(Reference):
    """``Sam3Model`` with contexts in its text encoder."""

    def forward(self, image: Any, text: Sequence[str]) -> Tensor:
        """Segment images (B, 3, H, W), or their ``vision_embeds``, with one text each: logits (B, 1, H, W)."""
        states, mask = self.encode_text(text)
        images = {"pixel_values": image} if isinstance(image, Tensor) else {"vision_embeds": image}
        features: list[Tensor] = []
        pixel_decoder: nn.Module = self.model.mask_decoder.pixel_decoder
        hook = pixel_decoder.register_forward_hook(lambda module, inputs, output: features.append(output))
        output = self.model(**images, text_embeds=BaseModelOutputWithPooling(pooler_output=states), attention_mask=mask)
        hook.remove()
        logits = functional.interpolate(output.semantic_seg, self._image_size(output.semantic_seg), mode="bilinear")
        return self.mix_upsampler(features[0], logits)

    def reusable(self, image: Tensor) -> Any:
        """Return the maps of the feature pyramid and their position embeddings, as ``Sam3Model`` takes them."""
        with torch.no_grad():
            return self.model.get_vision_features(image)

    def encode_text(self, text: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Run the text transformer on the text of every image: projected states (B, 32, C), and their mask (B, 32)."""
        count = self.method.num_context
        rows = self.tokenizer(list(text), padding="max_length", max_length=TEXT_LENGTH - count, return_tensors="pt")
        tokens = rows["input_ids"].to(self.model.device)
        hidden = self.run_text_transformer(self.model.text_encoder.text_model, tokens)
        mask = functional.pad(rows["attention_mask"].to(self.model.device), (count, 0), value=1)
        return self.model.text_projection(hidden), mask

    def train(self, mode: bool = True) -> Self:
        """Leave the frozen model in evaluation mode, because its DETR encoder has dropout."""
        super().train(mode)
        self.model.eval()
        return self

    def _image_size(self, semantic: Tensor) -> list[int]:
        """Return the size of the image, in which the semantic map (B, 1, h, w) has four places per patch."""
        patch = self.model.config.vision_config.backbone_config.patch_size
        scale = int(max(self.model.config.vision_config.scale_factors))
        return [side // scale * patch for side in semantic.shape[-2:]]
