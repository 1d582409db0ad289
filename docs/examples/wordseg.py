"""An example of a VLSM: WordSeg, which shares nothing with CLIP.

Its text encoder is BERT, pooled at the first token, its vision encoder two convolutions. ``wordseg.yaml`` beside this
file is its fragment, and the registry line ``VLSMS.register("wordseg", PromptTunedWordSeg)``.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoTokenizer, BertConfig, BertModel

from monai_tunevlseg.methods import AdapterSites, EncoderSizes, LayerSites, PromptLearner
from monai_tunevlseg.networks import BaseModel, ImageFeatures, ImageSettings, PromptTunedNetwork, Upsampler
from monai_tunevlseg.networks.base_model import check_fingerprint, fingerprint
from monai_tunevlseg.networks.prompt_tuned_network import TextFeatures
from monai_tunevlseg.networks.text_context import insert_text_context
from monai_tunevlseg.networks.texts import Tokens
from monai_tunevlseg.networks.trained_part import ModelParts


class WordSeg(nn.Module):
    """The base model, as its authors would publish it.

    Args:
        text: sizes of the text encoder.
        width: channels of the image features.
    """

    def __init__(self, text: BertConfig, width: int) -> None:
        super().__init__()
        self.text = BertModel(text, add_pooling_layer=False)
        self.image = nn.Sequential(nn.Conv2d(3, width, 8, stride=8), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
        self.meet = nn.Linear(text.hidden_size, width)
        self.mix = nn.Conv2d(width, width, 1)


def load_wordseg(pretrained: str | Path, expected_fingerprint: str | None = None) -> BaseModel:
    """Load ``config.json``, ``model.safetensors`` and the tokenizer of a folder.

    Raises:
        ValueError: when the model has another fingerprint than the expected one.
    """
    folder = Path(pretrained)
    config = json.loads((folder / "config.json").read_text())
    model = WordSeg(BertConfig(**config["text"], attn_implementation="eager"), config["width"])
    model.load_state_dict(load_file(folder / "model.safetensors"))
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    images = ImageSettings(config["image_size"], (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    base = BaseModel(str(pretrained), model, tokenizer, images, fingerprint(model, {}, tokenizer))
    check_fingerprint(base, expected_fingerprint)
    return base


class PromptTunedWordSeg(PromptTunedNetwork):
    """WordSeg, frozen, with a method; the arguments are those of `PromptTunedNetwork`."""

    load_base = staticmethod(load_wordseg)
    parts = ModelParts(text=("text",), vision=("image",), decoder=("meet", "mix"), early_decoder=())
    no_visual_prompts = "WordSeg's vision encoder is a stack of convolutions"
    text_embedding = condition = "state"
    repeated_layers = ("text.encoder.layer",)

    def encoder_sizes(self) -> EncoderSizes:
        """Return what methods need to know of the encoders."""
        text = self.base.text.config
        return EncoderSizes(
            text.hidden_size,
            text.num_hidden_layers,
            text.max_position_embeddings,
            self.base.mix.in_channels,
            no_visual_prompts=self.no_visual_prompts,
        )

    def adapter_sites(self) -> AdapterSites:
        """Return the modules where adapters can act: those of the text encoder."""
        text = self.base.text.config
        return AdapterSites(
            condition_dim=self.base.mix.in_channels,
            text=tuple(
                LayerSites(
                    width=text.hidden_size,
                    branches=(f"{layer}.attention.output.dense", f"{layer}.output.dense"),
                    attention=tuple(f"{layer}.attention.self.{name}" for name in ("query", "key", "value")),
                    mlp=(f"{layer}.intermediate.dense", f"{layer}.output.dense"),
                )
                for layer in (f"text.encoder.layer.{index}" for index in range(text.num_hidden_layers))
            ),
            reasons={"vision": self.no_visual_prompts},
        )

    def embed_tokens(self, token_ids: Tensor) -> Tensor:
        """Return the embeddings (N, text_dim) of token ids (N,)."""
        return self.base.text.embeddings.word_embeddings(token_ids)

    def encode_image(
        self, image: Tensor, learner: PromptLearner | None = None, embed: bool | None = None
    ) -> ImageFeatures:
        """Return the maps (B, C, H / 8, W / 8) of images (B, 3, H, W), and their mean (B, C) if a method reads it."""
        maps = self.base.image(image.to(self.base.mix.weight.dtype))
        features = ImageFeatures(maps=maps)
        if self._is_conditioned() if embed is None else embed:
            features["embedding"] = maps.mean(dim=(2, 3))
        return features

    def encode_text(
        self, tokens: Tokens, image_embedding: Tensor | None, learner: PromptLearner | None = None
    ) -> TextFeatures:
        """Return the state (N, C) of N texts, with the learner's context before the words of each prompted layer."""
        model, learner = self.base.text, learner or self.learner
        hidden = insert_text_context(self.embed_tokens(tokens.ids), 0, learner, image_embedding)
        count = hidden.shape[1] - tokens.ids.shape[1]
        seen = functional.pad(tokens.mask, (count, 0), value=True)
        blocked = (~seen)[:, None, None].to(hidden.dtype) * torch.finfo(hidden.dtype).min
        hidden = model.embeddings(inputs_embeds=hidden)
        for index, layer in enumerate(model.encoder.layer):
            if index:
                hidden = insert_text_context(hidden, index, learner, image_embedding)
            output = layer(hidden, attention_mask=blocked)
            hidden = output[0] if isinstance(output, tuple) else output
        return {"state": self.base.meet(hidden[:, 0])}

    def decode(self, image_features: ImageFeatures, text_features: TextFeatures) -> Tensor:
        """Return the logits (B, k, H, W) of k texts for each image."""
        state = text_features["state"]
        maps = image_features["maps"][:, None] * state[..., None, None]
        features = self.base.mix(maps.flatten(0, 1))
        logits = functional.interpolate(features.mean(1, keepdim=True), scale_factor=8, mode="bilinear")
        if self.upsampler is not None:
            logits = self.upsampler(features, logits)
        return logits.unflatten(0, (-1, state.shape[1])).squeeze(2)

    def _build_upsampler(self) -> Upsampler:
        return Upsampler(self.base.mix.out_channels)
