"""How well the experiments obey their text: false positives on absent texts, and classes that they confuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from monai_tunevlseg.benchmark.measure import Measure, mean_measure, stored_interval
from monai_tunevlseg.benchmark.results_folder import METRICS, ExperimentResult, ReportProblem
from monai_tunevlseg.benchmark.seed_runs import absent_scores, experiments_with
from monai_tunevlseg.evaluation import (
    ABSENT_PAIRS,
    Bootstrap,
    crossed_mean,
    mean_over_seeds,
    read_absent_pairs,
    read_score_table,
)

__all__ = ["ClassRow", "ConfusionTable", "DatasetObedience", "ObedienceRow", "TextRow", "build_obedience"]

RESAMPLES = 1999  # sufficient for one decimal
FOREGROUND = "_foreground"


@dataclass(frozen=True)
class ObedienceRow:
    """One experiment.

    Attributes:
        title: titles of model and method, with the variant.
        runs: number of seeds.
        dice: Dice over the pairs with foreground, in percent.
        rate: percentage of the images and absent texts with any foreground.
        undrawn_rate: the same over the texts that no experiment of the dataset was trained with; None where all or none
            of the evaluated texts were drawn, or the drawn ones are not listed.
        ratio: ``rate`` relative to the experiment without the variant; None without a variant.
        area: mean area of these false positives, in percent of the image.
        mcc: image-level Matthews correlation of present and found, -1 to 1.
        cgf1: product of ``mcc`` and the positive micro F1, as SAM 3 has it, in percent.
    """

    title: str
    runs: int
    dice: Measure
    rate: Measure
    undrawn_rate: Measure | None
    ratio: float | None
    area: Measure
    mcc: Measure
    cgf1: Measure


@dataclass(frozen=True)
class ClassRow:
    """One class in one experiment; the attributes are those of `ObedienceRow`, and numbers of pairs."""

    title: str
    class_name: str
    dice: Measure
    present: int
    absent: int
    mcc: Measure
    cgf1: Measure


@dataclass(frozen=True)
class TextRow:
    """One absent text.

    Attributes:
        text: the text.
        drawn: whether an experiment of the dataset was trained with it.
        rates: percentage of the images with any foreground, for each experiment; None if it was not asked for the text.
    """

    text: str
    drawn: bool
    rates: Sequence[float | None]


@dataclass(frozen=True)
class ConfusionTable:
    """The confusion of classes in one experiment.

    Attributes:
        title: titles of model and method, with the variant.
        shown: names of the classes whose truth is compared.
        rows: for each class that the network was asked for, the mean IoU in percent of its mask with the truth of each
            shown class; None if no image has both.
    """

    title: str
    shown: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float | None]]]


@dataclass(frozen=True)
class DatasetObedience:
    """The experiments of one dataset whose tests asked for absent texts.

    Attributes:
        dataset: name of the dataset.
        rows: experiments, zero-shot first, each variant below the experiment that it changes.
        classes: every class of every experiment.
        texts: every absent text; its rates have the order of ``rows``.
        confusions: experiments with two or more classes.
    """

    dataset: str
    rows: Sequence[ObedienceRow]
    classes: Sequence[ClassRow]
    texts: Sequence[TextRow]
    confusions: Sequence[ConfusionTable]


def build_obedience(
    results: Sequence[ExperimentResult], metric: str, problems: list[ReportProblem]
) -> list[DatasetObedience]:
    """Return the experiments with absent texts of each dataset; a dataset without any is left out.

    Args:
        results: results of one benchmark.
        metric: one of ``METRICS``; Dice has its resolution, and is over the pairs with foreground.
        problems: receives unreadable tables of pairs.
    """
    return [
        _dataset(name, experiments, metric, problems)
        for name, experiments in experiments_with(results, "absent").items()
    ]


def _dataset(
    dataset: str, experiments: Sequence[Sequence[ExperimentResult]], metric: str, problems: list[ReportProblem]
) -> DatasetObedience:
    drawn = {text for runs in experiments for result in runs for text in _drawn_texts(result)}
    rows = [_row(runs, metric, drawn, problems) for runs in experiments]
    specs = [runs[0].spec for runs in experiments]
    plain = {spec.bundle: row.rate.value for spec, row in zip(specs, rows, strict=True) if spec.variant is None}
    rows = [
        replace(row, ratio=_ratio(row.rate.value, plain.get(spec.bundle))) if spec.variant else row
        for spec, row in zip(specs, rows, strict=True)
    ]
    asked = sorted({text for runs in experiments for result in runs for text in result.metrics["absent"]["by_text"]})
    return DatasetObedience(
        dataset,
        rows,
        [row for runs in experiments for row in _class_rows(runs, metric)],
        [TextRow(text, text in drawn, [_text_rate(runs, text) for runs in experiments]) for text in asked],
        [table for runs in experiments if (table := _confusion(runs)) is not None],
    )


def _ratio(rate: float | None, plain: float | None) -> float | None:
    return None if rate is None or not plain else rate / plain


def _drawn_texts(result: ExperimentResult) -> list[str]:
    """Return the absent texts that the training drew, if they are listed."""
    used = result.facts["hyperparameters"] or {}
    source = used.get("negative_source")
    trained = str(used.get("negative_texts", 0)) != "0"
    return [text for text in source if isinstance(text, str)] if trained and isinstance(source, list) else []


def _row(runs: Sequence[ExperimentResult], metric: str, drawn: set[str], problems: list[ReportProblem]) -> ObedienceRow:
    absent = [result.metrics["absent"] for result in runs]
    rate, area = (
        mean_measure([each[name] for each in absent], _absent_interval(runs, name, problems))
        for name in ("false_positive_rate", "false_positive_area")
    )
    mcc, cgf1 = (mean_measure([each["presence"][name] for each in absent]) for name in ("image_level_mcc", "cgf1"))
    undrawn = mean_measure([_undrawn_rate(each["by_text"], drawn) for each in absent])
    shown = undrawn if undrawn.value is not None else None
    dice = _present_dice(runs, metric, problems)
    return ObedienceRow(runs[0].title, len(runs), dice, rate, shown, None, area, mcc, cgf1)


def _undrawn_rate(by_text: Mapping[str, Any], drawn: set[str]) -> float | None:
    others = [found for text, found in by_text.items() if text not in drawn and found["pairs"]]
    if not others or len(others) == len(by_text):
        return None
    hits = sum(found["pairs"] * (found["false_positive_rate"] or 0.0) for found in others)
    return float(hits / sum(found["pairs"] for found in others))


def _present_dice(runs: Sequence[ExperimentResult], metric: str, problems: list[ReportProblem]) -> Measure:
    score = METRICS[metric].score
    name = score + FOREGROUND
    values = [result.score(name) for result in runs]
    if len(runs) == 1:
        return mean_measure(values, stored_interval(runs[0].metrics.get("intervals"), name))

    def interval() -> tuple[float, float] | None:
        table = read_score_table([result.folder for result in runs], score).chosen(foreground_only=True)
        mean = mean_over_seeds(table, Bootstrap(resamples=RESAMPLES))
        return None if mean is None else mean.interval

    return mean_measure(values, _readable(interval, runs, problems))


def _absent_interval(
    runs: Sequence[ExperimentResult], name: str, problems: list[ReportProblem]
) -> tuple[float, float] | None:
    """Return the interval of one run as stored, and of several over the seeds, images and texts."""
    if len(runs) == 1:
        return stored_interval(runs[0].metrics["absent"]["intervals"], name)

    def interval() -> tuple[float, float] | None:
        values, clusters = absent_scores([read_absent_pairs(run.folder / ABSENT_PAIRS) for run in runs], name)
        mean = crossed_mean([values], clusters, Bootstrap(resamples=RESAMPLES)) if clusters else None
        return None if mean is None else mean.interval_within(0, 100)

    return _readable(interval, runs, problems)


def _readable(
    compute: Callable[[], tuple[float, float] | None],
    runs: Sequence[ExperimentResult],
    problems: list[ReportProblem],
) -> tuple[float, float] | None:
    """Return a computed interval; an unreadable table becomes a problem."""
    try:
        return compute()
    except (OSError, ValueError) as error:
        message = f"no {error.filename}" if isinstance(error, FileNotFoundError) and error.filename else str(error)
        message = message.replace(f"{runs[0].folder.parents[1]}/", "").rstrip(".")
        problem = ReportProblem(runs[0].spec.name, f"an interval over its seeds is missing: {message}.")
        problems += [] if problem in problems else [problem]
        return None


def _class_rows(runs: Sequence[ExperimentResult], metric: str) -> list[ClassRow]:
    score = METRICS[metric].score + FOREGROUND
    rows = []
    for name, first in runs[0].metrics["absent"]["by_class"].items():
        of_class = [found for result in runs if (found := result.metrics["absent"]["by_class"].get(name))]
        mcc, cgf1 = (mean_measure([found[key] for found in of_class]) for key in ("image_level_mcc", "cgf1"))
        dice = mean_measure([result.score(score, name) for result in runs])
        rows.append(ClassRow(runs[0].title, name, dice, first["present"], first["absent"], mcc, cgf1))
    return rows


def _text_rate(runs: Sequence[ExperimentResult], text: str) -> float | None:
    found = [of_text for result in runs if (of_text := result.metrics["absent"]["by_text"].get(text))]
    return mean_measure([each["false_positive_rate"] for each in found]).value


def _confusion(runs: Sequence[ExperimentResult]) -> ConfusionTable | None:
    tables = [table for result in runs if (table := result.metrics.get("confusion"))]
    asked = sorted({name for table in tables for name in table})
    shown = sorted({name for table in tables for row in table.values() for name in row})
    if len(shown) < 2:
        return None

    def mean(ask: str, show: str) -> float | None:
        values = [table[ask][show]["iou"] for table in tables if show in table.get(ask, {})]
        return fmean(values) if values else None

    return ConfusionTable(runs[0].title, shown, [(ask, [mean(ask, show) for show in shown]) for ask in asked])
