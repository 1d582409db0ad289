"""Measure a tiny base model on held-out scenes.

`python -m monai_tunevlseg.demo.measure_base_model --model clipseg` prints, by kind of phrase, the Dice of present
phrases and how often the model stays silent on absent ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from monai_tunevlseg.demo import demo_model
from monai_tunevlseg.demo.phrases import PHRASE_KINDS, draw_phrases
from monai_tunevlseg.demo.scenes import Phrase, Scene, render_scene, stack_masks
from monai_tunevlseg.demo.trainable_vlsms import TrainableVLSM, load_trainable

__all__ = ["HELD_OUT_SEED", "Scores", "evaluate"]

HELD_OUT_SEED = 20241
"""Seed of the held-out scenes; `train_base_model.train` refuses it."""

_PHRASES = 4  # of each scene, present and absent alike
_BATCH_SIZE = 25


class Scores(NamedTuple):
    """Scores of (scene, phrase) pairs, as lists of one value each by kind of phrase.

    Args:
        dice: Dice in [0, 1] of phrases that are present.
        silent: for phrases that are absent, 1 if no pixel is foreground, else 0.
    """

    dice: dict[str, list[float]]
    silent: dict[str, list[float]]

    @property
    def mean_dice(self) -> float:
        """Mean Dice over all present pairs, in [0, 1]."""
        return _mean(self.dice)

    @property
    def silence(self) -> float:
        """Fraction of the absent pairs without any foreground, in [0, 1]."""
        return _mean(self.silent)


def _mean(values: dict[str, list[float]]) -> float:
    return float(np.mean([value for row in values.values() for value in row]))


def evaluate(vlsm: TrainableVLSM, count: int = 500) -> Scores:
    """Score the first `count` held-out scenes.

    Each scene has four phrases that are present and four that are absent, without a template; threshold 0.5, 96 x 96
    pixels.
    """
    scores = Scores(defaultdict(list), defaultdict(list))
    for phrases, found, masks in _predictions(vlsm, count, absent=0.0):
        overlap = 2 * (found & masks).sum((2, 3)) / (found.sum((2, 3)) + masks.sum((2, 3)))
        _collect(scores.dice, phrases, overlap)
    for phrases, found, _ in _predictions(vlsm, count, absent=1.0):
        _collect(scores.silent, phrases, 1 - found.flatten(2).any(-1).float())
    return scores


def _collect(by_kind: dict[str, list[float]], phrases: list[list[Phrase]], values: Tensor) -> None:
    """Add one value per phrase, (B, k), to the list of its kind."""
    for row, numbers in zip(phrases, values.tolist(), strict=True):
        for phrase, number in zip(row, numbers, strict=True):
            by_kind[phrase.kind].append(number)


@torch.no_grad()
def _predictions(vlsm: TrainableVLSM, count: int, absent: float) -> Iterator[tuple[list[list[Phrase]], Tensor, Tensor]]:
    """Yield, for batches of B scenes, their k phrases, and the predicted and true masks, each (B, k, 96, 96) bool."""
    vlsm.eval()
    for first in range(0, count, _BATCH_SIZE):
        scenes, phrases = _held_out(range(first, min(first + _BATCH_SIZE, count)), absent)
        texts = list(dict.fromkeys(str(phrase) for row in phrases for phrase in row))
        text_indices = torch.tensor([[texts.index(str(phrase)) for phrase in row] for row in phrases])
        images = vlsm.normalize(np.stack([scene.image for scene in scenes]))
        logits = vlsm(images, vlsm.tokenize(texts), text_indices).logits
        yield phrases, logits > 0, torch.from_numpy(stack_masks(scenes, phrases))


def _held_out(indices: range, absent: float) -> tuple[list[Scene], list[list[Phrase]]]:
    """Render held-out scenes, and draw phrases for each."""
    scenes = [render_scene(index, HELD_OUT_SEED) for index in indices]
    generators = [np.random.default_rng((HELD_OUT_SEED, 1, index)) for index in indices]
    pairs = zip(scenes, generators, strict=True)
    return scenes, [draw_phrases(scene, _PHRASES, rng, absent) for scene, rng in pairs]


def print_scores(scores: Scores) -> None:
    """Print the scores by kind of phrase."""
    table = Table("phrase", "pairs", "Dice", "absent pairs", "silent")
    for kind in PHRASE_KINDS:
        dice, silent = scores.dice[kind], scores.silent[kind]
        table.add_row(kind, str(len(dice)), _format(dice), str(len(silent)), _format(silent))
    table.add_row("all", "", f"{scores.mean_dice:.3f}", "", f"{scores.silence:.3f}")
    Console().print(table)


def _format(values: list[float]) -> str:
    return f"{np.mean(values):.3f}" if values else "-"


def main(
    model: Annotated[str, typer.Option(help="VLSM to measure: clipseg or cris.")] = "clipseg",
    folder: Annotated[Path | None, typer.Option(help="Folder of the base model; the embedded one by default.")] = None,
    scenes: Annotated[int, typer.Option(min=1, help="Number of held-out scenes.")] = 500,
) -> None:
    """Measure the Dice of present phrases and the silence on absent ones."""
    print_scores(evaluate(load_trainable(model, folder or demo_model(model)), scenes))


if __name__ == "__main__":
    typer.run(main)
