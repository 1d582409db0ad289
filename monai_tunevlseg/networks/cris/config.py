"""The sizes of a CRIS in its ``config.json``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

__all__ = ["CONTEXT_LENGTH", "CRIS_MODEL_TYPE", "IMAGE_STRIDE", "CRISConfig"]

CRIS_MODEL_TYPE = "cris"
CONTEXT_LENGTH = 77  # positions of CLIP's text transformer
IMAGE_STRIDE = 32  # pixels per position of the ResNet's last map
LARGEST_SIDE = 4096  # pixels; ten times the side of the release


@dataclass(frozen=True)
class CRISConfig:
    """Sizes of CRIS (Wang et al., *CRIS: CLIP-Driven Referring Image Segmentation*, 2022).

    The defaults are those of the release: CLIP's ResNet-50 (Radford et al., *Learning Transferable Visual Models From
    Natural Language Supervision*, 2021) at 416x416.

    Attributes:
        image_size: side of the square training images in pixels.
        vocab_size: number of tokens; EOS is the last one.
        text_width, text_layers, text_heads: sizes of the text transformer; the decoder has the same width.
        vision_width: output channels of the ResNet's stem.
        vision_blocks: number of bottlenecks in each of its four stages.
        vision_heads: number of the attention pool's heads.
        vision_grid: rows and columns of the attention pool's position embedding; CLIP's 224 pixels over 32.
        embed_dim: width of CLIP's joint space, of a text's state and of the last map.
        neck_dims: channels of the neck's three levels, fine to coarse; the middle one is ``text_width``.
        decoder_layers, decoder_heads, decoder_ffn_dim, dropout: sizes of the cross-attention decoder.

    Raises:
        ValueError: when a size is below 1 or two of them do not fit each other.
    """

    image_size: int = 416
    vocab_size: int = 49408
    text_width: int = 512
    text_layers: int = 12
    text_heads: int = 8
    vision_width: int = 64
    vision_blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    vision_heads: int = 32
    vision_grid: int = 7
    embed_dim: int = 1024
    neck_dims: tuple[int, int, int] = (256, 512, 1024)
    decoder_layers: int = 3
    decoder_heads: int = 8
    decoder_ffn_dim: int = 2048
    dropout: float = 0.1

    def __post_init__(self) -> None:
        self._check_counts()
        if self.image_size % IMAGE_STRIDE or self.image_size > LARGEST_SIDE:
            raise ValueError(
                f"image_size {self.image_size} of CRIS is not a multiple of {IMAGE_STRIDE} up to {LARGEST_SIDE} pixels."
            )
        if self.neck_dims[1] != self.text_width or self.text_width % 4:
            raise ValueError(
                f"text_width {self.text_width} of CRIS must be a multiple of 4 and the middle one of neck_dims "
                f"{self.neck_dims}, because the decoder attends from these channels to the words."
            )
        for heads, width, where in (
            (self.text_heads, self.text_width, "text transformer"),
            (self.decoder_heads, self.text_width, "decoder"),
            (self.vision_heads, self.map_dims[-1], "attention pool"),
        ):
            if width % heads:
                raise ValueError(f"{heads} heads of CRIS's {where} do not divide its width {width}.")

    @property
    def map_dims(self) -> tuple[int, int, int, int]:
        """Output channels of the ResNet's four stages."""
        width = self.vision_width
        return 4 * width, 8 * width, 16 * width, 32 * width

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of ``config.json``."""
        return {"model_type": CRIS_MODEL_TYPE} | dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, entries: dict[str, Any]) -> CRISConfig:
        """Build a configuration from the entries of a ``config.json``; missing sizes are those of the release.

        Raises:
            ValueError: when the entries belong to another type of model, or one of them is unknown.
        """
        if (kind := entries.get("model_type")) != CRIS_MODEL_TYPE:
            raise ValueError(f"its model_type is {kind!r}, not {CRIS_MODEL_TYPE!r}.")
        known = {field.name for field in dataclasses.fields(cls)}
        sizes: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in entries.items()}
        del sizes["model_type"]
        if unknown := sorted(set(sizes) - known):
            raise ValueError(f"CRIS has no size {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
        return cls(**sizes)

    def _check_counts(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "dropout":
                valid = isinstance(value, (int, float)) and 0 <= value < 1
            else:
                length = len(field.default) if isinstance(field.default, tuple) else 1
                counts = value if isinstance(value, tuple) else (value,)
                valid = len(counts) == length and all(isinstance(n, int) and n >= 1 for n in counts)
            if not valid:
                raise ValueError(f"{field.name} {value!r} of CRIS is invalid; the release has {field.default!r}.")
