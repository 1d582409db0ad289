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
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, CLIPTokenizer, ViTImageProcessorPil

from monai_tunevlseg.atomic_files import unfinished_folder
from monai_tunevlseg.demo.scenes import SIZE
from monai_tunevlseg.demo.tokenizer import CONTEXT_LENGTH, build_tokenizer
from monai_tunevlseg.networks import CRIS, CRISConfig, save_cris
from monai_tunevlseg.networks.cris.encoders import eos_positions
from monai_tunevlseg.networks.cris.model import padding_mask
from monai_tunevlseg.registry import Registry

__all__ = ["TRAINABLE_VLSMS", "TrainableCLIPSeg", "TrainableCRIS", "Outputs", "TrainableVLSM"]


class Outputs(NamedTuple):
    """Outputs of a VLSM for B images, U distinct texts and k texts per image.

    `patch_scores` and `image_scores` train the encoders directly, like CLIP's contrastive loss; None for a VLSM without
    them.
    """

    logits: Tensor  # (B, k, 96, 96)
    patch_scores: Tensor | None  # (B, U, rows, columns): logits of the agreement of each patch with each text
    image_scores: Tensor | None  # (B, U): logits of the agreement of each image with each text


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
        patches = scores[:, 1:].mT.unflatten(-1, (math.isqrt(scores.shape[1] - 1), -1)) + self.patch_bias
        return Outputs(logits.unflatten(0, text_indices.shape), patches, scores[:, 0])

    def save(self, folder: Path) -> None:
        """Save the folder in transformers' format, with an image processor as published CLIPSeg models have."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        ViTImageProcessorPil(size=SIZE, image_mean=self.mean, image_std=self.std).save_pretrained(folder)


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
        "patch_size": 8,
        "hidden_size": 128,
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
    return TrainableCLIPSeg(config, tokenizer)


class TrainableCRIS(TrainableVLSM):
    """CRIS of this package with trainable encoders."""

    mean = (0.48145466, 0.4578275, 0.40821073)
    std = (0.26862954, 0.26130258, 0.27577711)

    def __init__(self, config: CRISConfig, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.model = CRIS(config)
        self.patch_bias = nn.Parameter(torch.tensor(-3.0))  # for training only; not saved

    def forward(self, images: Tensor, tokens: dict[str, Tensor], text_indices: Tensor) -> Outputs:
        """Encode each image and each text once, then decode each (image, text) pair."""
        backbone, ids = self.model.backbone, tokens["input_ids"]
        words, states = backbone.encode_text(ids)
        padding = padding_mask(eos_positions(ids), ids.shape[1])
        maps = backbone.visual(images)
        _, logits = self.model.decode(
            self.model.neck.project(maps), words[text_indices], padding[text_indices], states[text_indices]
        )
        directions = functional.normalize(states, dim=-1) * backbone.logit_scale.exp()
        patches = torch.einsum("bdyx,ud->buyx", functional.normalize(maps[-1], dim=1), directions)
        images_seen = functional.normalize(maps[-1].mean((2, 3)), dim=-1)
        masks = logits.unflatten(0, text_indices.shape).squeeze(2)
        return Outputs(masks, patches + self.patch_bias, images_seen @ directions.T)

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
