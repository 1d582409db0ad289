"""CRIS with prompts: a prompted text encoder that runs the loaded model's modules."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from monai_tunevlseg.methods import AdapterSites, EncoderSizes, LayerSites, PromptLearner
from monai_tunevlseg.networks.cris.config import CONTEXT_LENGTH, IMAGE_STRIDE
from monai_tunevlseg.networks.cris.encoders import CLIPBackbone, eos_positions
from monai_tunevlseg.networks.cris.loading import load_cris
from monai_tunevlseg.networks.cris.model import CRIS, padding_mask
from monai_tunevlseg.networks.image_size_check import check_image_size
from monai_tunevlseg.networks.presence import pooled_logit, presence_evidence
from monai_tunevlseg.networks.prompt_tuned_network import ImageFeatures, PromptTunedNetwork, TextFeatures
from monai_tunevlseg.networks.text_context import insert_text_context
from monai_tunevlseg.networks.texts import Tokens
from monai_tunevlseg.networks.trained_part import ModelParts
from monai_tunevlseg.networks.upsampler import Upsampler

__all__ = ["PromptTunedCRIS", "encode_text"]

UPSAMPLER_CHANNELS = 64  # TuneVLSeg reduces the 512 channels of CRIS to 64
MAPS = ("c3", "c4", "c5")


class PromptTunedCRIS(PromptTunedNetwork):
    """CRIS (Wang et al., *CRIS: CLIP-Driven Referring Image Segmentation*, 2022) with learnable prompts.

    Supports the methods that prompt the text alone, because its vision encoder is a ResNet. Without method and
    upsampler, its logits equal those of :class:`~monai_tunevlseg.networks.CRIS`. The size of images must be a multiple
    of 32; the position embedding is interpolated. See :class:`~monai_tunevlseg.networks.PromptTunedNetwork` for
    arguments and errors.
    """

    base: CRIS
    load_base = staticmethod(load_cris)
    parts = ModelParts(
        text=tuple(
            f"backbone.{name}"
            for name in ("transformer", "token_embedding", "positional_embedding", "ln_final", "text_projection")
        ),
        vision=("backbone.visual",),
        decoder=("neck", "decoder", "proj"),
        early_decoder=("neck.f1_v_proj", "neck.f2_v_proj", "neck.f3_v_proj"),
    )
    no_visual_prompts = "CRIS's vision encoder is a ResNet, which has no tokens that prompts could join"
    text_embedding = condition = "state"
    repeated_layers = ("backbone.transformer.resblocks", "decoder.layers")

    def encoder_sizes(self) -> EncoderSizes:
        """Return the widths and depths of CRIS's encoders."""
        config = self.base.config
        return EncoderSizes(
            text_dim=config.text_width,
            text_layers=config.text_layers,
            text_positions=CONTEXT_LENGTH,
            image_embed_dim=config.embed_dim,
            no_visual_prompts=self.no_visual_prompts,
        )

    def adapter_sites(self) -> AdapterSites:
        """Return the layers of the text encoder and of the decoder; the vision encoder has none."""
        config = self.base.config
        text = [f"backbone.transformer.resblocks.{index}" for index in range(config.text_layers)]
        decoder = [f"decoder.layers.{index}" for index in range(config.decoder_layers)]
        return AdapterSites(
            condition_dim=config.embed_dim,
            text=tuple(_layer_sites(layer, config.text_width, ("attn",), "mlp", ("c_fc", "c_proj")) for layer in text),
            decoder=tuple(
                _layer_sites(layer, config.text_width, ("self_attn", "multihead_attn"), "ffn", ("0", "4"))
                for layer in decoder
            ),
            reasons={"vision": "CRIS's vision encoder is a ResNet, which has no transformer layers"},
        )

    def embed_tokens(self, token_ids: Tensor) -> Tensor:
        """Look up token embeddings: (N,) -> (N, text_width)."""
        embedding = self.base.backbone.token_embedding
        return embedding(token_ids.to(embedding.weight.device))

    def encode_image(
        self, image: Tensor, learner: PromptLearner | None = None, embed: bool | None = None
    ) -> ImageFeatures:
        """Run the vision encoder and the text-independent projections of the neck.

        Args:
            image: (B, 3, H, W), normalized.
            learner: without effect, because visual prompts cannot be inserted.
            embed: whether to return ``embedding`` too; None = if the method is conditioned on it.

        Returns:
            ``c3``, ``c4`` and ``c5``, the projected maps, and ``embedding``, the spatial mean of C5
            (B, embed_dim).

        Raises:
            ValueError: when 32 does not divide H and W.
        """
        image = check_image_size(image, IMAGE_STRIDE, "CRIS").to(self.base.backbone.visual.conv1.weight.dtype)
        # channels last is faster for the ResNet, but not for the modules that read its maps
        maps = self.base.backbone.visual(image.contiguous(memory_format=torch.channels_last))
        levels = self.base.neck.project([self._cast_for_decoder(level) for level in maps])
        features = ImageFeatures(zip(MAPS, (level.contiguous() for level in levels), strict=True))
        if self._is_conditioned() if embed is None else embed:
            features["embedding"] = maps[-1].mean(dim=(2, 3))
        return features

    def encode_text(
        self, tokens: Tokens, image_embedding: Tensor | None, learner: PromptLearner | None = None
    ) -> TextFeatures:
        """Run the prompted text encoder.

        Returns:
            ``words`` (S, 77, text_width), zero after the last token, so that texts of any length form a batch;
            ``padding`` (S, 77) bool, True after EOS; ``state`` (S, embed_dim).
        """
        words, state, end = encode_text(self.base.backbone, tokens.ids, learner or self.learner, image_embedding)
        words = functional.pad(words, (0, 0, 0, CONTEXT_LENGTH - words.shape[1]))
        return {"words": words, "padding": padding_mask(end, CONTEXT_LENGTH), "state": state}

    def decode(self, image_features: ImageFeatures, text_features: TextFeatures) -> Tensor:
        """Decode to logits (B, k, H, W)."""
        return self._decode(image_features, text_features)[1]

    def decode_with_presence(
        self, image_features: ImageFeatures, text_features: TextFeatures
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode, and score presence by the mask; its evidence is in the decoder's output features too."""
        features, logits = self._decode(image_features, text_features)
        return logits, pooled_logit(logits), presence_evidence(logits, features)

    def _decode(self, image_features: ImageFeatures, text_features: TextFeatures) -> tuple[Tensor, Tensor]:
        """Return the decoder's features (B * k, text_width, rows, columns), and logits (B, k, H, W)."""
        levels = [image_features[level] for level in MAPS]
        features, logits = self.base.decode(levels, **text_features)
        if self.upsampler is not None:
            logits = self.upsampler(features, logits)
        return features, logits.unflatten(0, (-1, text_features["state"].shape[1])).squeeze(2)

    def _build_upsampler(self) -> nn.Module:
        return Upsampler(self.base.config.text_width, UPSAMPLER_CHANNELS)


def _layer_sites(layer: str, width: int, attention: Sequence[str], mlp: str, linears: Sequence[str]) -> LayerSites:
    attentions = tuple(f"{layer}.{name}" for name in attention)
    return LayerSites(
        width, (*attentions, f"{layer}.{mlp}"), attentions, tuple(f"{layer}.{mlp}.{name}" for name in linears)
    )


def encode_text(
    model: CLIPBackbone, token_ids: Tensor, learner: PromptLearner | None, image_embedding: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Encode token sequences with the learner's textual context after SOS (TuneVLSeg, eq. 5 and 6).

    Args:
        model: module of the text transformer.
        token_ids: (S, N), each row SOS, words, EOS and padding.
        learner: prompt learner; its textual context is inserted, if any.
        image_embedding: (S, embed_dim) for learners that are conditioned on the image.

    Returns:
        features of the tokens and the context, (S, N + num_context, text_width); the state of EOS in CLIP's joint
        space, (S, embed_dim); the position of EOS, (S,).
    """
    hidden = insert_text_context(model.token_embedding(token_ids), 0, learner, image_embedding)
    count = hidden.shape[1] - token_ids.shape[1]
    hidden = hidden + model.positional_embedding[: hidden.shape[1]]  # (S, N + count, text_width)
    for index, layer in enumerate(model.transformer.resblocks):
        if index:
            hidden = insert_text_context(hidden, index, learner, image_embedding)
        hidden = layer(hidden)
    end = eos_positions(token_ids) + count
    words, state = model.finish_text(hidden, end)
    return words, state, end
