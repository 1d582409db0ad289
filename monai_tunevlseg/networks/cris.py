"""CRIS with prompts: one prompted text encoder over the loaded model's modules."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from monai_tunevlseg.methods import PromptLearner
from monai_tunevlseg.networks.base import EncoderSizes, ImageFeatures, PromptTunedNetwork, TextFeatures
from monai_tunevlseg.networks.base_folder import from_folder_or_hub
from monai_tunevlseg.networks.base_model import BaseModel, checked, fingerprint
from monai_tunevlseg.networks.cris_clip import CLIPBackbone, end_of_text
from monai_tunevlseg.networks.cris_config import CONTEXT_LENGTH, IMAGE_STRIDE
from monai_tunevlseg.networks.cris_folder import read_cris
from monai_tunevlseg.networks.cris_model import CRIS, behind
from monai_tunevlseg.networks.image_settings import ImageSettings, read_image_settings
from monai_tunevlseg.networks.image_sides import checked_sides
from monai_tunevlseg.networks.upsampler import Upsampler

__all__ = ["PromptTunedCRIS", "encode_text", "load_cris"]

UPSAMPLER_CHANNELS = 64  # TuneVLSeg reduces CRIS's 512 channels to so many
LEVELS = ("third", "fourth", "fifth")


def load_cris(pretrained: str | Path, wanted_fingerprint: str | None = None) -> BaseModel:
    """Load a CRIS base model.

    Args:
        pretrained: local folder that ``tunevlseg convert-cris`` has written (``config.json``, ``model.safetensors``,
            tokenizer), which is never looked up on the network, or the id of such a folder on the hub.
        wanted_fingerprint: refuse a model with another one; None = take whichever.

    Raises:
        FileNotFoundError: when the folder, or a file of it, is missing.
        ConnectionError: when the hub cannot deliver the model.
        ValueError: when the folder holds another kind of model, weights do not fit, or it is not the wanted one.
    """
    return checked(
        from_folder_or_hub(str(pretrained), lambda folder: _load(folder, str(pretrained))), wanted_fingerprint
    )


def _load(folder: Path, name: str) -> BaseModel:
    model, tokenizer = read_cris(folder)
    config = model.config
    own = ImageSettings(config.image_size, tuple(OPENAI_CLIP_MEAN), tuple(OPENAI_CLIP_STD))
    images = read_image_settings(folder, own, IMAGE_STRIDE) or own
    heads = {part: getattr(config, part) for part in ("text_heads", "vision_heads", "decoder_heads")}
    return BaseModel(name, model, tokenizer, images, fingerprint(model, heads, tokenizer))


class PromptTunedCRIS(PromptTunedNetwork):
    """CRIS (Wang et al., *CRIS: CLIP-Driven Referring Image Segmentation*, 2022) with learnable prompts.

    Takes the methods that prompt the text alone, for its vision encoder is a ResNet. With neither method nor
    upsampler its logits are those of :class:`~monai_tunevlseg.networks.CRIS`. Images may have any size that 32
    divides; the position embedding is interpolated. See :class:`~monai_tunevlseg.networks.PromptTunedNetwork` for
    arguments and errors.
    """

    base: CRIS
    decoder_parts = ("neck", "decoder", "proj")
    repeated_layers = ("backbone.transformer.resblocks", "decoder.layers")

    def encoder_sizes(self) -> EncoderSizes:
        """Return the widths and depths of CRIS's encoders; there is no vision transformer."""
        config = self.base.config
        return EncoderSizes(
            text_dim=config.text_width,
            text_layers=config.text_layers,
            vision_dim=None,
            vision_layers=None,
            image_embed_dim=config.embed_dim,
        )

    def embed_tokens(self, token_ids: Tensor) -> Tensor:
        """Look up token embeddings: (N,) -> (N, text_width)."""
        embedding = self.base.backbone.token_embedding
        return embedding(token_ids.to(embedding.weight.device))

    def encode_image(self, image: Tensor, method: PromptLearner | None = None) -> ImageFeatures:
        """Run the vision encoder and what of the neck no text reaches.

        Args:
            image: (B, 3, H, W), normalized.
            method: gives the contexts; None = the network's own.

        Returns:
            ``third``, ``fourth`` and ``fifth``, the projected maps, and ``embedding``, the spatial mean of C5
            (B, embed_dim), when the method is conditioned on the image.

        Raises:
            ValueError: when 32 does not divide H and W.
        """
        image = checked_sides(image, IMAGE_STRIDE, "CRIS").to(self.base.backbone.visual.conv1.weight.dtype)
        # a ResNet is faster with the channels last, and what reads its maps is not
        maps = self.base.backbone.visual(image.contiguous(memory_format=torch.channels_last))
        levels = self.base.neck.project([self._for_decoder(level) for level in maps])
        features = ImageFeatures(zip(LEVELS, (level.contiguous() for level in levels), strict=True))
        if self.method is not None and self.method.image_conditioned:
            features["embedding"] = maps[-1].mean(dim=(2, 3))
        return features

    def encode_text(
        self, token_ids: Tensor, image_embedding: Tensor | None, method: PromptLearner | None = None
    ) -> TextFeatures:
        """Run the prompted text encoder.

        Returns:
            ``words`` (S, 77, text_width), zero behind the last token, so that texts of any length go together;
            ``padding`` (S, 77) bool, True behind EOS; ``state`` (S, embed_dim).
        """
        words, state, end = encode_text(self.base.backbone, token_ids, method or self.method, image_embedding)
        words = functional.pad(words, (0, 0, 0, CONTEXT_LENGTH - words.shape[1]))
        return {"words": words, "padding": behind(end, CONTEXT_LENGTH), "state": state}

    def decode(self, image_features: ImageFeatures, text_features: TextFeatures) -> Tensor:
        """Decode to logits (B, k, H, W)."""
        levels = [image_features[level] for level in LEVELS]
        features, logits = self.base.decode(levels, **text_features)
        if self.upsampler is not None:
            logits = self.upsampler(features, logits)
        return logits.unflatten(0, (-1, text_features["state"].shape[1])).squeeze(2)

    def _build_upsampler(self) -> nn.Module:
        return Upsampler(self.base.config.text_width, UPSAMPLER_CHANNELS)


