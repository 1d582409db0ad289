"""CRIS's two encoders: CLIP's ResNet with attention pooling, and CLIP's text transformer.

Written from Radford et al. (2021) and Wang et al. (2022); parameters are named as in the release.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from monai_tunevlseg.networks.cris.config import CONTEXT_LENGTH, CRISConfig
from monai_tunevlseg.networks.quick_gelu import QuickGELU

__all__ = ["CLIPBackbone", "eos_positions"]


class Bottleneck(nn.Module):
    """Residual block that strides by average pooling, after the 3x3 convolution and before the shortcut's 1x1.

    Args:
        in_channels: channels of the input, (B, in_channels, h, w).
        channels: inner channels; the output is (B, 4 * channels, h / stride, w / stride).
        stride: side of the pooled squares.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = 4 * channels
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            layers = [("pool", nn.AvgPool2d(stride)), ("0", shortcut), ("1", nn.BatchNorm2d(out_channels))]
            self.downsample = nn.Sequential(OrderedDict(layers))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, 4 * channels, h / stride, w / stride)."""
        inner = functional.relu(self.bn1(self.conv1(features)))
        inner = functional.relu(self.bn2(self.conv2(inner)))
        return functional.relu(self.bn3(self.conv3(self.pool(inner))) + self.downsample(features))


class AttentionPool(nn.Module):
    """CLIP's attention pooling in CRIS: each position is a query, so that the output is a map, plus a 1x1 shortcut.

    Args:
        grid: rows and columns of the position embedding, which is interpolated to the size of the map. Its first row
            belongs to CLIP's mean token, which CRIS omits.
        channels: channels of the input.
        heads: heads of the attention.
        out_channels: channels of the output.
    """

    def __init__(self, grid: int, channels: int, heads: int, out_channels: int) -> None:
        super().__init__()
        self.grid, self.heads = grid, heads
        self.positional_embedding = nn.Parameter(torch.randn(1 + grid * grid, channels) * channels**-0.5)
        self.k_proj = nn.Linear(channels, channels)
        self.q_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.c_proj = nn.Linear(channels, out_channels)
        self.connect = nn.Sequential(nn.Conv2d(channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, channels, h, w) to (B, out_channels, h, w)."""
        size = features.shape[-2:]
        tokens = (features + self._positions(size)).flatten(2).transpose(1, 2)  # (B, h * w, channels)
        query, key, value = (
            projection(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, h * w, channels / heads)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        pooled = self.c_proj(attended).transpose(1, 2).unflatten(2, size)
        return functional.relu(pooled + self.connect(features))

    def _positions(self, size: torch.Size) -> Tensor:
        """Interpolate the position embedding to a map's size: (1, channels, h, w)."""
        square = self.positional_embedding[1:].T.unflatten(1, (self.grid, self.grid)).unsqueeze(0)
        return functional.interpolate(square, size=tuple(size), mode="bicubic", align_corners=False)


class CLIPResNet(nn.Module):
    """CLIP's ResNet: a stem of three convolutions, four stages of anti-aliased bottlenecks, attention pooling."""

    def __init__(self, config: CRISConfig) -> None:
        super().__init__()
        width = config.vision_width
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        dims, blocks = config.map_dims, config.vision_blocks
        self.layer1 = _stage(width, dims[0], blocks[0], stride=1)
        self.layer2 = _stage(dims[0], dims[1], blocks[1], stride=2)
        self.layer3 = _stage(dims[1], dims[2], blocks[2], stride=2)
        self.layer4 = _stage(dims[2], dims[3], blocks[3], stride=2)
        self.attnpool = AttentionPool(config.vision_grid, dims[3], config.vision_heads, config.embed_dim)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode images.

        Args:
            image: (B, 3, H, W), normalized; H and W are multiples of 32.

        Returns:
            C3 (B, 8 * vision_width, H / 8, W / 8), C4 (B, 16 * vision_width, H / 16, W / 16) and
            C5 (B, embed_dim, H / 32, W / 32).
        """
        hidden = functional.relu(self.bn1(self.conv1(image)))
        hidden = functional.relu(self.bn2(self.conv2(hidden)))
        hidden = functional.relu(self.bn3(self.conv3(hidden)))
        c3 = self.layer2(self.layer1(functional.avg_pool2d(hidden, 2)))
        c4 = self.layer3(c3)
        return c3, c4, self.attnpool(self.layer4(c4))


def _stage(in_channels: int, out_channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(in_channels, out_channels // 4, stride)
    return nn.Sequential(first, *(Bottleneck(out_channels, out_channels // 4, 1) for _ in range(blocks - 1)))


class TextBlock(nn.Module):
    """One layer of CLIP's text transformer: causal self-attention and a feed-forward layer, each after its norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(width)
        layers = [("c_fc", nn.Linear(width, 4 * width)), ("gelu", QuickGELU()), ("c_proj", nn.Linear(4 * width, width))]
        self.mlp = nn.Sequential(OrderedDict[str, nn.Module](layers))
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (S, N, width) to (S, N, width); a token attends to itself and to earlier tokens."""
        length = hidden.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=hidden.device).triu(1)
        normed = self.ln_1(hidden)
        hidden = hidden + self.attn(normed, normed, normed, attn_mask=later, is_causal=True, need_weights=False)[0]
        return hidden + self.mlp(self.ln_2(hidden))


class TextTransformer(nn.Module):
    """The layers of CLIP's text transformer."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(TextBlock(width, heads) for _ in range(layers)))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (S, N, width) to (S, N, width)."""
        return self.resblocks(hidden)


class CLIPBackbone(nn.Module):
    """Both encoders of CLIP; the text encoder returns the words' features and the sentence's state.

    Args:
        config: sizes of the model.
    """

    def __init__(self, config: CRISConfig) -> None:
        super().__init__()
        width = config.text_width
        self.visual = CLIPResNet(config)
        self.transformer = TextTransformer(width, config.text_layers, config.text_heads)
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.randn(CONTEXT_LENGTH, width) * 0.01)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, config.embed_dim) * width**-0.5)
        # CRIS does not use CLIP's temperature, but the released checkpoint holds it
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        nn.init.normal_(self.token_embedding.weight, std=0.02)  # CLIP's initialization, as 0.01 above

    def encode_text(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Encode token sequences.

        Args:
            token_ids: (S, N), each row SOS, words, EOS and padding; N is at most 77.

        Returns:
            features of the tokens (S, N, text_width), and the sentences' states (S, embed_dim).
        """
        hidden = self.token_embedding(token_ids) + self.positional_embedding[: token_ids.shape[1]]
        return self.finish_text(self.transformer(hidden), eos_positions(token_ids))

    def finish_text(self, hidden: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """Normalize the last layer's output (S, N, text_width), and project the state at position ``end`` (S,)."""
        words = self.ln_final(hidden)
        state = words[torch.arange(words.shape[0], device=words.device), end] @ self.text_projection
        return words, state


def eos_positions(token_ids: Tensor) -> Tensor:
    """Return the positions of the first EOS, the vocabulary's last token, in (S, N) token ids: (S,)."""
    return token_ids.argmax(dim=1)
