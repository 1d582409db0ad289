"""SAM 3 with prompts: prompted text and vision encoders that run the loaded model's modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from monai_tunevlseg.methods import AdapterSites, EncoderSizes, LayerSites, PromptLearner
from monai_tunevlseg.networks.image_size_check import check_image_size
from monai_tunevlseg.networks.prompt_tuned_network import ImageFeatures, PromptTunedNetwork, TextFeatures
from monai_tunevlseg.networks.sam3.loading import TEXT_LENGTH, load_sam3
from monai_tunevlseg.networks.sam3.text import encode_text, text_encoder_parts
from monai_tunevlseg.networks.sam3.vision import encode_image, run_layer
from monai_tunevlseg.networks.texts import Tokens
from monai_tunevlseg.networks.trained_part import ModelParts
from monai_tunevlseg.networks.upsampler import Upsampler

__all__ = ["PromptTunedSAM3"]

UPSAMPLER_CHANNELS = 64
LEVELS = ("finest", "middle", "coarsest")  # maps of the feature pyramid that the decoder reads


class PromptTunedSAM3(PromptTunedNetwork):
    """SAM 3 (Carion et al., *SAM 3: Segment Anything with Concepts*, 2025) with learnable prompts.

    Supports all methods, on ``Sam3Model`` and on ``Sam3LiteTextModel``, whose text encoder is smaller.
    Without method and upsampler, its logits equal the ``semantic_seg`` of transformers' model, resized bilinearly to
    the image. The parts of SAM 3 that find instances are not run; its presence score is, on request. The patch size
    must divide the size of images. See :class:`~monai_tunevlseg.networks.PromptTunedNetwork` for arguments and errors.
    """

    base: Any
    load_base = staticmethod(load_sam3)
    parts = ModelParts(
        text=("text_encoder", "text_projection"),
        vision=("vision_encoder",),
        decoder=(
            "detr_encoder",
            "mask_decoder.prompt_cross_attn",
            "mask_decoder.prompt_cross_attn_norm",
            "mask_decoder.pixel_decoder",
            "mask_decoder.semantic_projection",
        ),
        early_decoder=(),
        other_outputs=(
            "detr_decoder",
            "dot_product_scoring",
            "geometry_encoder",
            "mask_decoder.instance_projection",
            "mask_decoder.mask_embedder",
        ),
    )
    text_embedding = "embedding"
    condition = "states"
    pairs_per_chunk = 1  # the widest tensor of the decoder takes 85 MB per pair
    run_vision_layer = staticmethod(run_layer)
    layer_functions = ("run_vision_layer", "attend_to_patches", "read_text")

    @property
    def repeated_layers(self) -> tuple[str, ...]:
        """Names of the lists of layers of both encoders and of the DETR encoder."""
        text = text_encoder_parts(self.base.text_encoder).layers
        return (text, "vision_encoder.backbone.layers", "detr_encoder.layers")

    def encoder_sizes(self) -> EncoderSizes:
        """Return the widths and depths of SAM 3's encoders."""
        config = self.base.config
        vision = config.vision_config.backbone_config
        return EncoderSizes(
            text_dim=config.text_config.hidden_size,
            text_layers=config.text_config.num_hidden_layers,
            text_positions=TEXT_LENGTH,
            image_embed_dim=config.detr_encoder_config.hidden_size,
            vision_dim=vision.hidden_size,
            vision_layers=vision.num_hidden_layers,
        )

    def adapter_sites(self) -> AdapterSites:
        """Return the transformer layers of both encoders and of the DETR encoder.

        There are no taps, because the decoder reads only the last layer of the vision encoder, through convolutions.
        """
        sizes, text = self.encoder_sizes(), text_encoder_parts(self.base.text_encoder)
        width, decoder = self.base.config.detr_encoder_config.hidden_size, self.base.detr_encoder.layers
        # LiteText's first and last layers are convolutions
        attends = [index for index, layer in enumerate(text.layer_modules) if hasattr(layer, "self_attn")]
        text_layers = [f"{text.layers}.{index}" for index in attends]
        vision_layers = [f"vision_encoder.backbone.layers.{index}" for index in range(sizes.vision_layers or 0)]
        decoder_layers = [f"detr_encoder.layers.{index}" for index in range(len(decoder))]
        return AdapterSites(
            condition_dim=width,
            text=tuple(_layer_sites(layer, sizes.text_dim, ("self_attn",), "out_proj") for layer in text_layers),
            vision=tuple(
                _layer_sites(layer, sizes.vision_dim or 0, ("attention",), "o_proj") for layer in vision_layers
            ),
            decoder=tuple(
                _layer_sites(layer, width, ("self_attn", "cross_attn"), "o_proj") for layer in decoder_layers
            ),
        )

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Tokenize texts, padded to 32 tokens less the context, because LiteText's features depend on the length."""
        tokens = super().tokenize(texts)
        missing = (0, self._max_tokens() - tokens.ids.shape[1])
        ids = functional.pad(tokens.ids, missing, value=self.tokenizer.pad_token_id)
        return Tokens(ids, functional.pad(tokens.mask, missing, value=False))

    def embed_tokens(self, token_ids: Tensor) -> Tensor:
        """Look up token embeddings: (N,) -> (N, text_dim)."""
        embedding = text_encoder_parts(self.base.text_encoder).token_embedding
        embedded: Tensor = embedding(token_ids.to(embedding.weight.device))
        return embedded

    def encode_image(
        self, image: Tensor, learner: PromptLearner | None = None, embed: bool | None = None
    ) -> ImageFeatures:
        """Run the prompted vision transformer.

        The feature pyramid is left to :meth:`expand_image_features`: of the published model its maps take five times
        the memory of these states, and their computation 4 % of the time.

        Args:
            image: (B, 3, H, W), normalized.
            learner: prompt learner that returns the contexts; None for the network's own.
            embed: whether to return ``embedding`` too; None = if the method is conditioned on it.

        Returns:
            ``states`` (B, H / patch, W / patch, vision_dim), and ``embedding``, the spatial mean of the pyramid's
            coarsest map (B, image_embed_dim).

        Raises:
            ValueError: when the patch size does not divide H and W.
        """
        vision = self.base.vision_encoder
        image = check_image_size(image, vision.config.backbone_config.patch_size, "SAM 3")
        states = encode_image(vision.backbone, image, learner or self.learner, self.run_vision_layer)
        features = ImageFeatures(states=states)
        if self._is_conditioned() if embed is None else embed:
            coarsest = vision.neck.fpn_layers[len(LEVELS) - 1](features["states"].permute(0, 3, 1, 2))
            features["embedding"] = coarsest.mean(dim=(2, 3))
        return features

    def expand_image_features(self, features: ImageFeatures) -> ImageFeatures:
        """Compute what the decoder reads of the images before it reads a text.

        The self-attention of the DETR encoder's first layer is 8 % of the decoding of a text, so that it is not
        left to :meth:`decode`, in which it would run for each text.

        Returns:
            the maps ``finest``, ``middle`` and ``coarsest`` of the feature pyramid, each (B, C, h, w), and
            ``attended``, the coarsest after the self-attention, (B, h * w, C).
        """
        states = features["states"].permute(0, 3, 1, 2)
        layers = zip(LEVELS, self.base.vision_encoder.neck.fpn_layers, strict=False)  # the fourth map is not read
        maps = ImageFeatures({level: self._cast_for_decoder(layer(states)) for level, layer in layers})
        patches, positions = maps["coarsest"].flatten(2).transpose(1, 2), self._positions(maps["coarsest"])
        maps["attended"] = self.attend_to_patches(self.base.detr_encoder.layers[0], patches, positions)
        return maps

    def encode_text(
        self, tokens: Tokens, image_embedding: Tensor | None, learner: PromptLearner | None = None
    ) -> TextFeatures:
        """Run the prompted text encoder.

        Returns:
            ``states`` (S, 32, image_embed_dim), the projected sequence; ``mask`` (S, 32) bool, False for padding;
            ``embedding`` (S, image_embed_dim), the projected state of EOS.
        """
        hidden, mask = encode_text(self.base.text_encoder, tokens, learner or self.learner, image_embedding)
        states = self.base.text_projection(hidden)
        rows = torch.arange(states.shape[0], device=states.device)
        return {"states": states, "mask": mask, "embedding": states[rows, mask.sum(dim=1) - 1]}

    def decode(self, image_features: ImageFeatures, text_features: TextFeatures) -> Tensor:
        """Decode to logits (B, k, H, W)."""
        return self._logits(image_features, text_features, self._fuse(image_features, text_features))

    def decode_with_presence(
        self, image_features: ImageFeatures, text_features: TextFeatures
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode, and run the DETR decoder for the presence logits, which need no other evidence."""
        fused = self._fuse(image_features, text_features)
        rows, columns = image_features["coarsest"].shape[-2:]
        dtype = self.dtype_of("detr_decoder")  # it stays frozen where the decoder of masks is trained, in float32
        output = self.base.detr_decoder(
            vision_features=fused.to(dtype),
            text_features=text_features["states"].flatten(0, 1).to(dtype),
            vision_pos_encoding=self._positions(image_features["coarsest"]).to(dtype),
            text_mask=text_features["mask"].flatten(0, 1),
            spatial_shapes=torch.tensor([[rows, columns]], device=fused.device),
        )
        presence = output.presence_logits[-1].unflatten(0, (-1, text_features["states"].shape[1])).squeeze(2)
        return self._logits(image_features, text_features, fused), presence, presence.unsqueeze(2)

    @staticmethod
    def attend_to_patches(layer: Any, patches: Tensor, positions: Tensor) -> Tensor:
        """Run the first third of a layer of the DETR encoder, which reads no text: (B, rows * columns, C)."""
        normed = layer.layer_norm1(patches)
        placed = normed + positions
        return patches + layer.dropout(layer.self_attn(placed, placed, normed)[0])

    @staticmethod
    def read_text(layer: Any, fused: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """Run the rest of a layer of the DETR encoder, in which patches (N, rows * columns, C) read a text each."""
        read, _ = layer.cross_attn(layer.layer_norm2(fused), states, states, attention_mask=mask)
        fused = fused + layer.dropout(read)
        return fused + layer.dropout(layer.mlp(layer.layer_norm3(fused)))

    def _fuse(self, image_features: ImageFeatures, text_features: TextFeatures) -> Tensor:
        """Run the DETR encoder, in which patches read the texts: (B * k, rows * columns, C)."""
        positions = self._positions(image_features["coarsest"])
        states, mask = text_features["states"].flatten(0, 1), text_features["mask"].flatten(0, 1)[:, None, None]
        first, *others = self.base.detr_encoder.layers
        fused = _for_each_text(image_features["attended"], text_features["states"].shape[1])
        fused = self.read_text(first, fused, states, mask)
        for layer in others:
            fused = layer(fused, states, positions, prompt_cross_attn_mask=mask)
        return fused

    def _positions(self, coarsest: Tensor) -> Tensor:
        """Return the position embeddings of the coarsest map, (1, rows * columns, C)."""
        shape = torch.Size((1, *coarsest.shape[1:]))
        positions = self.base.vision_encoder.neck.position_encoding(shape, coarsest.device, torch.float32)
        return positions.flatten(2).transpose(1, 2).to(coarsest.dtype)

    def _logits(self, image_features: ImageFeatures, text_features: TextFeatures, fused: Tensor) -> Tensor:
        """Run the semantic part of the mask decoder, and resize its logits to the image: (B, k, H, W)."""
        decoder, count = self.base.mask_decoder, text_features["states"].shape[1]
        states, mask = text_features["states"].flatten(0, 1), text_features["mask"].flatten(0, 1)
        read, _ = decoder.prompt_cross_attn(
            decoder.prompt_cross_attn_norm(fused), states, states, attention_mask=mask[:, None, None]
        )
        rows, columns = image_features["coarsest"].shape[-2:]
        fused = (fused + decoder.prompt_cross_attn_dropout(read)).transpose(1, 2).unflatten(2, (rows, columns))
        finer = [_for_each_text(image_features[level], count) for level in LEVELS[:-1]]
        features = decoder.pixel_decoder([*finer, fused])  # (B * k, C, h, w)
        patch = self.base.vision_encoder.config.backbone_config.patch_size
        logits = functional.interpolate(
            decoder.semantic_projection(features), size=(rows * patch, columns * patch), mode="bilinear"
        )
        if self.upsampler is not None:
            logits = self.upsampler(features, logits)
        return logits.unflatten(0, (-1, count)).squeeze(2)

    def _build_upsampler(self) -> nn.Module:
        return Upsampler(self.base.config.mask_decoder_config.hidden_size, UPSAMPLER_CHANNELS)


def _for_each_text(features: Tensor, count: int) -> Tensor:
    """Repeat features (B, ...) for k texts: (B * k, ...)."""
    return features.unsqueeze(1).expand(-1, count, *features.shape[1:]).flatten(0, 1)


def _layer_sites(layer: str, width: int, attentions: tuple[str, ...], output: str) -> LayerSites:
    projections = ("q_proj", "k_proj", "v_proj", output)
    return LayerSites(
        width=width,
        branches=tuple(f"{layer}.{name}" for name in (*attentions, "mlp")),
        attention=tuple(f"{layer}.{name}.{projection}" for name in attentions for projection in projections),
        mlp=(f"{layer}.mlp.fc1", f"{layer}.mlp.fc2"),
    )
