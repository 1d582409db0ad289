"""The tiny VLSMs as `train_base_model` trains them from scratch.

To add a VLSM, write a function that returns a `TrainableVLSM` and register it in `TRAINABLE_VLSMS`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, CLIPTokenizer, ViTImageProcessorPil

from monai_tunevlseg.atomic_files import unfinished_folder
from monai_tunevlseg.demo.scenes import FILLS, FORMS, SIZE
from monai_tunevlseg.demo.tokenizer import CONTEXT_LENGTH, build_tokenizer
from monai_tunevlseg.networks import CRIS, CRISConfig, save_cris
from monai_tunevlseg.networks.cris.encoders import eos_positions
from monai_tunevlseg.networks.cris.model import padding_mask
from monai_tunevlseg.registry import Registry

__all__ = ["TRAINABLE_VLSMS", "TrainableCLIPSeg", "TrainableCRIS", "Outputs", "TrainableVLSM", "load_trainable"]


_PATCH = 8
"""Height and width of the tiny CLIPSeg's patches in pixels."""

_VISION_WIDTH = 128


class Outputs(NamedTuple):
    """Outputs of a VLSM for B images, U distinct texts and k texts per image.

    `patch_scores` and `image_scores` train the encoders directly, like CLIP's contrastive loss; None for a VLSM without
    them.
    """

    logits: Tensor  # (B, k, 96, 96)
    fill_scores: Tensor  # (B, 8, 12, 12): logits of the color or tone of the shape in each cell, of `FILLS`
    form_scores: Tensor  # (B, 9, 12, 12): logits of its form, of `FORMS`
    text_features: Tensor  # (U, D): the features of the texts, of any length
    patch_scores: Tensor | None  # (B, U, rows, columns): logits of the agreement of each patch with each text
    image_scores: Tensor | None  # (B, U): logits of the agreement of each image with each text


class KindHead(nn.Module):
    """Linear scores of what is in each cell, for training only.

    Masks and texts alone teach a tiny vision encoder slowly: features that no text asks for stay out of the image, and
    texts that no feature tells apart become equal.

    Args:
        channels: number of channels of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(channels, len(FILLS) + len(FORMS), 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores of fills, (B, 8, 12, 12), and forms, (B, 9, 12, 12), from features (B, channels, 12, 12)."""
        fills, forms = self.linear(features).split([len(FILLS), len(FORMS)], dim=1)
        return fills, forms


