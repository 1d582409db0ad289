"""Embeddings of texts and images of a dataset by the frozen base model, for Figure 4."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_tunevlseg.atomic_files import atomic_file
from monai_tunevlseg.benchmark.results_folder import ReportProblem
from monai_tunevlseg.json_files import parse_json

__all__ = ["Embeddings", "read_all_embeddings", "read_embeddings", "write_embeddings"]

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of one dataset by one base model, in the common space of texts and images.

    Attributes:
        dataset: name of the dataset.
        model: name of the VLSM.
        title: title of the model.
        text: float32 (T, D), one row for each text.
        image: float32 (N, D), one row for each sampled image.
        texts: T texts.
    """

    dataset: str
    model: str
    title: str
    text: np.ndarray
    image: np.ndarray
    texts: Sequence[str]


def write_embeddings(path: Path, embeddings: Embeddings) -> None:
    """Write ``embeddings/MODEL/DATASET.npz``: arrays ``text`` and ``image``, and JSON in ``about``."""
    about = {
        "format_version": FORMAT_VERSION,
        "dataset": embeddings.dataset,
        "model": embeddings.model,
        "title": embeddings.title,
        "texts": list(embeddings.texts),
    }
    with atomic_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, text=embeddings.text, image=embeddings.image, about=np.array(json.dumps(about)))


def read_embeddings(path: Path) -> Embeddings:
    """Read embeddings.

    Raises:
        ValueError: when the file is damaged or has another format version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            text, image, about = file["text"], file["image"], parse_json(str(file["about"]).encode(), "its text about")
        version = about.get("format_version")
        made = Embeddings(about["dataset"], about["model"], about["title"], text, image, about["texts"])
    except (KeyError, ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"cannot be read: {error!r}.") from error
    if version != FORMAT_VERSION:
        raise ValueError(f"has format version {version!r}, not {FORMAT_VERSION}; run the experiment again.")
    if text.ndim != 2 or image.ndim != 2 or len(text) != len(made.texts) or text.shape[1] != image.shape[1]:
        raise ValueError(f"is damaged: shapes {text.shape} and {image.shape} for {len(made.texts)} texts.")
    if not (np.isfinite(text).all() and np.isfinite(image).all()):
        raise ValueError("is damaged: not all values are finite.")
    return made


def read_all_embeddings(results_dir: Path, problems: list[ReportProblem]) -> dict[str, list[Embeddings]]:
    """Return all stored embeddings by model; unreadable files become problems."""
    found: dict[str, list[Embeddings]] = {}
    for path in sorted((results_dir / "embeddings").glob("*/*.npz")):
        if path.name.startswith("."):
            continue  # being written
        place = path.relative_to(results_dir).as_posix()
        try:
            embeddings = read_embeddings(path)
            if (embeddings.model, embeddings.dataset) != (path.parent.name, path.stem):
                raise ValueError(f"belongs to model {embeddings.model!r} and dataset {embeddings.dataset!r}.")
        except ValueError as error:
            problems.append(ReportProblem(place, str(error)))
            continue
        others = found.setdefault(embeddings.model, [])
        if others and others[0].image.shape[1] != embeddings.image.shape[1]:
            problems.append(
                ReportProblem(
                    place, "has another width than other datasets of the model; was the base model another one?"
                )
            )
        else:
            others.append(embeddings)
    return found
