"""How the masks of the experiments change with the text for a class, and what controls give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai_tunevlseg.benchmark.measure import Measure, mean_measure, stored_interval
from monai_tunevlseg.benchmark.results_folder import ExperimentResult
from monai_tunevlseg.benchmark.seed_runs import experiments_with
from monai_tunevlseg.data.compared_texts import CONTENTLESS, CONTRADICTORY, TEXT_SET
from monai_tunevlseg.data.dataset_spec import CLASS_NAME

__all__ = ["MEASURES", "DatasetWording", "WordingRow", "WordingText", "build_wording"]

MEASURES: Mapping[str, tuple[str, str]] = {
    "dice": (CLASS_NAME, "dice"),
    "set_dice": (TEXT_SET, "dice"),
    "standard_deviation": (TEXT_SET, "standard_deviation"),
    "range": (TEXT_SET, "range"),
    "blank_dice": (CLASS_NAME, "blank_dice"),
    "set_blank_dice": (TEXT_SET, "blank_dice"),
    "contentless_found": (CONTENTLESS, "found"),
    "contentless_iou": (CONTENTLESS, "iou_foreground"),
    "contradictory_found": (CONTRADICTORY, "found"),
    "contradictory_iou": (CONTRADICTORY, "iou_foreground"),
}
"""Kind of text and name of each measure in ``texts`` of ``metrics.json``; all are percentages."""


@dataclass(frozen=True)
class WordingRow:
    """An experiment, or one of its classes; means over its seeds.

    Attributes:
        title: titles of model and method, with the variant.
        class_name: name of the class; None = all classes.
        measures: measures by their names in ``MEASURES``, with intervals for one seed.
        worst: Dice of the text with the lowest Dice; over several classes, the mean of those of the classes.
        worst_texts: that text with each seed, without repetition; empty where it is not the same for all classes.
    """

    title: str
    class_name: str | None
    measures: Mapping[str, Measure]
    worst: Measure
    worst_texts: Sequence[str]


@dataclass(frozen=True)
class WordingText:
    """One text for a class.

    Attributes:
        class_name: name of the class.
        kind: "text_set", "contentless" or "contradictory".
        text: the text, or p1 to p9 of published ones.
        dice: mean Dice with the mask of the class, for each experiment; None if it was not asked for the text.
    """

    class_name: str
    kind: str
    text: str
    dice: Sequence[float | None]


@dataclass(frozen=True)
class DatasetWording:
    """The experiments of one dataset whose tests compared texts.

    Attributes:
        dataset: name of the dataset.
        rows: experiments, zero-shot first, each variant below the experiment that it changes.
        classes: every class of every experiment; empty for one class.
        texts: every text of every class; its Dice have the order of ``rows``.
    """

    dataset: str
    rows: Sequence[WordingRow]
    classes: Sequence[WordingRow]
    texts: Sequence[WordingText]

    @property
    def has_text_sets(self) -> bool:
        """Whether classes have other texts than their names and the controls."""
        return any(row.measures["set_dice"].value is not None for row in self.rows)


def build_wording(results: Sequence[ExperimentResult]) -> list[DatasetWording]:
    """Return the comparison of texts on each dataset; a dataset without one is left out."""
    return [_dataset(name, experiments) for name, experiments in experiments_with(results, "texts").items()]


def _dataset(dataset: str, experiments: Sequence[Sequence[ExperimentResult]]) -> DatasetWording:
    titles = [runs[0].title for runs in experiments]
    summaries = [[result.metrics["texts"] for result in runs] for runs in experiments]
    rows = [_row(title, None, found) for title, found in zip(titles, summaries, strict=True)]
    by_class = [_by_class(found) for found in summaries]
    names = sorted({name for of_class in by_class for name in of_class})
    classes = [
        _row(title, name, found)
        for title, of_class in zip(titles, by_class, strict=True)
        for name, found in of_class.items()
    ]
    texts = [text for name in names for text in _texts(name, [of_class.get(name, []) for of_class in by_class])]
    return DatasetWording(dataset, rows, classes if len(names) > 1 else [], texts)


def _by_class(found: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the summaries of each class with each seed."""
    names = sorted({name for each in found for name in each["classes"]})
    return {name: [each["classes"][name] for each in found if name in each["classes"]] for name in names}


def _row(title: str, class_name: str | None, found: Sequence[Mapping[str, Any]]) -> WordingRow:
    measures = {}
    for name, (kind, key) in MEASURES.items():
        intervals = found[0][kind].get("intervals") if len(found) == 1 else None
        measures[name] = mean_measure([each[kind][key] for each in found], stored_interval(intervals, key))
    worst = [of_seed for each in found if (of_seed := each[TEXT_SET]["worst"]) is not None]
    names = [of_seed["name"] for of_seed in worst]
    return WordingRow(
        title,
        class_name,
        measures,
        mean_measure([of_seed["dice"] for of_seed in worst]),
        [] if None in names else list(dict.fromkeys(names)),
    )


def _texts(class_name: str, found: Sequence[Sequence[Mapping[str, Any]]]) -> list[WordingText]:
    """Return the texts for a class from its summaries in each experiment with each seed."""
    kinds = (TEXT_SET, CONTENTLESS, CONTRADICTORY)
    keys = dict.fromkeys(
        (kind, text) for kind in kinds for runs in found for each in runs for text in each[kind]["by_text"]
    )
    return [WordingText(class_name, kind, text, [_dice(runs, kind, text) for runs in found]) for kind, text in keys]


def _dice(runs: Sequence[Mapping[str, Any]], kind: str, text: str) -> float | None:
    scores = [each[kind]["by_text"].get(text) for each in runs]
    return mean_measure([score["dice"] for score in scores if score is not None]).value