class TrainableVLSM(nn.Module, ABC):
    """A VLSM whose encoders and decoder are all trained."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    tokenizer: CLIPTokenizer

    @abstractmethod
    def forward(self, images: Tensor, tokens: dict[str, Tensor], text_indices: Tensor) -> Outputs:
        """Segment images for texts.

        Args:
            images: (B, 3, 96, 96), normalized.
            tokens: `input_ids` and `attention_mask` of U distinct texts, each (U, length).
            text_indices: (B, k), indices in [0, U) of the texts of each image.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Save the config, weights and tokenizer to a folder."""

    def normalize(self, images: np.ndarray) -> Tensor:
        """Normalize RGB images, (B, 3, 96, 96) in [0, 1], with the VLSM's mean and standard deviation."""
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (torch.from_numpy(images) - mean) / std

    def tokenize(self, texts: list[str]) -> dict[str, Tensor]:
        """Tokenize U texts into `input_ids` and `attention_mask`, each (U, length), padded to the longest text."""
        return dict(self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt"))


class TrainableCLIPSeg(TrainableVLSM):
    """CLIPSeg of transformers with trainable encoders."""

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(self, config: CLIPSegConfig, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.model = CLIPSegForImageSegmentation(config)
        self.kind_head = KindHead(self.model.clip.vision_embed_dim)
        self.patch_bias = nn.Parameter(torch.tensor(-3.0))  # for training only; not saved

    def forward(self, images: Tensor, tokens: dict[str, Tensor], text_indices: Tensor) -> Outputs:
        """Encode each image and each text once, then decode each (image, text) pair."""
        clip = self.model.clip
        vision = clip.vision_model(images, output_hidden_states=True)
        texts = clip.text_projection(clip.text_model(**tokens).pooler_output)
        count = text_indices.shape[1]
        taps = [vision.hidden_states[i + 1].repeat_interleave(count, 0) for i in self.model.extract_layers]
        logits = self.model.decoder(taps, texts[text_indices.flatten()]).logits
        directions = functional.normalize(texts, dim=-1)
        tokens_seen = functional.normalize(clip.visual_projection(clip.vision_model.post_layernorm(vision[0])), dim=-1)
        scores = tokens_seen @ directions.T * clip.logit_scale.exp()  # (B, 1 + patches, U)
        grid = (math.isqrt(scores.shape[1] - 1), -1)
        patches = scores[:, 1:].mT.unflatten(-1, grid) + self.patch_bias
        fills, forms = self.kind_head(vision[0][:, 1:].mT.unflatten(-1, grid))
        return Outputs(logits.unflatten(0, text_indices.shape), fills, forms, texts, patches, scores[:, 0])

    def save(self, folder: Path) -> None:
        """Save the folder in transformers' format, with an image processor as published CLIPSeg models have."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        ViTImageProcessorPil(size=SIZE, image_mean=self.mean, image_std=self.std).save_pretrained(folder)


def _position_code(rows: int, channels: int) -> Tensor:
    """Return sines and cosines of the row and the column of each of `rows` x `rows` patches, (rows^2, channels)."""
    frequencies = torch.pi / rows * 2 ** torch.linspace(0, math.log2(rows / 2), channels // 4)
    angles = (torch.arange(rows) + 0.5)[:, None] * frequencies
    code = torch.cat([angles.sin(), angles.cos()], dim=1)  # (rows, channels / 2)
    by_row, by_column = code[:, None].expand(-1, rows, -1), code[None].expand(rows, -1, -1)
    return torch.cat([by_row, by_column], dim=2).flatten(0, 1)


def build_clipseg() -> TrainableVLSM:
    """Build the untrained tiny CLIPSeg, with as many text as vision layers: each prompt depth is valid for both."""
    tokenizer = build_tokenizer()
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": CONTEXT_LENGTH,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "image_size": SIZE,
        "patch_size": _PATCH,
        "hidden_size": _VISION_WIDTH,
        "intermediate_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "hidden_act": "relu",
        "initializer_range": 0.06,
    }
    config = CLIPSegConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=64,
        reduce_dim=64,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=256,
        extract_layers=[1, 3, 5],
    )
    vlsm = TrainableCLIPSeg(config, tokenizer)
    # Small random positions are hardly learned: patches stay a bag, in which neither shapes nor places can be told.
    positions = vlsm.model.clip.vision_model.embeddings.position_embedding.weight
    positions.data[1:] = 0.5 * _position_code(SIZE // _PATCH, _VISION_WIDTH)
    return vlsm


class TrainableCRIS(TrainableVLSM):
    """CRIS of this package with trainable encoders."""

    mean = (0.48145466, 0.4578275, 0.40821073)
    std = (0.26862954, 0.26130258, 0.27577711)

    def __init__(self, config: CRISConfig, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.model = CRIS(config)
        self.kind_head = KindHead(config.text_width)
        self.patch_bias = nn.Parameter(torch.tensor(-3.0))  # for training only; not saved

    def forward(self, images: Tensor, tokens: dict[str, Tensor], text_indices: Tensor) -> Outputs:
        """Encode each image and each text once, then decode each (image, text) pair."""
        backbone, ids = self.model.backbone, tokens["input_ids"]
        words, states = backbone.encode_text(ids)
        padding = padding_mask(eos_positions(ids), ids.shape[1])
        maps = backbone.visual(images)
        features, logits = self.model.decode(
            self.model.neck.project(maps), words[text_indices], padding[text_indices], states[text_indices]
        )
        directions = functional.normalize(states, dim=-1) * backbone.logit_scale.exp()
        patches = torch.einsum("bdyx,ud->buyx", functional.normalize(maps[-1], dim=1), directions)
        images_seen = functional.normalize(maps[-1].mean((2, 3)), dim=-1)
        masks = logits.unflatten(0, text_indices.shape).squeeze(2)
        # of the decoder's features, because the neck drops colors of the maps that masks do not ask for yet
        seen = features.unflatten(0, text_indices.shape).mean(1)
        fills, forms = self.kind_head(functional.interpolate(seen, scale_factor=2, mode="bilinear"))
        return Outputs(masks, fills, forms, states, patches + self.patch_bias, images_seen @ directions.T)

    def save(self, folder: Path) -> None:
        """Save the folder that `load_cris` reads; files of an earlier save are replaced."""
        folder.mkdir(parents=True, exist_ok=True)
        with unfinished_folder(folder / "cris") as unfinished:  # save_cris overwrites nothing
            for file in save_cris(self.model, self.tokenizer, unfinished).iterdir():
                file.replace(folder / file.name)


def build_cris() -> TrainableVLSM:
    """Build the untrained tiny CRIS, with as many text layers as the tiny CLIPSeg, for the same prompt depths."""
    tokenizer = build_tokenizer()
    config = CRISConfig(
        image_size=SIZE,
        vocab_size=len(tokenizer),
        text_width=56,
        text_layers=6,
        text_heads=4,
        vision_width=8,
        vision_blocks=(1, 2, 1, 1),
        vision_heads=4,
        vision_grid=SIZE // 32,
        embed_dim=40,
        neck_dims=(32, 56, 24),
        decoder_layers=2,
        decoder_heads=4,
        decoder_ffn_dim=56,
        dropout=0.0,
    )
    return TrainableCRIS(config, tokenizer)


TRAINABLE_VLSMS: Registry[Callable[[], TrainableVLSM]] = Registry("model")
TRAINABLE_VLSMS.register("clipseg", build_clipseg)
TRAINABLE_VLSMS.register("cris", build_cris)


def load_trainable(model: str, folder: Path) -> TrainableVLSM:
    """Build a VLSM with the weights of a folder that `TrainableVLSM.save` wrote.

    Raises:
        FileNotFoundError: when the folder holds no weights.
        RuntimeError: when the weights are those of another model.
    """
    vlsm = TRAINABLE_VLSMS[model]()
    vlsm.get_submodule("model").load_state_dict(load_file(folder / "model.safetensors"))
    return vlsm
