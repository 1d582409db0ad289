"""Results of other tools, stored from the scores of their predicted masks, so that the report shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from monai_tunevlseg.benchmark.artifacts import choose_examples, samples_by_key, store_examples, store_predictions
from monai_tunevlseg.benchmark.experiment_selection import dataset_title
from monai_tunevlseg.benchmark.experiment_spec import ExperimentSpec, Group
from monai_tunevlseg.benchmark.results_folder import FORMAT_VERSION, write_json
from monai_tunevlseg.data.sample_masks import read_sample_mask
from monai_tunevlseg.data.samples import Sample
from monai_tunevlseg.evaluation import read_pair_scores, write_pair_scores
from monai_tunevlseg.json_files import read_json_object

__all__ = ["OtherTool", "store_result"]

EXPERIMENT = re.compile(r"(?P<dataset>[\w-]+)/(?P<model>[^\W_]+)_(?P<method>\w+)", re.ASCII)


@dataclass(frozen=True)
class OtherTool:
    """A tool that has predicted masks, and its place in the report.

    Args:
        experiment: DATASET/MODEL_METHOD, the name of its folder in the results, such as kvasir/nnunet_2d.
        model_title: title of the model in the tables; None = its name.
        method_title: title of the method in the tables; None = its name.
        group: name of the group of the tables.
        trained_parameters: number of trained parameters; None = unknown.

    Raises:
        ValueError: when the name is malformed, the group is unknown, or the number is negative.
    """

    experiment: str
    model_title: str | None = None
    method_title: str | None = None
    group: str = Group.IMAGE_ONLY
    trained_parameters: int | None = None

    def __post_init__(self) -> None:
        if not EXPERIMENT.fullmatch(self.experiment):
            raise ValueError(
                f"the experiment {self.experiment!r} is not DATASET/MODEL_METHOD of letters and digits, such as "
                "kvasir/nnunet_2d."
            )
        if self.group not in list(Group):
            raise ValueError(f"unknown group {self.group!r}; known groups: {', '.join(Group)}.")
        if self.trained_parameters is not None and self.trained_parameters < 0:
            raise ValueError(f"trained_parameters is {self.trained_parameters}; it must be 0 or more.")

    @property
    def spec(self) -> ExperimentSpec:
        """The experiment."""
        names: Any = EXPERIMENT.fullmatch(self.experiment)
        return ExperimentSpec(**names.groupdict(), group=Group(self.group))

    def folder(self, results_dir: Path) -> Path:
        """Return the folder of its result.

        Raises:
            ValueError: when a benchmark has its own result there.
        """
        folder = results_dir / self.experiment
        stored = folder / "result.json"
        if stored.is_file() and read_json_object(stored).get("settings") is not None:
            raise ValueError(f"{folder} holds a result of tunevlseg benchmark; choose another name.")
        return folder


def store_result(
    results_dir: Path,
    tool: OtherTool,
    report_dir: Path,
    dataset_dir: Path,
    samples: Sequence[Sample],
    predictions: Sequence[Sample | None],
) -> Path:
    """Write the files that the report reads, ``result.json`` last, and return their folder.

    Args:
        results_dir: results folder of a benchmark; created if missing.
        tool: the tool.
        report_dir: folder of its evaluation, with ``metrics.json`` and ``pairs.csv``.
        dataset_dir: folder of the dataset.
        samples: the pairs of the test split.
        predictions: for each pair a sample whose mask is the prediction; None = an empty prediction.

    Raises:
        ValueError: when a benchmark has its own result of this name.
    """
    folder, spec = tool.folder(results_dir), tool.spec
    pairs = read_pair_scores(report_dir, required=["dice_original"])
    examples = choose_examples(pairs)
    by_key = samples_by_key(samples, dataset_dir)
    predicted = dict(zip(by_key, predictions, strict=True))
    masks = {name: _mask(predicted[pair.key], by_key[pair.key]) for name, pair in examples.items()}
    (folder / "result.json").unlink(missing_ok=True)
    store_predictions(folder / "predictions", masks)
    shown = results_dir / "examples" / spec.dataset
    if not (shown / "examples.json").is_file():
        store_examples(shown, by_key, examples)
    write_pair_scores(folder / "pairs.csv", pairs)
    write_json(folder / "metrics.json", read_json_object(report_dir / "metrics.json"))
    write_json(folder / "result.json", _facts(tool, predictions.count(None)))
    return folder


def _mask(prediction: Sample | None, sample: Sample) -> np.ndarray:
    """Return the predicted mask, bool (H, W)."""
    if prediction is None:
        return np.zeros(read_sample_mask(sample).shape, dtype=bool)
    return read_sample_mask(prediction) == 1


def _facts(tool: OtherTool, missing: int) -> dict[str, Any]:
    spec = tool.spec
    titles: Mapping[str, str] = {
        "dataset": dataset_title(spec.dataset),
        "model": tool.model_title or spec.model,
        "method": tool.method_title or spec.method,
    }
    return {
        "format_version": FORMAT_VERSION,
        "dataset": spec.dataset,
        "model": spec.model,
        "method": spec.method,
        "variant": None,
        "titles": titles,
        "group": spec.group,
        "prompts": [],
        "seed": None,
        "settings": None,
        "selection": None,
        "hyperparameters": None,
        "trained_parameters": tool.trained_parameters,
        "checkpoint_bytes": None,
        "seconds": {"step": None, "trial": None, "total": None},
        "peak_memory_bytes": None,
        "device": None,
        "versions": {"monai_tunevlseg": version("monai_tunevlseg")},
        "problems": [f"{missing} missing predictions count as empty masks."] if missing else [],
    }
