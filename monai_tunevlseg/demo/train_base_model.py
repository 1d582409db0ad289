"""Train a tiny base model from scratch on synthetic scenes.

`python -m monai_tunevlseg.demo.train_base_model --model clipseg --output DIR` writes a folder for `pretrained:`. The
VLSMs to choose from are in `trainable_vlsms.py`.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.nn import functional

from monai_tunevlseg.demo.measure_base_model import HELD_OUT_SEED, evaluate, print_scores
from monai_tunevlseg.demo.phrases import draw_phrases
from monai_tunevlseg.demo.scenes import FILLS, FORMS, Scene, render_scene, stack_masks
from monai_tunevlseg.demo.trainable_vlsms import TRAINABLE_VLSMS, Outputs, TrainableVLSM, load_trainable

__all__ = ["TrainingConfig", "train"]

TEMPLATES = ("{}", "a photo of a {}")
"""Text templates of training; each phrase of a batch gets one at random."""

_PEAK_PIXELS = 32
"""Number of the largest logits whose mean says whether a mask has foreground; a visible shape has 60 pixels or more."""

_CELL = 8
"""Height and width in pixels of the cells in which images are compared with all texts of a batch."""

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
    weight_decay: float = 0.1

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
    shares: Tensor  # (B, U, 12, 12) in [0, 1]: share of the shapes that the text names, in each cell of 8 x 8 pixels
    meanings: Tensor  # (U, 17) in {0, 1}: whether a text names shapes of each of `FILLS` and of each of `FORMS`
    kinds: Tensor  # (B, 2, 12, 12): indices of fill and form of the shape that covers most of each cell; -1 for none


def draw_batch(vlsm: TrainableVLSM, config: TrainingConfig, step: int, seed: int) -> Batch:
    """Render the scenes of one step; no two steps share a scene."""
    first = step * config.batch_size
    rng = np.random.default_rng((seed, 1, step))
    scenes = [render_scene(first + i, seed) for i in range(config.batch_size)]
    phrases = [draw_phrases(scene, config.phrases, rng) for scene in scenes]
    templates = {phrase: TEMPLATES[rng.integers(len(TEMPLATES))] for row in phrases for phrase in row}
    texts = list(templates)
    number = {phrase: i for i, phrase in enumerate(texts)}
    return Batch(
        vlsm.normalize(np.stack([scene.image for scene in scenes])),
        vlsm.tokenize([template.format(phrase) for phrase, template in templates.items()]),
        torch.tensor([[number[phrase] for phrase in row] for row in phrases]),
        torch.from_numpy(stack_masks(scenes, phrases)).float(),
        functional.avg_pool2d(torch.from_numpy(stack_masks(scenes, [texts] * len(scenes))).float(), _CELL),
        torch.tensor([[*(f in t.colors for f in FILLS), *(f in t.shapes for f in FORMS)] for t in texts]).float(),
        torch.stack([cell_kinds(scene) for scene in scenes]),
    )


def cell_kinds(scene: Scene) -> Tensor:
    """Return the indices, in `FILLS` and `FORMS`, of what covers most of each cell; -1 for nothing, (2, 12, 12)."""
    share, number = functional.avg_pool2d(torch.from_numpy(scene.masks).float(), _CELL).max(0)
    indices = torch.tensor([[FILLS.index(fill), FORMS.index(form)] for fill, form in scene.kinds])
    return torch.where(share > 0.5, indices.T[:, number], -1)


def mask_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the loss of masks, some of which are empty.

    It is the binary cross entropy over all pixels, plus the soft Dice loss over the nonempty masks, plus the binary
    cross entropy of the mean of the largest logits, which says whether there is any foreground: a few pixels of false
    foreground hardly change the mean over all pixels.

    Args:
        logits: (B, k, H, W).
        masks: (B, k, H, W) in {0, 1}.
    """
    likely = logits.sigmoid()
    area = masks.sum((2, 3))
    dice = 1 - (2 * (likely * masks).sum((2, 3)) + 1) / (likely.sum((2, 3)) + area + 1)
    filled = (area > 0).float()
    peaks = logits.flatten(2).topk(_PEAK_PIXELS).values.mean(-1)
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, masks)
    presence = functional.binary_cross_entropy_with_logits(peaks, filled)
    return cross_entropy + (dice * filled).sum() / filled.sum().clamp(min=1) + 0.8 * presence


