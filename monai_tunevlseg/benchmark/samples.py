"""What is stored of a dataset itself: a few test cases as pictures, and embeddings by the frozen base model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose
from PIL import Image

from monai_tunevlseg.atomic_files import atomic_file, write_text_atomically
from monai_tunevlseg.benchmark.embeddings import Embeddings, write_embeddings
from monai_tunevlseg.benchmark.entries import Entry
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.data.transforms.loading import LoadImageMaskd
from monai_tunevlseg.evaluation import Case
from monai_tunevlseg.methods import METHODS
from monai_tunevlseg.search.experiments import Experiment, experiment_parser

__all__ = ["choose_cases", "spread", "store_embeddings", "store_pictures", "store_predictions"]

SIDE = 400  # largest length of a stored picture's sides, in pixels
NUM_CASES = 3
NUM_EMBEDDED = 100  # images of a dataset
BATCH = 8

Key = tuple[str, int | None, str]


def spread(count: int, most: int) -> list[int]:
    """Return at most so many of the indices below a count, evenly spread."""
    chosen = min(count, most)
    return [(2 * index + 1) * count // (2 * chosen) for index in range(chosen)]


def choose_cases(cases: Sequence[Case]) -> dict[str, Case]:
    """Choose a few test cases with foreground by their place in the split, and name them by it.

    Every entry of a dataset chooses the same, for nothing counts that differs between them.
    """
    shown = [number for number, case in enumerate(cases) if case.label_pixels_original > 0] or list(range(len(cases)))
    return {f"{shown[index]:05}": cases[shown[index]] for index in spread(len(shown), NUM_CASES)}


def store_pictures(
    folder: Path, experiment: Experiment, overrides: Mapping[str, Any], chosen: Mapping[str, Case]
) -> None:
    """Write the chosen cases' images and masks, and ``cases.json``, unless it is there."""
    if (folder / "cases.json").is_file():
        return
    samples = _samples(experiment, overrides)
    load: Any = LoadImageMaskd()  # a map-style transform, which is typed for any key
    listed = []
    for name, case in chosen.items():
        sample = load(samples[case.key])
        image, label = (np.asarray(torch.as_tensor(sample[key])) for key in ("image", "label"))
        pixels = np.rint(np.moveaxis(image, 0, -1) * 255).astype(np.uint8)
        _write_picture(folder / f"{name}_image.png", pixels)
        _write_picture(folder / f"{name}_truth.png", label[0] == 1)
        listed.append(
            {
                "name": name,
                "image": case.image,
                "slice": case.slice,
                "class_name": case.class_name,
                "text": case.text,
            }
        )
    write_text_atomically(folder / "cases.json", json.dumps(listed, indent=2) + "\n")


def store_predictions(folder: Path, report: Path, chosen: Mapping[str, Case]) -> None:
    """Write the chosen cases' predicted masks, from an evaluation's report that has kept them."""
    for name, case in chosen.items():
        with Image.open(report / str(case.mask)) as file:
            _write_picture(folder / f"{name}.png", np.asarray(file))


def store_embeddings(
    path: Path, entry: Entry, title: str, experiment: Experiment, overrides: Mapping[str, Any]
) -> None:
    """Embed the test split's texts, and an even choice of its images, with the experiment's frozen base model."""
    parser = experiment_parser(experiment, "evaluate", {**overrides, "method": "null", "upsampler": False})
    plain = parser.get_parsed_content("network_def")
    # a method that is conditioned on the image asks for the image-level embedding, and leaves the vision encoder alone
    conditioned = type(plain)(
        parser.get_parsed_content("base_model"),
        plain.class_names,
        method=next(name for name in METHODS if METHODS[name].image_conditioned),
        method_kwargs={"prompt_depth": 1},
        upsampler=False,
    )
    samples = list(_samples(experiment, overrides).values())
    images = list({(str(sample["image"]), sample.get("slice")): sample for sample in samples}.values())
    images = [images[index] for index in spread(len(images), NUM_EMBEDDED)]
    prepare = Compose([parser.get_parsed_content(name) for name in ("load", "resize", "normalize", "to_tensor")])
    texts = sorted({str(sample["text"]) for sample in samples})
    rows = []
    with torch.no_grad():
        width = plain.encoder_sizes().image_embed_dim
        features = plain.encode_text(plain.tokenize(texts), None)
        (text,) = (value for value in features.values() if value.shape == (len(texts), width))
        for start in range(0, len(images), BATCH):
            batch = torch.stack([torch.as_tensor(prepare(sample)["image"]) for sample in images[start : start + BATCH]])
            rows.append(conditioned.encode_image(batch)["embedding"])
    text, image = (value.float().numpy() for value in (text, torch.cat(rows)))
    write_embeddings(path, Embeddings(entry.dataset, entry.model, title, text, image, texts))


def _samples(experiment: Experiment, overrides: Mapping[str, Any]) -> dict[Key, Sample]:
    """Return the test split by what ``cases.csv`` calls its cases."""
    folder = Path(overrides["dataset_dir"]).absolute()
    samples = {}
    for sample in experiment_parser(experiment, "evaluate", overrides).get_parsed_content("datalists")["test"]:
        image = Path(sample["image"])
        image = image.relative_to(folder) if image.is_relative_to(folder) else image
        samples[image.as_posix(), sample.get("slice"), sample["class_name"]] = sample
    return samples


def _write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture, uint8 (H, W, 3) or bool (H, W), made smaller where it is large."""
    image = Image.fromarray(picture)
    scale = SIDE / max(image.size)
    if scale < 1:
        width, height = (max(1, round(length * scale)) for length in image.size)
        resample = Image.Resampling.BOX if picture.ndim == 3 else Image.Resampling.NEAREST
        image = image.resize((width, height), resample)
    with atomic_file(path) as unfinished:
        image.save(unfinished)
