"""CLIPSeg with prompts: prompted text and vision encoders that run the loaded model's modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPSegForImageSegmentation
from transformers.models.clipseg.modeling_clipseg import CLIPSegDecoder, CLIPSegTextModel, CLIPSegVisionModel

from monai_tunevlseg.methods import AdapterSites, EncoderSizes, LayerSites, PromptLearner, TapSite
from monai_tunevlseg.networks.clipseg.loading import load_clipseg
from monai_tunevlseg.networks.image_size_check import check_image_size
from monai_tunevlseg.networks.presence import pooled_logit, presence_evidence
from monai_tunevlseg.networks.prompt_tuned_network import ImageFeatures, PromptTunedNetwork, TextFeatures
from monai_tunevlseg.networks.repeated_rows import repeat_rows
from monai_tunevlseg.networks.text_context import insert_text_context
from monai_tunevlseg.networks.texts import Tokens
from monai_tunevlseg.networks.trained_part import ModelParts
from monai_tunevlseg.networks.upsampler import Upsampler

__all__ = ["PromptTunedCLIPSeg", "decode", "encode_image", "encode_text", "project_taps"]


class PromptTunedCLIPSeg(PromptTunedNetwork):
    """CLIPSeg (Lüddecke and Ecker, *Image Segmentation Using Text and Image Prompts*, 2022) with learnable prompts.

    Supports all methods. Without method and upsampler, its logits equal those of transformers'
    ``CLIPSegForImageSegmentation``. The patch size must divide the size of images; position embeddings are
    interpolated. See :class:`~monai_tunevlseg.networks.PromptTunedNetwork` for arguments and errors.
    """

    base: CLIPSegForImageSegmentation
    load_base = staticmethod(load_clipseg)
    parts = ModelParts(
        text=("clip.text_model", "clip.text_projection"),
        vision=("clip.vision_model", "clip.visual_projection"),
        decoder=("decoder",),
        early_decoder=("decoder.reduces",),
    )
    text_embedding = condition = "embedding"
    repeated_layers = ("clip.text_model.encoder.layers", "clip.vision_model.encoder.layers", "decoder.layers")

    def encoder_sizes(self) -> EncoderSizes:
        """Return the widths and depths of CLIPSeg's encoders."""
        config: Any = self.base.config
        return EncoderSizes(
            text_dim=config.text_config.hidden_size,
            text_layers=config.text_config.num_hidden_layers,
            text_positions=config.text_config.max_position_embeddings,
            vision_dim=config.vision_config.hidden_size,
            # no layer after the last tap is read, and the tap itself sees the context of the next layer
            vision_layers=min(config.vision_config.num_hidden_layers, max(config.extract_layers) + 2),
            image_embed_dim=config.projection_dim,
        )

    def adapter_sites(self) -> AdapterSites:
        """Return the layers of both encoders, of the vision encoder up to the last tap, and of the decoder."""
        config: Any = self.base.config
        text, vision_dim, taps = config.text_config, config.vision_config.hidden_size, list(config.extract_layers)
        readers = reversed([f"decoder.reduces.{index}" for index in range(len(taps))])
        return AdapterSites(
            condition_dim=config.projection_dim,
            text=_layer_sites("clip.text_model.encoder", text.num_hidden_layers, text.hidden_size),
            vision=_layer_sites("clip.vision_model.encoder", max(taps) + 1, vision_dim),
            decoder=_layer_sites("decoder", len(taps), config.reduce_dim),
            taps=tuple(TapSite(vision_dim, tap, reader) for tap, reader in zip(taps, readers, strict=True)),
        )

    def embed_tokens(self, token_ids: Tensor) -> Tensor:
        """Look up token embeddings: (N,) -> (N, text_dim)."""
        embedding = self.base.clip.text_model.embeddings.token_embedding
        return embedding(token_ids.to(embedding.weight.device))

    def encode_image(
        self, image: Tensor, learner: PromptLearner | None = None, embed: bool | None = None
    ) -> ImageFeatures:
        """Run the prompted vision encoder up to the last tapped layer, and the decoder's linear projections.

        Args:
            image: (B, 3, H, W), normalized.
            learner: prompt learner that returns the contexts; None for the network's own.
            embed: whether to return ``embedding`` too, which needs all layers; None = if the method is conditioned
                on it.

        Returns:
            the features of :func:`project_taps`, and ``embedding``, the projected pooled output (B, projection_dim).

        Raises:
            ValueError: when the patch size does not divide H and W.
        """
        patch = self.base.clip.vision_model.embeddings.patch_size
        image = check_image_size(image, patch, "CLIPSeg")
        height, width = image.shape[-2:]
        clip = self.base.clip
        embed = self._is_conditioned() if embed is None else embed
        last = len(clip.vision_model.encoder.layers) - 1 if embed else max(self.base.extract_layers)
        hidden = encode_image(clip.vision_model, image, learner or self.learner, last)
        taps = [self._cast_for_decoder(hidden[i]) for i in self.base.extract_layers]
        features = project_taps(self.base.decoder, taps, (height // patch, width // patch))
        if embed:
            features["embedding"] = clip.visual_projection(clip.vision_model.post_layernorm(hidden[-1][:, 0]))
        return features

    def encode_text(
        self, tokens: Tokens, image_embedding: Tensor | None, learner: PromptLearner | None = None
    ) -> TextFeatures:
        """Run the prompted text encoder: (S, N) -> ``embedding`` (S, projection_dim), and ``end_states`` if needed."""
        clip, eos, taps = self.base.clip, self.tokenizer.eos_token_id, self.text_taps
        pooled, *states = encode_text(clip.text_model, tokens.ids, eos, learner or self.learner, image_embedding, taps)
        features = {"embedding": clip.text_projection(pooled)}
        return features | ({"end_states": torch.stack(states, dim=1)} if states else {})

    def decode(self, image_features: ImageFeatures, text_features: TextFeatures) -> Tensor:
        """Decode to logits (B, k, H, W)."""
        return self._decode(image_features, text_features)[1]

    def decode_with_presence(
        self, image_features: ImageFeatures, text_features: TextFeatures
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode, and score presence by the mask; its evidence is in the decoder's penultimate features too."""
        features, logits = self._decode(image_features, text_features)
        return logits, pooled_logit(logits), presence_evidence(logits, features)

    def _decode(self, image_features: ImageFeatures, text_features: TextFeatures) -> tuple[Tensor, Tensor]:
        """Return the penultimate features (B * k, reduce_dim, rows, columns), and logits (B, k, H, W)."""
        embedding = text_features["embedding"]  # (B, k, projection_dim)
        features, logits = decode(self.base.decoder, image_features, embedding)
        if self.upsampler is not None:
            logits = self.upsampler(features, logits)
        return features, logits.unflatten(0, (-1, embedding.shape[1])).squeeze(2)

    def _build_upsampler(self) -> nn.Module:
        return Upsampler(self.base.config.reduce_dim)


def _layer_sites(encoder: str, count: int, width: int) -> tuple[LayerSites, ...]:
    layers = (f"{encoder}.layers.{index}" for index in range(count))
    return tuple(
        LayerSites(
            width=width,
            branches=(f"{layer}.self_attn", f"{layer}.mlp"),
            attention=tuple(f"{layer}.self_attn.{name}_proj" for name in ("q", "k", "v", "out")),
            mlp=(f"{layer}.mlp.fc1", f"{layer}.mlp.fc2"),
        )
        for layer in layers
    )


def encode_text(
    model: CLIPSegTextModel,
    token_ids: Tensor,
    eos_token_id: int,
    learner: PromptLearner | None,
    image_embedding: Tensor | None = None,
    taps: Sequence[int] = (),
) -> list[Tensor]:
    """Encode token sequences with the learner's textual context after SOS (TuneVLSeg, eq. 5 and 6).

    Args:
        model: the text transformer.
        token_ids: (S, N), each row SOS, words, EOS and padding. Attention is causal, so padding after EOS needs no
            mask.
        eos_token_id: id of EOS.
        learner: prompt learner; its textual context is inserted, if any.
        image_embedding: (S, image_embed_dim) for learners that are conditioned on the image.
        taps: indices of layers, in ascending order.

    Returns:
        final state of EOS, then its states after the layers in ``taps``, each (S, text_dim).
    """
    hidden = insert_text_context(model.embeddings.token_embedding(token_ids), 0, learner, image_embedding)
    count = hidden.shape[1] - token_ids.shape[1]
    hidden = model.embeddings(inputs_embeds=hidden)  # (S, N + count, text_dim)
    # the first EOS, because padding may be EOS too
    eos = (token_ids == eos_token_id).int().argmax(dim=1) + count
    rows = torch.arange(hidden.shape[0], device=hidden.device)
    states = []
    for index, layer in enumerate(model.encoder.layers):
        if index:
            hidden = insert_text_context(hidden, index, learner, image_embedding)
        hidden = layer(hidden, attention_mask=None, is_causal=True)
        if index in taps:
            states.append(hidden[rows, eos])
    return [model.final_layer_norm(hidden[rows, eos]), *states]


def encode_image(
    model: CLIPSegVisionModel, image: Tensor, learner: PromptLearner | None, last_layer: int
) -> list[Tensor]:
    """Encode images with the learner's visual context after the patches (TuneVLSeg, eq. 7 and 8).

    The context of a layer replaces that of the previous layer as soon as the latter has run, so the decoder's taps
    see it.

    Args:
        model: the vision transformer.
        image: (B, 3, H, W), normalized.
        learner: prompt learner; its visual context is appended, if any.
        last_layer: index of the last layer to run.

    Returns:
        hidden states after layers 0..``last_layer``, each (B, 1 + patches + num_context, vision_dim).
    """
    prompted = learner if learner is not None and learner.prompts_vision else None
    hidden = model.embeddings(image)  # (B, 1 + patches, vision_dim)
    patches_end = hidden.shape[1]

    def with_context(states: Tensor, index: int) -> Tensor:
        if prompted is None or index >= prompted.prompt_depth:
            return states
        context = prompted.visual_context(index).to(states.dtype).expand(states.shape[0], -1, -1)
        return torch.cat([states[:, :patches_end], context], dim=1)

    hidden = model.pre_layrnorm(with_context(hidden, 0))
    states = []
    for index, layer in enumerate(model.encoder.layers[: last_layer + 1]):
        hidden = with_context(layer(hidden, attention_mask=None), index + 1)
        states.append(hidden)
    return states


def project_taps(decoder: CLIPSegDecoder, taps: list[Tensor], grid: tuple[int, int]) -> ImageFeatures:
    """Project the taps of B images to the decoder's width.

    Args:
        decoder: CLIPSeg's decoder.
        taps: T hidden states of the vision encoder, first layer first, each (B, 1 + patches + num_context, vision_dim).
        grid: rows and columns of the patch grid.

    Returns:
        ``patches`` (B, T, rows, columns, reduce_dim), and ``tokens`` (B, T, 1 + num_context, reduce_dim), which are CLS
        and the visual context; taps in the order in which the decoder reads them.
    """
    layers = zip(reversed(taps), decoder.reduces, strict=True)
    reduced = torch.stack([layer(tap) for tap, layer in layers], dim=1)
    end = 1 + grid[0] * grid[1]
    tokens = torch.cat([reduced[:, :, :1], reduced[:, :, end:]], dim=2)
    return ImageFeatures(patches=reduced[:, :, 1:end].unflatten(2, grid), tokens=tokens)


def decode(decoder: CLIPSegDecoder, image_features: ImageFeatures, embedding: Tensor) -> tuple[Tensor, Tensor]:
    """Decode B images for k texts each.

    Layers before the modulation by the text run once per image. The visual context passes through the decoder's
    layers like any token and is dropped after them.

    Args:
        decoder: CLIPSeg's decoder.
        image_features: output of :func:`project_taps`.
        embedding: (B, k, projection_dim) of the texts.

    Returns:
        penultimate features (B * k, reduce_dim, rows, columns), and logits (B * k, 1, H, W).
    """
    patches, tokens = image_features["patches"], image_features["tokens"]
    taps = torch.cat([tokens[:, :, :1], patches.flatten(2, 3), tokens[:, :, 1:]], dim=2).to(embedding.dtype).unbind(1)
    count = embedding.shape[1]
    embedding = embedding.flatten(0, 1).unsqueeze(1)  # (B * k, 1, projection_dim)
    output = embedding.new_zeros(())
    for index, (reduced, layer) in enumerate(zip(taps, decoder.layers, strict=True)):
        if index > decoder.conditional_layer:
            reduced = repeat_rows(reduced, count)
        output = reduced + output
        if index == decoder.conditional_layer:
            output = repeat_rows(output, count)
            output = decoder.film_mul(embedding) * output + decoder.film_add(embedding)
        output = layer(output, attention_mask=None)
    rows, columns = patches.shape[2:4]
    features = output[:, 1 : 1 + rows * columns].transpose(1, 2).unflatten(2, (rows, columns))
    return features, decoder.transposed_convolution(features)