def similarity_loss(features: Tensor, meanings: Tensor) -> Tensor:
    """Return the mean squared difference between the cosines of texts and the overlap of what they name.

    The overlap is the mean of the Jaccard indices of fills and of forms. Without this loss, words of one kind, such as
    colors, have equal features at first, for which masks give equal gradients, and some stay equal.

    Args:
        features: (U, D).
        meanings: (U, 17) in {0, 1}, as in `Batch`.
    """
    directions = functional.normalize(features, dim=-1)
    overlaps = []
    for named in meanings.split([len(FILLS), len(FORMS)], dim=1):
        common, count = named @ named.T, named.sum(1)
        overlaps.append(common / (count[:, None] + count - common))
    return functional.mse_loss(directions @ directions.T, torch.stack(overlaps).mean(0))


def total_loss(outputs: Outputs, batch: Batch) -> Tensor:
    """Return the loss of masks, of kinds and of texts and, for VLSMs with these scores, of image-text agreement.

    The agreement is that of each image with all texts of the batch, which costs no decoding.
    """
    loss = mask_loss(outputs.logits, batch.masks)
    for scores, kinds in zip((outputs.fill_scores, outputs.form_scores), batch.kinds.unbind(1), strict=True):
        loss = loss + 0.5 * functional.cross_entropy(scores, kinds, ignore_index=-1)
    loss = loss + 4.0 * similarity_loss(outputs.text_features, batch.meanings)
    if outputs.patch_scores is not None:
        rows, columns = outputs.patch_scores.shape[2:]
        shares = functional.adaptive_avg_pool2d(batch.shares, (rows, columns))
        loss = loss + 2.0 * functional.binary_cross_entropy_with_logits(outputs.patch_scores, shares)
    if outputs.image_scores is not None:
        present = batch.shares.any(3).any(2).float()
        target = present / present.sum(0).clamp(min=1)  # per text, uniform over the images that show it
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
        norm = nn.utils.clip_grad_norm_(vlsm.parameters(), 1.0)
        if norm.isfinite():
            optimizer.step()
        else:
            logger.warning("step %d: the gradients' norm is %s; the step is skipped", step, norm.item())
        scheduler.step()
        mean += (loss.item() - mean) / (step % _LOG_EVERY + 1)
        if (step + 1) % _LOG_EVERY == 0:
            logger.info("step %d: loss %.4f, %.0f s", step + 1, mean, time.monotonic() - start)
            mean = 0.0
            vlsm.save(output)
    vlsm.save(output)


def main(
    output: Annotated[Path, typer.Option(help="Folder to write; created if missing.")],
    model: Annotated[str, typer.Option(help="VLSM to train: clipseg or cris.")] = "clipseg",
    steps: Annotated[int, typer.Option(min=1, help="Number of optimizer steps.")] = TrainingConfig.steps,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the weights and scenes.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of scenes per step.")] = TrainingConfig.batch_size,
    phrases: Annotated[int, typer.Option(min=1, help="Number of phrases per scene.")] = TrainingConfig.phrases,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="Peak learning rate.")] = TrainingConfig.learning_rate,
    initial: Annotated[
        Path | None, typer.Option(help="Folder of a base model to continue from; random weights by default.")
    ] = None,
    held_out_scenes: Annotated[int, typer.Option(min=1, help="Number of held-out scenes for the Dice.")] = 500,
) -> None:
    """Train a tiny base model on synthetic scenes, measure its Dice on held-out scenes and save it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(seed)
    vlsm = TRAINABLE_VLSMS[model]() if initial is None else load_trainable(model, initial)
    logger.info("%s: %d parameters", model, sum(p.numel() for p in vlsm.parameters()))
    config = TrainingConfig(steps, batch_size, phrases, learning_rate, warmup=min(TrainingConfig.warmup, steps))
    train(vlsm, config, seed, output)
    print_scores(evaluate(vlsm, held_out_scenes))


if __name__ == "__main__":
    typer.run(main)
