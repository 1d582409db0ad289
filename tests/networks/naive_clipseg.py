"""A naive implementation of CLIPSeg with prompts: explicit loops over layers, heads and positions.

It follows TuneVLSeg (eq. 1 to 8) and CLIPSeg's paper, one sequence at a time, without forward code of the package or
of transformers; it reads the loaded model's weights and sizes alone. ``Faults`` are deliberate mistakes, which prove
that a comparison with this reference would detect them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Faults:
    """Deliberate mistakes."""

    not_causal: bool = False
    context_before_sos: bool = False
    context_reversed: bool = False
    eos_not_moved: bool = False
    layers_too_deep: int = 0
    context_after_norm: bool = False
    context_before_patches: bool = False
    taps_before_replacement: bool = False
    context_not_through_decoder: bool = False
    zero_padding: bool = False


NONE = Faults()


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    y = layer.weight @ x
    return y if layer.bias is None else y + layer.bias


def layer_norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    centered = x - x.mean()
    return centered / (centered.square().mean() + layer.eps).sqrt() * layer.weight + layer.bias


def attention(module: nn.Module, sequence: list[Tensor], heads: int, causal: bool) -> list[Tensor]:
    """Attend from every position, head by head; with ``causal`` to itself and earlier positions."""
    queries, keys, values = (
        torch.stack([linear(p, x) for x in sequence]) for p in (module.q_proj, module.k_proj, module.v_proj)
    )
    width = len(sequence[0]) // heads
    attended = []
    for position in range(len(sequence)):
        seen = position + 1 if causal else len(sequence)
        parts = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            scores = keys[:seen, part] @ queries[position, part] / width**0.5
            weights = (scores - scores.max()).exp()
            parts.append(weights / weights.sum() @ values[:seen, part])
        attended.append(linear(module.out_proj, torch.cat(parts)))
    return attended


def quick_gelu(x: Tensor) -> Tensor:
    return x / (1 + (-1.702 * x).exp())


def encoder_layer(layer: nn.Module, sequence: list[Tensor], heads: int, causal: bool) -> list[Tensor]:
    """CLIP's layer: normalization before attention and feed-forward layer."""
    attended = attention(layer.self_attn, [layer_norm(layer.layer_norm1, x) for x in sequence], heads, causal)
    sequence = [x + a for x, a in zip(sequence, attended, strict=True)]
    normed = [layer_norm(layer.layer_norm2, x) for x in sequence]
    return [
        x + linear(layer.mlp.fc2, quick_gelu(linear(layer.mlp.fc1, n))) for x, n in zip(sequence, normed, strict=True)
    ]


def decoder_layer(layer: nn.Module, sequence: list[Tensor], heads: int) -> list[Tensor]:
    """CLIPSeg's decoder layer: normalization after attention and feed-forward layer, ReLU."""
    attended = attention(layer.self_attn, sequence, heads, causal=False)
    sequence = [layer_norm(layer.layer_norm1, x + a) for x, a in zip(sequence, attended, strict=True)]
    fed = [linear(layer.mlp.fc2, linear(layer.mlp.fc1, x).clamp(min=0)) for x in sequence]
    return [layer_norm(layer.layer_norm2, x + f) for x, f in zip(sequence, fed, strict=True)]


def text_embedding(base: nn.Module, token_ids: list[int], contexts: list[Tensor], faults: Faults = NONE) -> Tensor:
    """Embed one text; ``contexts`` are P_0 .. P_{J-1}, each (B, text_dim)."""
    model, heads = base.clip.text_model, base.config.text_config.num_attention_heads
    eos = model.config.vocab_size - 1  # the published configuration says 2, and means this
    words = [model.embeddings.token_embedding.weight[token] for token in token_ids]
    first = 0 if faults.context_before_sos else 1
    count = len(contexts[0]) if contexts else 0
    contexts = [context.flip(0) if faults.context_reversed else context for context in contexts]
    sequence = words[:first] + (list(contexts[0]) if contexts else []) + words[first:]
    sequence = [x + model.embeddings.position_embedding.weight[n] for n, x in enumerate(sequence)]
    for index, layer in enumerate(model.encoder.layers):
        if 0 < index < len(contexts) + faults.layers_too_deep:
            sequence[first : first + count] = list(contexts[min(index, len(contexts) - 1)])
        sequence = encoder_layer(layer, sequence, heads, causal=not faults.not_causal)
    end = token_ids.index(eos) + (0 if faults.eos_not_moved else count)
    return linear(base.clip.text_projection, layer_norm(model.final_layer_norm, sequence[end]))


