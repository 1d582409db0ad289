"""Train a tiny base model from scratch on synthetic scenes.

`python -m monai_tunevlseg.demo.train_base_model --model clipseg --output DIR` writes a folder for `pretrained:`. The
VLSMs to choose from are in `trainable_vlsms.py`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.nn import functional

from monai_tunevlseg.demo.scenes import Phrase, Scene, draw_phrases, render_scene
from monai_tunevlseg.demo.tokenizer import NOUNS
from monai_tunevlseg.demo.trainable_vlsms import TRAINABLE_VLSMS, Outputs, TrainableVLSM

__all__ = ["HELD_OUT_SEED", "TrainingConfig", "evaluate", "train"]

HELD_OUT_SEED = 20241
"""Seed of the held-out scenes, which `evaluate` scores; `train` refuses it."""

TEMPLATES = ("{}", "a photo of a {}")
"""Text templates of training; each phrase of a batch gets one at random."""

_NOUN_SHARE = 0.12
"""Fraction of phrases that become an unknown noun, which names every colored shape, as "object" does: class names of
other datasets then start from "some object" instead of "nothing"."""

_LOG_EVERY = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """Hyperparameters of the training.

    Args:
        steps: number of optimizer steps.
        batch_size: scenes per step.
        phrases: phrases per scene; the image is encoded once for all of them.
        learning_rate: peak learning rate, after the warm-up; it falls to 0 along a cosine.
        warmup: steps of the linear warm-up; without it the decoder, which normalizes after each residual sum, diverges.
        weight_decay: weight decay of weight matrices; vectors and embeddings have none.
    """

    steps: int = 1300
    batch_size: int = 16
    phrases: int = 4
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.01

    def rate(self, step: int) -> float:
        """Return the learning rate at a step as a fraction of its peak."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (step - self.warmup) / max(self.steps - self.warmup, 1)))


class Batch(NamedTuple):
    """A batch of B scenes with k phrases each and U distinct texts."""

    images: Tensor  # (B, 3, 96, 96) normalized
    tokens: dict[str, Tensor]  # each (U, length)
    text_indices: Tensor  # (B, k) in [0, U)
    masks: Tensor  # (B, k, 96, 96) in {0, 1}
    present: Tensor  # (B, U) in {0, 1}: whether the image shows a shape that the text names


def draw_batch(vlsm: TrainableVLSM, config: TrainingConfig, step: int, seed: int) -> Batch:
    """Render the scenes of one step; no two steps share a scene."""
    first = step * config.batch_size
    rng = np.random.default_rng((seed, 1, step))
    scenes = [render_scene(first + i, seed) for i in range(config.batch_size)]
    phrases = [[_or_noun(phrase, rng) for phrase in draw_phrases(scene, config.phrases, rng)] for scene in scenes]
    templates = {phrase: TEMPLATES[rng.integers(len(TEMPLATES))] for row in phrases for phrase in row}
    number = {phrase: i for i, phrase in enumerate(templates)}
    return Batch(
        vlsm.normalize(np.stack([scene.image for scene in scenes])),
        vlsm.tokenize([template.format(phrase) for phrase, template in templates.items()]),
        torch.tensor([[number[phrase] for phrase in row] for row in phrases]),
        _masks(scenes, phrases),
        torch.tensor([[scene.has(phrase) for phrase in number] for scene in scenes], dtype=torch.float32),
    )


def _or_noun(phrase: Phrase, rng: np.random.Generator) -> Phrase:
    """Return the phrase or, at random, a noun for every colored shape: a known word or a string of random letters."""
    if rng.random() >= _NOUN_SHARE:
        return phrase
    if rng.random() < 0.5:
        return Phrase(noun=str(rng.choice(NOUNS)))
    letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(3, 11))
    return Phrase(noun="".join(letters))


def _masks(scenes: list[Scene], phrases: list[list[Phrase]]) -> Tensor:
    """Stack the masks of all phrases, (B, k, 96, 96) in {0, 1}."""
    rows = [np.stack([scene.mask(phrase) for phrase in row]) for scene, row in zip(scenes, phrases, strict=True)]
    return torch.from_numpy(np.stack(rows)).float()


