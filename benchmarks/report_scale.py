"""CPU time and size of the report of a large benchmark with transfers, from generated results without pictures."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from monai_tunevlseg.benchmark import ExperimentSpec, write_report
from monai_tunevlseg.benchmark.experiment_selection import select_experiments, titles_of
from monai_tunevlseg.benchmark.other_domains import TRANSFER_FOLDER
from monai_tunevlseg.benchmark.results_folder import METRICS, StoredTrial, write_json, write_trials
from monai_tunevlseg.evaluation import PairScores, write_pair_scores
from monai_tunevlseg.resources import bundles_dir, configs_dir
from monai_tunevlseg.transfer.result_files import write_transfer

__all__ = ["planned_experiments", "write_results"]

SHOTS = (1, 2, 4, 8, 16, None)
SEEDS = (0, 1, 2)
DATASETS = ("kvasir", "clinicdb", "bkai", "polypgen", "isic", "isic2018", "busi", "busbra", "dfu", "camus")
SCORES = ("dice", "iou", "dice_original", "iou_original")
AREAS = dict.fromkeys((f"{kind}_pixels{end}" for kind in ("label", "predicted") for end in ("", "_original")), 100)
HALF_WIDTH = 2.0  # of an interval, in percent


def planned_experiments(datasets: int, methods: int) -> list[ExperimentSpec]:
    """Return the experiments of some datasets and bundles with every number of images and every seed."""
    patterns = [f"{name}/*" for name in DATASETS[:datasets]]
    specs = select_experiments(configs_dir(), patterns, (), bundles_dir(), SEEDS, SHOTS)
    trained = [spec for spec in specs if spec.trains]
    bundles = list(dict.fromkeys(spec.bundle for spec in trained))[:methods]
    return [spec for spec in trained if spec.bundle in bundles]


def write_results(folder: Path, specs: Sequence[ExperimentSpec], pairs: int) -> None:
    """Write the results and transfers of experiments; few images have a lower Dice, other datasets a lower one still.

    Args:
        folder: results folder.
        specs: experiments.
        pairs: number of test pairs of each dataset.
    """
    rng = np.random.default_rng(0)
    datasets = list(dict.fromkeys(spec.dataset for spec in specs))
    difficulty = {name: rng.normal(0, 10, pairs) for name in datasets}
    skill = {bundle: rng.uniform(75, 88) for bundle in dict.fromkeys(spec.bundle for spec in specs)}
    for spec in specs:
        mean = skill[spec.bundle] - (25 / spec.num_shots**0.7 if spec.num_shots else 0) + rng.normal(0, 1)
        dice = np.clip(mean + difficulty[spec.dataset] + rng.normal(0, 4, pairs), 1, 99).round(4)
        _write_experiment(folder, spec, dice)
        targets = {name: float(mean - rng.uniform(5, 30)) for name in datasets if name != spec.dataset}
        _write_transfer(folder, spec, float(dice.mean()), targets)


def _write_experiment(folder: Path, spec: ExperimentSpec, dice: np.ndarray) -> None:
    place = folder / spec.name
    scores = [
        PairScores(f"images/{number:04}.png", None, "target", "target", **dict.fromkeys(SCORES, value) | AREAS)
        for number, value in enumerate(dice.tolist())
    ]
    write_pair_scores(place / "pairs.csv", scores)
    mean = float(dice.mean())
    summary = {
        **dict.fromkeys(METRICS, mean),
        "images": len(dice),
        "intervals": dict.fromkeys(METRICS, [mean - HALF_WIDTH, mean + HALF_WIDTH]),
    }
    write_json(place / "metrics.json", {"format_version": 1, **summary, "classes": {"target": summary}})
    write_json(place / "result.json", _facts(spec))
    write_trials(place / "trials.csv", [StoredTrial(0, "COMPLETE", mean, 60.0, dict.fromkeys(METRICS, mean), {})])


def _facts(spec: ExperimentSpec) -> dict[str, Any]:
    titles, prompts = titles_of(configs_dir(), spec)
    names = ("dataset", "model", "method", "variant", "group", "num_shots")
    return {
        "format_version": 1,
        **{name: getattr(spec, name) for name in names},
        "titles": titles,
        "prompts": prompts,
        "seed": 0,
        "training_seed": spec.seed,
        "searched": None,
        "training_images": spec.num_shots or 800,
        "settings": {"n_trials": 0},
        "selection": {"metric": "val_dice", "value": 80.0, "trial": 0, "finished": 1},
        "hyperparameters": {"learning_rate": 0.001},
        "trained_parameters": 4674,
        "checkpoint_bytes": 23_456,
        "seconds": {"step": 0.25, "trial": 61.5, "total": 300.0},
        "peak_memory_bytes": 812_000_000,
        "device": "cpu",
        "versions": {"monai_tunevlseg": "0.1.0"},
        "problems": [],
    }


def _write_transfer(folder: Path, spec: ExperimentSpec, own: float, targets: dict[str, float]) -> None:
    parts = [
        {
            "name": name,
            "part": "test",
            "pairs": 100,
            "images": 100,
            "scores": {"dice": value},
            "intervals": {"dice": [value - HALF_WIDTH, value + HALF_WIDTH]},
        }
        for name, value in {spec.dataset: own, **targets}.items()
    ]
    ood = float(np.mean(list(targets.values())))
    summary = {"id": own, "ood": ood, "harmonic_mean": 2 * own * ood / (own + ood)}
    intervals = {f"{name}_interval": [value - HALF_WIDTH, value + HALF_WIDTH] for name, value in summary.items()}
    tuned = {"source": parts[0], "targets": parts[1:], "summary": {"dice": {**summary, **intervals}}}
    about = {"run": spec.name, "trained_on": spec.dataset, "checkpoint_digest": "0" * 64}
    write_transfer(folder / TRANSFER_FOLDER / spec.name, {**about, "tuned": tuned, "zero_shot": None})


def main() -> None:
    """Generate results, write the report, and print its time and sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=10, help="Number of datasets, 2 or more.")
    parser.add_argument("--methods", type=int, default=20, help="Number of methods.")
    parser.add_argument("--pairs", type=int, default=200, help="Number of test pairs of each dataset.")
    parser.add_argument("--output-dir", type=Path, help="Folder of the report; a temporary one by default.")
    options = parser.parse_args()
    specs = planned_experiments(options.datasets, options.methods)
    with tempfile.TemporaryDirectory() as name:
        write_results(Path(name), specs, options.pairs)
        started = time.process_time()
        output = options.output_dir or Path(name) / "report"
        report = write_report(name, output)
        seconds = time.process_time() - started
        sizes = {path.name: path.stat().st_size / 1e6 for path in sorted(output.glob("report.*"))}
        listed = ", ".join(f"{file} {size:.1f} MB" for file, size in sizes.items())
        Console(highlight=False).print(
            f"{len(specs)} results, {len(report.problems)} problems: {seconds:.1f} s of CPU time; {listed}"
        )


if __name__ == "__main__":
    main()
