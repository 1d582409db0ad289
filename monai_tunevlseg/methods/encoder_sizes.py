"""Sizes of a VLSM's encoders, from which methods are built."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EncoderSizes"]


@dataclass(frozen=True)
class EncoderSizes:
    """Widths and depths of the two encoders of a VLSM.

    Attributes:
        text_dim: width of the text encoder.
        text_layers: number of its layers.
        text_positions: maximum number of its tokens, start, end and context included.
        image_embed_dim: width of the image-level embedding.
        vision_dim: width of the vision encoder's tokens; None if visual prompts cannot be inserted.
        vision_layers: number of its layers whose context reaches the decoder; None as for ``vision_dim``.
        no_visual_prompts: reason why visual prompts cannot be inserted, as the end of a sentence; None if they can.
    """

    text_dim: int
    text_layers: int
    text_positions: int
    image_embed_dim: int
    vision_dim: int | None = None
    vision_layers: int | None = None
    no_visual_prompts: str | None = None

    def prompted_layers(self, text: bool, vision: bool) -> int:
        """Return the number of layers of the prompted encoder, or of the shallower one if both are prompted."""
        prompted = [self.text_layers] if text or not vision else []
        if vision and self.vision_layers is not None:
            prompted.append(self.vision_layers)
        return min(prompted, default=self.text_layers)
