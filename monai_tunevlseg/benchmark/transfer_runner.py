"""Testing the runs of a benchmark on its other datasets, with what ``tunevlseg transfer`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from monai_tunevlseg.benchmark.experiment_spec import ExperimentSpec
from monai_tunevlseg.benchmark.other_domains import TRANSFER_FOLDER
from monai_tunevlseg.benchmark.results_folder import FAILURE_FILE
from monai_tunevlseg.benchmark.settings import BenchmarkFolders, BenchmarkSettings
from monai_tunevlseg.data import DatasetSpec
from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.search import run_evaluation
from monai_tunevlseg.training import CHECKPOINT
from monai_tunevlseg.transfer import (
    TransferSettings,
    find_run_folder,
    read_source_run,
    read_transfer,
    target_of,
    transfer_runs,
)
from monai_tunevlseg.transfer.settings import EVALUATION_OPTIONS, TEST
from monai_tunevlseg.transfer.stored_evaluation import Evaluate

__all__ = ["TransferRunner"]


class TransferRunner:
    """Tests finished experiments on other datasets.

    Args:
        folders: folders of the benchmark; the transfers are in a folder of its results.
        settings: settings of the benchmark.
        datasets: how its experiments read each dataset.
        domains: names of the datasets to test on, by the dataset of the training.
        evaluate: runs one evaluation; None = in a child process, with the limits of the settings.
    """

    def __init__(
        self,
        folders: BenchmarkFolders,
        settings: BenchmarkSettings,
        datasets: Mapping[str, DatasetSpec],
        domains: Mapping[str, Sequence[str]],
        evaluate: Evaluate | None = None,
    ) -> None:
        self.experiments = folders.results
        self.folders = replace(folders, results=folders.results / TRANSFER_FOLDER)
        self.settings = settings
        self.datasets = datasets
        self.domains = domains
        self.evaluate = evaluate or partial(run_evaluation, limits=settings.limits)

    def finished_seconds(self, spec: ExperimentSpec) -> float | None:
        """Return the seconds of a finished transfer; None without one of this checkpoint to these datasets."""
        try:
            found = read_transfer(self.folders.results / spec.name)
            digest = file_digest(find_run_folder(self.experiments / spec.name) / CHECKPOINT)
        except (OSError, ValueError):
            return None  # it runs again, without the evaluations that are finished
        tested = found["tuned"]["targets"]
        if found["checkpoint_digest"] != digest or {each["name"] for each in tested} != set(self.domains[spec.dataset]):
            return None
        return sum(float(each.get("seconds") or 0) for each in (found["tuned"]["source"], *tested))

    def run_trials(self, spec: ExperimentSpec) -> None:
        """Do nothing, because a worker does not help another with its transfer."""

    def run(self, spec: ExperimentSpec) -> None:
        """Test an experiment on its own test split and those of the other datasets, and store the result."""
        folder = self.folders.results / spec.name
        source = self.experiments / spec.name
        run = read_source_run(source, self.folders.bundles, spec.name, self.folders.dataset(spec.dataset))
        targets = [target_of(name, self.datasets[name]) for name in (spec.dataset, *self.domains[spec.dataset])]
        overrides = {name: value for name, value in self.settings.fixed.items() if name in EVALUATION_OPTIONS}
        transfer_runs({folder: run}, targets, TransferSettings(overrides, part=TEST), self.evaluate)
        (folder / FAILURE_FILE).unlink(missing_ok=True)