def patch_sequence(base: nn.Module, image: Tensor) -> list[Tensor]:
    """CLS and the patches of one image (3, H, W), row by row, with their positions."""
    embeddings = base.clip.vision_model.embeddings
    size = embeddings.patch_size
    rows, columns = image.shape[1] // size, image.shape[2] // size
    class_position, grid = embeddings.position_embedding.weight[0], embeddings.position_embedding.weight[1:]
    side = round(len(grid) ** 0.5)
    if (rows, columns) != (side, side):
        square = grid.T.reshape(1, -1, side, side)
        resized = nn.functional.interpolate(square, size=(rows, columns), mode="bicubic", align_corners=False)
        grid = resized[0].flatten(1).T
    sequence = [embeddings.class_embedding + class_position]
    kernel = embeddings.patch_embedding.weight.flatten(1)
    for row in range(rows):
        for column in range(columns):
            patch = image[:, row * size : (row + 1) * size, column * size : (column + 1) * size]
            sequence.append(kernel @ patch.flatten() + grid[row * columns + column])
    return sequence


def vision_states(
    base: nn.Module, image: Tensor, contexts: list[Tensor], faults: Faults = NONE
) -> tuple[list[list[Tensor]], int]:
    """Run every layer on one image; ``contexts`` are P~_0 .. P~_{J-1}, each (B, vision_dim).

    Returns:
        the sequence after each layer, and the end of the patches in it.
    """
    model, heads = base.clip.vision_model, base.config.vision_config.num_attention_heads
    sequence = patch_sequence(base, image)
    end = len(sequence)
    contexts = [context.flip(0) if faults.context_reversed else context for context in contexts]
    context = list(contexts[0]) if contexts else []
    if faults.context_after_norm:
        sequence = [layer_norm(model.pre_layrnorm, x) for x in sequence] + context
    else:
        sequence = [layer_norm(model.pre_layrnorm, x) for x in sequence + context]
    states = []
    for index, layer in enumerate(model.encoder.layers):
        sequence = encoder_layer(layer, sequence, heads, causal=False)
        before = list(sequence)
        if index + 1 < len(contexts) + faults.layers_too_deep:
            sequence[end:] = list(contexts[min(index + 1, len(contexts) - 1)])
        states.append(before if faults.taps_before_replacement else list(sequence))
    return states, end


def image_embedding(base: nn.Module, image: Tensor) -> Tensor:
    """The image-level embedding z_v (eq. 4)."""
    states, _ = vision_states(base, image, [])
    return linear(base.clip.visual_projection, layer_norm(base.clip.vision_model.post_layernorm, states[-1][0]))


def decoder_features(
    base: nn.Module, states: list[list[Tensor]], end: int, embedding: Tensor, faults: Faults = NONE
) -> list[Tensor]:
    """CLIPSeg's decoder up to the features of the patches, for one image and one text."""
    decoder = base.decoder
    output: list[Tensor] | None = None
    for index, tap in enumerate(reversed(base.config.extract_layers)):
        state = states[tap][:end] if faults.context_not_through_decoder else states[tap]
        reduced = [linear(decoder.reduces[index], x) for x in state]
        output = reduced if output is None else [r + o for r, o in zip(reduced, output, strict=True)]
        if index == base.config.conditional_layer:
            scale, shift = linear(decoder.film_mul, embedding), linear(decoder.film_add, embedding)
            output = [scale * x + shift for x in output]
        output = decoder_layer(decoder.layers[index], output, base.config.decoder_num_attention_heads)
    first = 5 if faults.context_before_patches else 1
    return output[first : first + end - 1]


