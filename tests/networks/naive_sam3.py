"""A naive implementation of SAM 3's vision transformer with prompts: explicit loops over windows, heads and positions.

It follows TuneVLSeg (eq. 7 and 8) and the windows of *Visual Prompt Tuning*, one image at a time, without forward code
of the package or of transformers; it reads the loaded model's weights and sizes alone. ``Faults`` are deliberate
mistakes, which prove that a comparison with this reference would detect them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from naive_clipseg import layer_norm, linear
from torch import Tensor, nn

Place = tuple[int, int]  # row and column


@dataclass(frozen=True)
class Faults:
    """Deliberate mistakes."""

    rotated_context: bool = False
    context_in_global_layers_only: bool = False
    context_of_last_window: bool = False
    context_after_norm: bool = False
    layers_too_deep: int = 0
    image_positions_in_windows: bool = False
    zeros_beyond_border_left_out: bool = False


NONE = Faults()


def rotate(vector: Tensor, place: tuple[float, float], theta: float) -> Tensor:
    """Rotate pairs of a head's values: the first half by the column, the second half by the row."""
    half = len(vector) // 2
    rotated = []
    for start, position in ((0, place[1]), (half, place[0])):
        for pair in range(half // 2):
            angle = position * theta ** (-2 * pair / half)
            x, y = vector[start + 2 * pair], vector[start + 2 * pair + 1]
            rotated += [x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)]
    return torch.stack(rotated)


def attention(module: nn.Module, tokens: list[Tensor], places: list[tuple[float, float] | None]) -> list[Tensor]:
    """Attend from every token to all; a token without a place is not rotated."""
    heads, theta = module.config.num_attention_heads, module.config.rope_parameters["rope_theta"]
    width = len(tokens[0]) // heads
    results = [[] for _ in tokens]
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        queries, keys = (
            [
                linear(projection, token)[part]
                if place is None
                else rotate(linear(projection, token)[part], place, theta)
                for token, place in zip(tokens, places, strict=True)
            ]
            for projection in (module.q_proj, module.k_proj)
        )
        values = torch.stack([linear(module.v_proj, token)[part] for token in tokens])
        for number, query in enumerate(queries):
            scores = torch.stack([key @ query for key in keys]) / width**0.5
            weights = (scores - scores.max()).exp()
            results[number].append(weights / weights.sum() @ values)
    return [linear(module.o_proj, torch.cat(each)) for each in results]


def mlp(layer: nn.Module, state: Tensor) -> Tensor:
    hidden = linear(layer.mlp.fc1, layer_norm(layer.layer_norm2, state))
    return state + linear(layer.mlp.fc2, hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5)))


def windows_of(grid: Place, size: int) -> list[list[Place]]:
    """Cut a grid into windows, which reach over its border."""
    rows, columns = (range(0, side, size) for side in grid)
    return [[(top + y, left + x) for y in range(size) for x in range(size)] for top in rows for left in columns]


def run_layer(
    layer: nn.Module, patches: dict[Place, Tensor], context: list[Tensor], grid: Place, faults: Faults
) -> tuple[dict[Place, Tensor], list[Tensor]]:
    size = layer.window_size
    windows = windows_of(grid, size) if size else [sorted(patches)]
    normed = {place: layer_norm(layer.layer_norm1, state) for place, state in patches.items()}
    own = [layer_norm(layer.layer_norm1, state) for state in context]
    if faults.context_in_global_layers_only and size:
        own = []
    attended: dict[Place, Tensor] = {}
    read: list[list[Tensor]] = []
    for window in windows:
        if faults.zeros_beyond_border_left_out:
            window = [place for place in window if place in patches]
        top, left = window[0]
        if size:
            offset = (0, 0) if faults.image_positions_in_windows else (top, left)
            places = [(float(row - offset[0]), float(column - offset[1])) for row, column in window]
        else:
            span = layer.config.window_size
            places = [(row * span / grid[0], column * span / grid[1]) for row, column in window]
        beyond = torch.zeros_like(next(iter(patches.values())))
        tokens = [normed.get(place, beyond) for place in window]
        somewhere = (1.0, 2.0) if faults.rotated_context else None
        results = attention(layer.attention, [*tokens, *own], [*places, *[somewhere] * len(own)])
        attended |= dict(zip(window, results[: len(window)], strict=True))
        read.append(results[len(window) :])
    patches = {place: mlp(layer, state + attended[place]) for place, state in patches.items()}
    if not own:
        return patches, context
    chosen = read[-1:] if faults.context_of_last_window else read
    means = [sum(states) / len(chosen) for states in zip(*chosen, strict=True)]
    return patches, [mlp(layer, state + mean) for state, mean in zip(context, means, strict=True)]


def vision_states(model: nn.Module, image: Tensor, contexts: list[Tensor], faults: Faults = NONE) -> Tensor:
    """Encode (3, H, W) with the contexts of the first layers, each (num_context, width), to (rows, columns, width)."""
    patch, embeddings = model.config.patch_size, model.embeddings
    grid = (image.shape[1] // patch, image.shape[2] // patch)
    known = int(embeddings.position_embeddings.shape[1] ** 0.5)
    kernel = embeddings.patch_embeddings.projection.weight
    patches = {}
    for row in range(grid[0]):
        for column in range(grid[1]):
            pixels = image[:, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            position = embeddings.position_embeddings[0, row % known * known + column % known]
            patches[row, column] = layer_norm(model.layer_norm, (kernel * pixels).sum((1, 2, 3)) + position)
    context = list(contexts[0]) if contexts else []
    if not faults.context_after_norm:
        context = [layer_norm(model.layer_norm, vector) for vector in context]
    for index, layer in enumerate(model.layers):
        if 0 < index < len(contexts) + faults.layers_too_deep:
            context = list(contexts[min(index, len(contexts) - 1)])
        patches, context = run_layer(layer, patches, context, grid, faults)
    return torch.stack([torch.stack([patches[row, column] for column in range(grid[1])]) for row in range(grid[0])])
