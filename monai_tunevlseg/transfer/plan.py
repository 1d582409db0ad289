"""The evaluations of a transfer, planned and checked before the first one runs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.transfer.planned_evaluation import PlannedEvaluation, plan_source, plan_target
from monai_tunevlseg.transfer.settings import ALL, AUTO, TEST, TransferSettings
from monai_tunevlseg.transfer.source_run import SourceRun
from monai_tunevlseg.transfer.target import Target

__all__ = ["RunPlan", "plan_transfer"]


@dataclass(frozen=True)
class RunPlan:
    """The evaluations of a run.

    Attributes:
        run: the run.
        source: the evaluation on the test split of its own dataset.
        targets: the evaluations on other datasets.
    """

    run: SourceRun
    source: PlannedEvaluation
    targets: Sequence[PlannedEvaluation]


def plan_transfer(runs: Sequence[SourceRun], targets: Sequence[Target], settings: TransferSettings) -> list[RunPlan]:
    """Plan the evaluations of runs on their own datasets and on targets.

    A target that a run was trained on is its source; other runs are tested on the same test split of it, so that the
    scores of a column are comparable.

    Raises:
        FileNotFoundError: when files of a dataset are missing.
        ValueError: when a dataset is invalid, two have one name, texts do not map, or a run has no other dataset.
    """
    for run in runs:
        if settings.zero_shot and not run.reads_text:
            raise ValueError(f"{run.label} has no base model to test zero-shot, because its network reads no text.")
    names = [_source_name(run, targets) for run in runs]
    _refuse_shared_names(runs, names)
    for run, name in zip(runs, names, strict=True):
        if all(target.name == name for target in targets):
            raise ValueError(f"{run.label} was trained on {name}, and no other dataset is given; add one to --on.")
    sources = [plan_source(run, name) for run, name in zip(runs, names, strict=True)]
    tested = _test_splits(sources)
    return [
        RunPlan(
            source.run,
            source,
            [_plan_target(source, target, tested, settings) for target in targets if target.name != source.dataset],
        )
        for source in sources
    ]


def _source_name(run: SourceRun, targets: Sequence[Target]) -> str:
    """Return the name of the dataset that a run was trained on: that of the same target, or its own.

    Layouts can divide a folder, so that another layout is another dataset.
    """
    alike = [target for target in targets if target.options["layout"] == run.spec.layout]
    same = next((target for target in alike if target.dataset_dir.samefile(run.spec.folder)), None)
    if same is not None:
        return same.name
    named = next((target for target in targets if target.name == run.dataset), None)
    if named is not None and (named not in alike or LAYOUTS[run.spec.layout].info is None):
        raise ValueError(
            f"the target {named.name} in {named.dataset_dir} has the name of the dataset that {run.label} was trained "
            f"on, {run.spec.folder}; give it another name."
        )
    return run.dataset


def _refuse_shared_names(runs: Sequence[SourceRun], names: Sequence[str]) -> None:
    folders: dict[str, Path] = {}
    for run, name in zip(runs, names, strict=True):
        folder = folders.setdefault(name, run.spec.folder)
        if LAYOUTS[run.spec.layout].info is None and not folder.samefile(run.spec.folder):
            raise ValueError(
                f"two runs were trained on datasets of the name {name}, {folder} and {run.spec.folder}; name one of "
                "them in --on."
            )


def _test_splits(sources: Sequence[PlannedEvaluation]) -> dict[str, list[str]]:
    """Return the tested stems of each source; of several runs on one dataset, those of the first."""
    tested: dict[str, list[str]] = {}
    for source in sources:
        if sorted(tested.setdefault(source.dataset, source.stems)) != sorted(source.stems):
            warnings.warn(
                f"{source.run.label} has another test split of {source.dataset} than an earlier run, so that their "
                "in-domain scores are over other images.",
                stacklevel=2,
            )
    return tested


def _plan_target(
    source: PlannedEvaluation, target: Target, tested: Mapping[str, list[str]], settings: TransferSettings
) -> PlannedEvaluation:
    part = settings.part if settings.part != AUTO else TEST if target.name in tested else ALL
    texts = settings.texts.get(target.name, {})
    return plan_target(source, target, part, texts, settings.skip_unmapped, tested.get(target.name))