def transposed_convolution(layer: nn.ConvTranspose2d, features: Tensor) -> Tensor:
    """(C, h, w) -> (D, h * stride, w * stride), with a kernel as wide as the stride."""
    size = layer.kernel_size[0]
    channels, rows, columns = features.shape
    output = features.new_zeros(layer.out_channels, rows * size, columns * size)
    for row in range(rows):
        for column in range(columns):
            block = (features[:, row, column].view(channels, 1, 1, 1) * layer.weight).sum(0)
            output[:, row * size : (row + 1) * size, column * size : (column + 1) * size] = block
    return output + layer.bias.view(-1, 1, 1)


def convolution(layer: nn.Conv2d, features: Tensor, replicate: bool) -> Tensor:
    """(C, h, w) -> (D, h, w), an odd kernel; padded with the nearest pixel, or zeros."""
    _, rows, columns = features.shape
    reach = layer.kernel_size[0] // 2
    output = features.new_zeros(layer.out_channels, rows, columns)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            row = torch.arange(rows) + down
            column = torch.arange(columns) + right
            shifted = features[:, row.clamp(0, rows - 1)][:, :, column.clamp(0, columns - 1)]
            if not replicate:
                shifted = shifted * ((row >= 0) & (row < rows))[:, None] * ((column >= 0) & (column < columns))
            output += torch.einsum("dc,chw->dhw", layer.weight[:, :, down + reach, right + reach], shifted)
    return output + layer.bias.view(-1, 1, 1)


def bilinear_matrix(small: int, large: int) -> Tensor:
    """Weights (large, small) of bilinear upsampling along one axis, pixel centers aligned."""
    matrix = torch.zeros(large, small, dtype=torch.float64)
    for pixel in range(large):
        source = max((pixel + 0.5) * small / large - 0.5, 0)
        low = int(source)
        high = min(low + 1, small - 1)
        matrix[pixel, low] += 1 - (source - low)
        matrix[pixel, high] += source - low
    return matrix


def upsampled(upsampler: nn.Module, features: Tensor, logits: Tensor, faults: Faults = NONE) -> Tensor:
    """Section 5: bilinear upsampling, 5x5 convolution, learnable residual mix; (1, H, W)."""
    rows = bilinear_matrix(features.shape[1], logits.shape[1]).to(features.dtype)
    columns = bilinear_matrix(features.shape[2], logits.shape[2]).to(features.dtype)
    large = torch.einsum("ys,cst,xt->cyx", rows, features, columns)
    factor = upsampler.residual_factor
    return (1 - factor) * logits + factor * convolution(upsampler.convolution, large, replicate=not faults.zero_padding)


def segment(
    base: nn.Module,
    image: Tensor,
    token_ids: list[int],
    text_contexts: list[Tensor],
    visual_contexts: list[Tensor],
    upsampler: nn.Module | None,
    faults: Faults = NONE,
) -> Tensor:
    """Logits (H, W) of one image (3, H, W) and one text."""
    size = base.config.vision_config.patch_size
    grid = (image.shape[1] // size, image.shape[2] // size)
    states, end = vision_states(base, image, visual_contexts, faults)
    embedding = text_embedding(base, token_ids, text_contexts, faults)
    features = torch.stack(decoder_features(base, states, end, embedding, faults)).T.reshape(-1, *grid)
    head = base.decoder.transposed_convolution
    logits = features
    for step in head if isinstance(head, nn.Sequential) else [head]:
        if isinstance(step, nn.ConvTranspose2d):
            logits = transposed_convolution(step, logits)
        else:
            logits = logits.clamp(min=0) if isinstance(step, nn.ReLU) else convolution(step, logits, replicate=False)
    return (logits if upsampler is None else upsampled(upsampler, features, logits, faults))[0]