def encode_text(
    model: CLIPBackbone, token_ids: Tensor, method: PromptLearner | None, image_embedding: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Encode token sequences with the method's textual context behind SOS (TuneVLSeg, eq. 5 and 6).

    Args:
        model: holds the text transformer.
        token_ids: (S, N), each with SOS, words, EOS and padding.
        method: its context is inserted where it prompts the text.
        image_embedding: (S, embed_dim) for methods that are conditioned on the image.

    Returns:
        features of the tokens and the context, (S, N + num_context, text_width); the state of EOS in CLIP's joint
        space, (S, embed_dim); the position of EOS, (S,).
    """
    prompted = method if method is not None and method.prompts_text else None
    count = prompted.num_context if prompted is not None else 0
    hidden = model.token_embedding(token_ids)  # (S, N, text_width)
    if prompted is not None:
        context = prompted.text_context(0, image_embedding).expand(hidden.shape[0], -1, -1)
        hidden = torch.cat([hidden[:, :1], context.to(hidden.dtype), hidden[:, 1:]], dim=1)
    hidden = hidden + model.positional_embedding[: hidden.shape[1]]
    for index, layer in enumerate(model.transformer.resblocks):
        if prompted is not None and 0 < index < prompted.prompt_depth:
            context = prompted.text_context(index, image_embedding).expand(hidden.shape[0], -1, -1)
            hidden = torch.cat([hidden[:, :1], context.to(hidden.dtype), hidden[:, 1 + count :]], dim=1)
        hidden = layer(hidden)
    end = end_of_text(token_ids) + count
    words, state = model.finish_text(hidden, end)
    return words, state, end
