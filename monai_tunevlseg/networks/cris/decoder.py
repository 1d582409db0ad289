"""The modules after CRIS's encoders: neck, cross-attention decoder and projector.

Written from Wang et al. (2022); parameters are named as in the release.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from monai_tunevlseg.networks.cris.config import CRISConfig
from monai_tunevlseg.networks.repeated_rows import repeat_rows

__all__ = ["Decoder", "Neck", "Projector"]


def _convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """Convolution that keeps the size, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


def _resized(features: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(features, size=like.shape[-2:], mode="bilinear", align_corners=False)


class CoordConv(nn.Module):
    """3x3 convolution with each position's column and row, both in [-1, 1], as additional channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels + 2, out_channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, h, w) to (N, out_channels, h, w)."""
        height, width = features.shape[-2:]
        rows = torch.linspace(-1, 1, height, device=features.device, dtype=features.dtype)
        columns = torch.linspace(-1, 1, width, device=features.device, dtype=features.dtype)
        places = torch.stack([columns.expand(height, width), rows.unsqueeze(1).expand(height, width)])
        return self.conv1(torch.cat([features, places.expand(features.shape[0], -1, -1, -1)], dim=1))


class Neck(nn.Module):
    """CRIS's multi-modal feature pyramid: the text's state gates the coarsest map, then the levels are fused."""

    def __init__(self, config: CRISConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.neck_dims
        _, c3, c4, _ = config.map_dims
        self.txt_proj = nn.Sequential(
            nn.Linear(config.embed_dim, coarse, bias=False), nn.BatchNorm1d(coarse), nn.ReLU()
        )
        self.f1_v_proj = _convolution(config.embed_dim, coarse, 1)
        self.norm_layer = nn.Sequential(nn.BatchNorm2d(coarse), nn.ReLU())
        self.f2_v_proj = _convolution(c4, middle, 3)
        self.f2_cat = _convolution(coarse + middle, middle, 1)
        self.f3_v_proj = _convolution(c3, fine, 3)
        self.f3_cat = _convolution(fine + middle, middle, 1)
        self.f4_proj5 = _convolution(coarse, middle, 3)
        self.f4_proj4 = _convolution(middle, middle, 3)
        self.f4_proj3 = _convolution(middle, middle, 3)
        self.aggr = _convolution(3 * middle, middle, 1)
        self.coordconv = nn.Sequential(CoordConv(middle, middle), _convolution(middle, middle, 3))

    def project(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Compute the text-independent projections of the maps.

        Args:
            maps: C3, C4 and C5 of B images, each (B, channels, rows, columns).

        Returns:
            projected C3 and C4 (B, channels, H / 16, W / 16), and projected C5 (B, channels, H / 32, W / 32).
        """
        projections = (self.f3_v_proj, self.f2_v_proj, self.f1_v_proj)
        c3, c4, c5 = (projection(level) for projection, level in zip(projections, maps, strict=True))
        return [functional.avg_pool2d(c3, 2), c4, c5]

    def forward(self, levels: Sequence[Tensor], state: Tensor) -> Tensor:
        """Fuse the maps of B images with k texts each.

        Args:
            levels: output of ``project``.
            state: (B, k, embed_dim), the texts' states.

        Returns:
            (B * k, text_width, H / 16, W / 16), grouped by image.
        """
        gate = self.txt_proj(state.flatten(0, 1))[:, :, None, None]  # (B * k, channels, 1, 1)
        c3, c4, c5 = (repeat_rows(level, state.shape[1]) for level in levels)
        c5 = self.norm_layer(c5 * gate)
        c4 = self.f2_cat(torch.cat([c4, _resized(c5, c4)], dim=1))
        c3 = self.f3_cat(torch.cat([c3, c4], dim=1))
        levels = [self.f4_proj3(c3), self.f4_proj4(c4), _resized(self.f4_proj5(c5), c4)]
        return self.coordconv(self.aggr(torch.cat(levels, dim=1)))


def sine_codes(length: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Fixed position codes, alternately sine and cosine (Vaswani et al., 2017): (length, dim)."""
    frequencies = torch.exp(torch.arange(0, dim, 2, device=device) * (-math.log(10000) / dim))  # (dim / 2,)
    angles = torch.arange(length, device=device).unsqueeze(1) * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def sine_codes_2d(height: int, width: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Fixed position codes of a map: columns in the first half of the channels, rows in the second.

    Returns:
        (height * width, dim), row by row.
    """
    columns = sine_codes(width, dim // 2, device).unsqueeze(0).expand(height, -1, -1)
    rows = sine_codes(height, dim // 2, device).unsqueeze(1).expand(-1, width, -1)
    return torch.cat([columns, rows], dim=2).flatten(0, 1)


class DecoderLayer(nn.Module):
    """Self-attention of the map, cross-attention to the words, feed-forward layer; norms before and after attention."""

    def __init__(self, config: CRISConfig) -> None:
        super().__init__()
        width, heads, dropout = config.text_width, config.decoder_heads, config.dropout
        self.self_attn_norm = nn.LayerNorm(width)
        self.cross_attn_norm = nn.LayerNorm(width)
        self.self_attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.ffn = nn.Sequential(
            nn.Linear(width, config.decoder_ffn_dim),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.LayerNorm(config.decoder_ffn_dim),
            nn.Linear(config.decoder_ffn_dim, width),
        )
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, vision: Tensor, places: Tensor, words: Tensor, word_places: Tensor, padding: Tensor) -> Tensor:
        """Run the layer.

        Args:
            vision: (N, P, width), the map's positions.
            places: (P, width), their position codes.
            words: (N, L, width), the text's tokens.
            word_places: (L, width), their position codes.
            padding: (N, L), minus infinity for ignored tokens, 0 for the others.

        Returns:
            (N, P, width).
        """
        normed = self.norm1(vision)
        placed = normed + places
        attended = self.self_attn(placed, placed, normed, need_weights=False)[0]
        vision = vision + self.dropout(self.self_attn_norm(attended))
        attended = self.multihead_attn(
            self.norm2(vision) + places, words + word_places, words, key_padding_mask=padding, need_weights=False
        )[0]
        vision = vision + self.dropout(self.cross_attn_norm(attended))
        return vision + self.dropout(self.ffn(self.norm3(vision)))


class Decoder(nn.Module):
    """CRIS's vision-language decoder: the map's positions attend to the words."""

    def __init__(self, config: CRISConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.text_width)

    def forward(self, features: Tensor, words: Tensor, padding: Tensor) -> Tensor:
        """Decode.

        Args:
            features: (N, width, h, w), the neck's output.
            words: (N, L, width).
            padding: (N, L) bool, True for ignored tokens.

        Returns:
            (N, width, h, w).
        """
        width, height, columns = features.shape[1:]
        places = sine_codes_2d(height, columns, width, features.device).to(features)
        word_places = sine_codes(words.shape[1], width, words.device).to(words)
        mask = torch.where(padding, -torch.inf, 0.0).to(words)  # the conversion in attention, but traceable for any N
        vision = features.flatten(2).transpose(1, 2)  # (N, h * w, width)
        for layer in self.layers:
            vision = layer(vision, places, words, word_places, mask)
        return self.norm(vision).transpose(1, 2).unflatten(2, (height, columns))


class Projector(nn.Module):
    """Upsampling by 4, then a 3x3 convolution whose kernel and bias are projected from the text's state."""

    def __init__(self, config: CRISConfig) -> None:
        super().__init__()
        width = config.text_width
        channels = width // 2
        self.vis = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            _convolution(width, width, 3),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            _convolution(width, channels, 3),
            nn.Conv2d(channels, channels, 1),
        )
        self.txt = nn.Linear(config.embed_dim, channels * 9 + 1)

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        """Map features (N, width, h, w) and states (N, embed_dim) to logits (N, 1, 4 * h, 4 * w)."""
        upsampled = self.vis(features)  # (N, width / 2, 4 * h, 4 * w)
        projected = self.txt(state)
        kernels = projected[:, :-1].unflatten(1, (-1, 9)).flip(2)  # (N, width / 2, 9)
        # the products of each pixel with the kernel's 9 positions, summed by fold: the same as a convolution with one
        # group per sample, and several times as fast
        products = torch.bmm(kernels.transpose(1, 2), upsampled.flatten(2))  # (N, 9, 16 * h * w)
        logits = functional.fold(products, upsampled.shape[-2:], kernel_size=3, padding=1)
        return logits + projected[:, -1, None, None, None]
