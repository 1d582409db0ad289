"""The datasets of a benchmark, as its experiments read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from monai_tunevlseg.benchmark.experiment_spec import ExperimentSpec
from monai_tunevlseg.benchmark.settings import BenchmarkFolders
from monai_tunevlseg.data import DatasetSpec
from monai_tunevlseg.data.datalists import find_splits, read_cases
from monai_tunevlseg.errors import unwrapped_errors
from monai_tunevlseg.messages import shorten
from monai_tunevlseg.search.experiments import find_experiment, read_experiment_config
from monai_tunevlseg.transfer import shares_texts

__all__ = ["domains_of", "merge_surplus_shots", "read_dataset_specs"]


def read_dataset_specs(
    specs: Sequence[ExperimentSpec], folders: BenchmarkFolders, fixed: Mapping[str, Any]
) -> dict[str, DatasetSpec]:
    """Return how the experiments read each dataset, by its name; the datasets themselves are not read.

    Args:
        specs: experiments.
        folders: folders of the benchmark.
        fixed: hyperparameters of every run whose bundle has them.
    """
    found: dict[str, DatasetSpec] = {}
    for name, spec in {spec.dataset: spec for spec in specs}.items():
        experiment = find_experiment(spec.experiment, folders.configs, folders.bundles)
        overrides = experiment.known("evaluate", fixed) | {"dataset_dir": str(folders.dataset(name))}
        with unwrapped_errors():
            found[name] = read_experiment_config(experiment, "evaluate", overrides).get_parsed_content("dataset_spec")
    return found


def domains_of(specs: Sequence[ExperimentSpec], datasets: Mapping[str, DatasetSpec]) -> dict[str, list[str]]:
    """Return for each dataset that an experiment is trained on the others of its task.

    Raises:
        ValueError: when no dataset has another one.
    """
    sources = sorted({spec.dataset for spec in specs if spec.trains})
    others = {
        source: [name for name in sorted(datasets) if name != source and shares_texts(datasets[source], datasets[name])]
        for source in sources
    }
    if not any(others.values()):
        raise ValueError(
            f"no run on {shorten(sources)} has a text for every class of another dataset of the plan; add experiments "
            "of a dataset with the same classes, or leave --transfer out."
        )
    return others


def merge_surplus_shots(
    specs: Sequence[ExperimentSpec], datasets: Mapping[str, DatasetSpec], log: Callable[[str], None]
) -> list[ExperimentSpec]:
    """Plan all images once in place of every number of images per class above that of the training images.

    Args:
        specs: experiments.
        datasets: how they read their datasets; of a missing or invalid one, whose experiments fail, nothing is changed.
        log: receives a sentence for each dataset with fewer images.
    """
    asked = {name: {spec.num_shots or 0 for spec in specs if spec.dataset == name} for name in datasets}
    images = {name: _count_training_images(datasets[name]) for name, shots in asked.items() if any(shots)}
    for name, count in images.items():
        if above := sorted(shots for shots in asked[name] if count is not None and shots > count):
            log(
                f"{name} has {count} training images, so that its runs with {', '.join(map(str, above))} images per "
                "class are those with all images"
            )
    merged = (
        replace(spec, num_shots=None) if (spec.num_shots or 0) > (images.get(spec.dataset) or float("inf")) else spec
        for spec in specs
    )
    return list(dict.fromkeys(merged))


def _count_training_images(spec: DatasetSpec) -> int | None:
    """Return the number of images with pairs in the train split; None of a dataset that cannot be read."""
    try:
        cases = read_cases(spec)
        train = set(find_splits(spec, cases)["train"])
    except (OSError, ValueError):
        return None
    return sum(case.stem in train and bool(case.samples) for case in cases)
