"""The transfer of runs to other datasets."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_tunevlseg.messages import shorten
from monai_tunevlseg.search import run_evaluation
from monai_tunevlseg.transfer.overlap import Overlap, find_overlap, read_looks
from monai_tunevlseg.transfer.plan import RunPlan, plan_transfer
from monai_tunevlseg.transfer.result_files import TransferResult, write_transfer
from monai_tunevlseg.transfer.settings import TransferSettings
from monai_tunevlseg.transfer.source_run import SourceRun
from monai_tunevlseg.transfer.stored_evaluation import Evaluate, StoredEvaluation
from monai_tunevlseg.transfer.summary import summarize_metrics
from monai_tunevlseg.transfer.target import Target

__all__ = ["transfer_runs"]


def transfer_runs(
    runs: Mapping[Path, SourceRun],
    targets: Sequence[Target],
    settings: TransferSettings | None = None,
    evaluate: Evaluate = run_evaluation,
) -> list[TransferResult]:
    """Evaluate runs on the test splits of their own datasets and on targets, and write the results.

    All datasets and texts are checked before the first evaluation. Nothing is chosen on a target: network, checkpoint
    and calibration are those of the run, whose folder stays unchanged. What was evaluated before with the same files
    and options is not evaluated again.

    Args:
        runs: the runs, by the folder of their results: ``transfer.json``, ``transfer.csv``, and the folders of the
            evaluations, ``tuned/DATASET`` and ``zero_shot/DATASET``.
        targets: the targets; one that a run was trained on is its source.
        settings: settings; None = the defaults.
        evaluate: runs one evaluation.

    Returns:
        the result of each run.

    Raises:
        FileNotFoundError: when files of a dataset are missing.
        ValueError: when a dataset is invalid, its texts do not map, or a run has no other dataset.
        RuntimeError: when an evaluation fails, or a checkpoint changes.
    """
    settings = settings or TransferSettings()
    plans = plan_transfer(list(runs.values()), targets, settings)
    evaluations = [_evaluations(plan, folder, settings) for folder, plan in zip(runs, plans, strict=True)]
    overlaps = _find_overlaps([one for of_run in evaluations for one in of_run])
    results = []
    for folder, plan, of_run in zip(runs, plans, evaluations, strict=True):
        scores = [one.stored() or one.run(evaluate, overlaps.get(one.folder, Overlap())) for one in of_run]
        _warn_of_seen_images(plan.run, scores)
        result = _result(plan.run, of_run, scores, settings)
        write_transfer(folder, result)
        results.append(result)
    return results


def _evaluations(plan: RunPlan, folder: Path, settings: TransferSettings) -> list[StoredEvaluation]:
    """Return the evaluations of a run, then those of its base model; of each, the source's is the first."""
    kinds = {"tuned": False, "zero_shot": True} if settings.zero_shot else {"tuned": False}
    return [
        StoredEvaluation(one, folder.absolute() / kind / one.dataset, settings.overrides, zero_shot)
        for kind, zero_shot in kinds.items()
        for one in (plan.source, *plan.targets)
    ]


def _find_overlaps(evaluations: Sequence[StoredEvaluation]) -> dict[Path, Overlap]:
    """Return the images of targets that their runs were trained on, for evaluations that are still to run."""
    pending = [one for one in evaluations if not (one.plan.is_source or one.zero_shot or one.stored())]
    looks = read_looks(image for one in pending for image in (*one.plan.trained, *one.plan.images))
    return {one.folder: find_overlap(one.plan.trained, one.plan.images, looks) for one in pending}


def _warn_of_seen_images(run: SourceRun, scores: Sequence[Mapping[str, Any]]) -> None:
    for dataset in scores:
        for kind, what in (("copies", "are copies of"), ("near_duplicates", "look nearly the same as")):
            if images := dataset["seen_in_training"][kind]:
                warnings.warn(
                    f"{len(images)} of the {dataset['images']} images of {dataset['name']} {what} images that "
                    f"{run.label} was trained on, so that its score is optimistic: {shorten(images)}.",
                    stacklevel=2,
                )


def _result(
    run: SourceRun,
    evaluations: Sequence[StoredEvaluation],
    scores: Sequence[Mapping[str, Any]],
    settings: TransferSettings,
) -> TransferResult:
    kinds: dict[str, Any] = {"tuned": None, "zero_shot": None}
    for kind, zero_shot in (("tuned", False), ("zero_shot", True)):
        chosen = [(one, score) for one, score in zip(evaluations, scores, strict=True) if one.zero_shot is zero_shot]
        if chosen:
            pairs = [one.pairs() for one, _ in chosen]
            found = summarize_metrics(pairs[0], pairs[1:], settings.bootstrap)
            kinds[kind] = {
                "source": chosen[0][1],
                "targets": [score for _, score in chosen[1:]],
                "summary": {name: summary.to_json() for name, summary in found.items()},
            }
    return {
        "run": run.label,
        "folder": str(run.folder),
        "network": run.identity["network"],
        "method": run.identity.get("method"),
        "checkpoint_digest": run.checkpoint_digest,
        "trained_on": evaluations[0].plan.dataset,
        "overrides": dict(settings.overrides),
        **kinds,
    }