def mask_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the binary cross entropy over all pixels plus the soft Dice loss over the nonempty masks.

    Args:
        logits: (B, k, H, W).
        masks: (B, k, H, W) in {0, 1}.
    """
    likely = logits.sigmoid()
    area = masks.sum((2, 3))
    dice = 1 - (2 * (likely * masks).sum((2, 3)) + 1) / (likely.sum((2, 3)) + area + 1)
    filled = (area > 0).float()
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, masks)
    return cross_entropy + (dice * filled).sum() / filled.sum().clamp(min=1)


def total_loss(outputs: Outputs, batch: Batch) -> Tensor:
    """Return the mask loss plus, for VLSMs with these scores, the two losses of image-text agreement."""
    loss = mask_loss(outputs.logits, batch.masks)
    if outputs.patch_scores is not None:
        rows, columns = outputs.patch_scores.shape[2:]
        scores = outputs.patch_scores.gather(1, batch.text_indices[..., None, None].expand(-1, -1, rows, columns))
        share = functional.adaptive_avg_pool2d(batch.masks, (rows, columns))
        loss = loss + 0.5 * functional.binary_cross_entropy_with_logits(scores, share)
    if outputs.image_scores is not None:
        target = batch.present / batch.present.sum(0).clamp(min=1)  # per text, uniform over the images that show it
        loss = loss - 0.05 * (target * outputs.image_scores.log_softmax(0)).sum(0).mean()
    return loss


def make_optimizer(vlsm: TrainableVLSM, config: TrainingConfig) -> torch.optim.Optimizer:
    """Build AdamW over all parameters, with weight decay on weight matrices except embeddings."""
    decay = {id(m.weight) for m in vlsm.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)}
    parameters = [p for p in vlsm.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if id(p) in decay], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if id(p) not in decay], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))


def train(vlsm: TrainableVLSM, config: TrainingConfig, seed: int, output: Path) -> None:
    """Train on scenes that never repeat, and save to the folder `output` regularly and at the end.

    Raises:
        ValueError: when `seed` is the seed of the held-out scenes.
        FloatingPointError: when the loss is not finite.
    """
    if seed == HELD_OUT_SEED:
        raise ValueError(f"seed {seed} is the seed of the held-out scenes for the Dice; choose another seed.")
    optimizer = make_optimizer(vlsm, config)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, config.rate)
    vlsm.train()
    mean, start = 0.0, time.monotonic()
    for step in range(config.steps):
        batch = draw_batch(vlsm, config, step, seed)
        loss = total_loss(vlsm(batch.images, batch.tokens, batch.text_indices), batch)
        if not loss.isfinite():
            raise FloatingPointError(f"the loss is {loss.item()} at step {step}; lower --learning-rate.")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(vlsm.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        mean += (loss.item() - mean) / (step % _LOG_EVERY + 1)
        if (step + 1) % _LOG_EVERY == 0:
            logger.info("step %d: loss %.4f, %.0f s", step + 1, mean, time.monotonic() - start)
            mean = 0.0
            vlsm.save(output)
    vlsm.save(output)


def held_out(count: int, phrases: int = 4) -> Iterator[tuple[Scene, list[Phrase]]]:
    """Render the first `count` held-out scenes, each with phrases for visible shapes only."""
    for index in range(count):
        scene = render_scene(index, HELD_OUT_SEED)
        yield scene, draw_phrases(scene, phrases, np.random.default_rng((HELD_OUT_SEED, 1, index)), absent=0.0)


@torch.no_grad()
def evaluate(vlsm: TrainableVLSM, count: int = 500, batch_size: int = 25) -> float:
    """Return the mean Dice in [0, 1] over the (scene, phrase) pairs of the first `count` held-out scenes.

    Each scene has four phrases, all for visible shapes and without a template; threshold 0.5, 96 x 96 pixels.
    """
    vlsm.eval()
    pairs = list(held_out(count))
    dice: list[Tensor] = []
    for first in range(0, count, batch_size):
        scenes, phrases = zip(*pairs[first : first + batch_size], strict=True)
        texts = list(dict.fromkeys(phrase for row in phrases for phrase in row))
        text_indices = torch.tensor([[texts.index(phrase) for phrase in row] for row in phrases])
        images = vlsm.normalize(np.stack([scene.image for scene in scenes]))
        found = vlsm(images, vlsm.tokenize([str(text) for text in texts]), text_indices).logits > 0
        masks = _masks(list(scenes), list(phrases)).bool()
        dice.append(2 * (found & masks).sum((2, 3)) / (found.sum((2, 3)) + masks.sum((2, 3))))
    return float(torch.cat(dice).mean())


def main(
    output: Annotated[Path, typer.Option(help="Folder to write; created if missing.")],
    model: Annotated[str, typer.Option(help="VLSM to train: clipseg or cris.")] = "clipseg",
    steps: Annotated[int, typer.Option(min=1, help="Number of optimizer steps.")] = TrainingConfig.steps,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the weights and scenes.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of scenes per step.")] = TrainingConfig.batch_size,
    phrases: Annotated[int, typer.Option(min=1, help="Number of phrases per scene.")] = TrainingConfig.phrases,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="Peak learning rate.")] = TrainingConfig.learning_rate,
    held_out_scenes: Annotated[int, typer.Option(min=1, help="Number of held-out scenes for the Dice.")] = 500,
) -> None:
    """Train a tiny base model on synthetic scenes, measure its Dice on held-out scenes and save it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(seed)
    vlsm = TRAINABLE_VLSMS[model]()
    logger.info("%s: %d parameters", model, sum(p.numel() for p in vlsm.parameters()))
    config = TrainingConfig(steps, batch_size, phrases, learning_rate, warmup=min(TrainingConfig.warmup, steps))
    train(vlsm, config, seed, output)
    logger.info(
        "held-out Dice %.4f on %d scenes; saved in %s", evaluate(vlsm, held_out_scenes), held_out_scenes, output
    )


if __name__ == "__main__":
    typer.run(main)
