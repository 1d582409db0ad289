"""Artifacts of the report: test examples with their predictions, and embeddings by the frozen base model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose
from PIL import Image

from monai_tunevlseg.atomic_files import atomic_file
from monai_tunevlseg.benchmark.embeddings import Embeddings, write_embeddings
from monai_tunevlseg.benchmark.experiment_spec import ExperimentSpec
from monai_tunevlseg.benchmark.results_folder import write_json
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.data.transforms.sample_loading import LoadImageMaskd
from monai_tunevlseg.evaluation import PairKey, PairScores
from monai_tunevlseg.hyperparameters import ZERO_SHOT
from monai_tunevlseg.search.experiments import Experiment, read_experiment_config

__all__ = [
    "choose_examples",
    "evenly_spaced",
    "read_test_samples",
    "samples_by_key",
    "saved_masks",
    "store_embeddings",
    "store_examples",
    "store_predictions",
]

MAX_SIZE = 400  # height and width of stored images in pixels
NUM_EXAMPLES = 3
NUM_EMBEDDED = 100  # images per dataset


def evenly_spaced(count: int, most: int) -> list[int]:
    """Return at most ``most`` of the indices below ``count``, evenly spaced."""
    chosen = min(count, most)
    return [(2 * index + 1) * count // (2 * chosen) for index in range(chosen)]


def choose_examples(pairs: Sequence[PairScores]) -> dict[str, PairScores]:
    """Choose a few pairs of the test split with foreground by position, and name them by it.

    All experiments of a dataset choose the same pairs, because the choice depends on the dataset only.
    """
    candidates = [index for index, pair in enumerate(pairs) if pair.label_pixels_original > 0] or range(len(pairs))
    chosen = [candidates[index] for index in evenly_spaced(len(candidates), NUM_EXAMPLES)]
    return {f"{index:05}": pairs[index] for index in chosen}


def store_examples(folder: Path, samples: Mapping[PairKey, Sample], examples: Mapping[str, PairScores]) -> None:
    """Write images and masks of the examples, then ``examples.json``."""
    load: Any = LoadImageMaskd()  # MapTransform accepts any hashable key
    listed = []
    for name, pair in examples.items():
        sample = load(samples[pair.key])
        image, label = (np.asarray(torch.as_tensor(sample[key])) for key in ("image", "label"))
        pixels = np.rint(np.moveaxis(image, 0, -1) * 255).astype(np.uint8)
        _write_image(folder / f"{name}_image.png", pixels)
        _write_image(folder / f"{name}_truth.png", label[0] == 1)
        facts = {key: getattr(pair, key) for key in ("image", "slice", "class_name", "text")}
        listed.append({"name": name, **facts})
    write_json(folder / "examples.json", listed)


def saved_masks(report: Path, examples: Mapping[str, PairScores]) -> dict[str, np.ndarray]:
    """Read the predicted masks of the examples, bool (H, W), from the folder of an evaluation."""
    masks = {}
    for name, pair in examples.items():
        with Image.open(report / str(pair.mask)) as file:
            masks[name] = np.asarray(file)
    return masks


def store_predictions(folder: Path, masks: Mapping[str, np.ndarray]) -> None:
    """Write the predicted masks of the examples, bool (H, W)."""
    for name, mask in masks.items():
        _write_image(folder / f"{name}.png", mask)


def store_embeddings(
    path: Path, spec: ExperimentSpec, title: str, experiment: Experiment, overrides: Mapping[str, Any]
) -> None:
    """Embed the texts and some evenly spaced images of the test split with the frozen base model."""
    parser = read_experiment_config(experiment, "evaluate", {**overrides, **ZERO_SHOT})
    network = parser.get_parsed_content("network_def")
    samples = list(read_test_samples(experiment, overrides).values())
    images = list({(str(sample["image"]), sample.get("slice")): sample for sample in samples}.values())
    images = [images[index] for index in evenly_spaced(len(images), NUM_EMBEDDED)]
    prepare = Compose([parser.get_parsed_content(name) for name in ("load", "resize", "normalize", "to_tensor")])
    texts = sorted({str(sample["text"]) for sample in samples})
    size = parser.get_parsed_content("batch_size")
    rows = []
    with torch.no_grad():
        for start in range(0, len(images), size):
            batch = torch.stack([torch.as_tensor(prepare(sample)["image"]) for sample in images[start : start + size]])
            rows.append(network.embed_image(batch))
        text, image = (value.float().numpy() for value in (network.embed_text(texts), torch.cat(rows)))
    write_embeddings(path, Embeddings(spec.dataset, spec.model, title, text, image, texts))


def read_test_samples(experiment: Experiment, overrides: Mapping[str, Any]) -> dict[PairKey, Sample]:
    """Return the samples of the test split by their key in ``pairs.csv``."""
    samples = read_experiment_config(experiment, "evaluate", overrides).get_parsed_content("datalists")["test"]
    return samples_by_key(samples, Path(overrides["dataset_dir"]))


def samples_by_key(samples: Iterable[Sample], dataset_dir: Path) -> dict[PairKey, Sample]:
    """Return samples by their key in ``pairs.csv``."""
    folder, keyed = dataset_dir.expanduser().absolute(), {}
    for sample in samples:
        image = Path(sample["image"])
        image = image.relative_to(folder) if image.is_relative_to(folder) else image
        keyed[image.as_posix(), sample.get("slice"), sample["class_name"]] = sample
    return keyed


def _write_image(path: Path, pixels: np.ndarray) -> None:
    """Write pixels, uint8 (H, W, 3) or bool (H, W), reduced to at most ``MAX_SIZE``."""
    image = Image.fromarray(pixels)
    scale = MAX_SIZE / max(image.size)
    if scale < 1:
        width, height = (max(1, round(length * scale)) for length in image.size)
        resample = Image.Resampling.BOX if pixels.ndim == 3 else Image.Resampling.NEAREST
        image = image.resize((width, height), resample)
    with atomic_file(path) as unfinished:
        image.save(unfinished)
