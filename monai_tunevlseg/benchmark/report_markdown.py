"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from monai_tunevlseg.benchmark.experiment_spec import MAIN_TABLE
from monai_tunevlseg.benchmark.formatting import (
    MISSING,
    bytes_text,
    count_text,
    measure_text,
    number_text,
    p_text,
    seconds_text,
    shots_text,
    signed_text,
)
from monai_tunevlseg.benchmark.learning_curves import DatasetCurves, enough_text
from monai_tunevlseg.benchmark.method_comparison import DatasetComparison
from monai_tunevlseg.benchmark.method_ranks import MethodRanks
from monai_tunevlseg.benchmark.obedience import ConfusionTable, DatasetObedience
from monai_tunevlseg.benchmark.other_domains import OtherDomains
from monai_tunevlseg.benchmark.report_content import BenchmarkReport
from monai_tunevlseg.benchmark.seed_spread import DatasetSpread
from monai_tunevlseg.benchmark.sureness import DatasetSureness
from monai_tunevlseg.benchmark.tables import Cell, Row, Table
from monai_tunevlseg.benchmark.wording import DatasetWording
from monai_tunevlseg.markdown import escape_markdown
from monai_tunevlseg.transfer.matrix import SUMMARY_TITLES

__all__ = ["render_markdown"]


def render_markdown(report: BenchmarkReport) -> str:
    """Return the report as Markdown; it links to the figures' files and has no test images."""
    parts = [f"# Segmentation benchmark\n\n{report.metric.title}, in percent, on the test split."]
    if report.problems:
        listed = [f"- {_code(problem.place)}: {escape_markdown(problem.message)}" for problem in report.problems]
        parts.append(f"## Problems ({len(report.problems)})\n\n" + "\n".join(listed))
    if report.recommendations:
        items = [
            _item(report.dataset_titles[item.dataset], item.curve.title, item.text) for item in report.recommendations
        ]
        parts.append("## With your data\n\n" + "\n".join(items))
    parts += [_curves_markdown(dataset, report) for dataset in report.learning_curves if dataset.with_shots]
    parts += [_table_markdown(table, report) for table in report.tables]
    if report.other_domains.rows:
        parts.append(_domains_markdown(report.other_domains))
    parts += [_obedience_markdown(dataset, report) for dataset in report.obedience]
    parts += [_wording_markdown(dataset, report) for dataset in report.wording]
    parts += [_sureness_markdown(dataset, report) for dataset in report.sureness]
    for figure in report.figures:
        caption = escape_markdown(figure.caption)
        parts.append(f"## Figure {figure.number}\n\n{caption}\n\n![](figures/{figure.name}.svg)")
    parts.append("## Cost\n\n" + _grid((report.costs or [{}])[0], map(_cost_cells, report.costs)))
    parts += [_spread_markdown(dataset, report) for dataset in report.spread]
    parts += [_comparison_markdown(comparison, report) for comparison in report.comparisons]
    parts += [_ranks_markdown(ranks) for ranks in report.ranks]
    return "\n\n".join(parts) + "\n"


def _item(dataset: str, method: str, text: str) -> str:
    return f"- **{escape_markdown(dataset)}: {escape_markdown(method)}.** {escape_markdown(text)}"


def _curves_markdown(dataset: DatasetCurves, report: BenchmarkReport) -> str:
    title = report.dataset_titles[dataset.dataset]
    columns = ["method", "images per class", "training images", "Dice", *map(escape_markdown, dataset.class_names)]
    rows = [
        [
            escape_markdown(curve.title),
            str(point.num_shots or "all") if curve.trains else "0",
            number_text(point.images, 0),
            measure_text(point.dice),
            *(measure_text(point.classes[name]) for name in dataset.class_names),
        ]
        for curve in (*dataset.untrained, *dataset.with_shots)
        for point in curve.points
    ]
    parts = [f"## {escape_markdown(title)}: how many images?"]
    parts.append("\n".join(_item(title, curve.title, enough_text(curve)) for curve in dataset.with_shots))
    parts.append(_grid(columns, rows))
    if dataset.dataset in report.learning_curve_figures:
        parts.append(f"![](figures/learning_curves_{dataset.dataset}.svg)")
    return "\n\n".join(parts)


def _table_markdown(table: Table, report: BenchmarkReport) -> str:
    head = f"## Table {table.number}: {table.title}"
    if not table.rows:
        return f"{head}\n\nNo results."
    columns = ["model", "method", *(["initialization"] if table.number == 4 else [])]
    columns += [escape_markdown(report.dataset_titles[name]) for name in table.datasets]
    columns += ["mean", "± std", *(["change from Table 3"] if table.number == 5 else [])]
    legend = "**Bold**: best of the column; *italic*: best prompt learner or adapter, where a baseline is better. "
    legend += "In parentheses: difference from the paper."
    if table.number == MAIN_TABLE and report.note:
        legend += f" {escape_markdown(report.note)}"
    rows = []
    for group, members in groupby(table.rows, key=lambda row: row.group):
        if table.number == MAIN_TABLE:
            rows.append([f"**{group}**", *[""] * (len(columns) - 1)])
        rows += [_row_cells(row, table) for row in members]
    return f"{head}\n\n{_grid(columns, rows)}\n\n{legend}"


def _row_cells(row: Row, table: Table) -> list[str]:
    cells = [_cell_markdown(row.cells.get(name)) for name in table.datasets]
    mean = _cell_markdown(row.mean)
    if row.mean and len(row.cells) < len(table.datasets):
        mean += f" ({len(row.cells)} of {len(table.datasets)})"
    initialization = [] if row.initialization is None else [escape_markdown(row.initialization)]
    change = [signed_text(row.change)] if table.number == 5 else []
    return [*map(escape_markdown, row.title), *initialization, *cells, mean, number_text(row.std), *change]


def _cell_markdown(cell: Cell | None) -> str:
    if cell is None:
        return MISSING
    text = number_text(cell.value)
    text = f"**{text}**" if cell.best else f"*{text}*" if cell.best_method else text
    return text if cell.difference is None else f"{text} ({signed_text(cell.difference)})"


def _spread_markdown(dataset: DatasetSpread, report: BenchmarkReport) -> str:
    columns = ["method", "training images", "seeds", "mean ± std over the seeds (95 % interval over seeds and images)"]
    columns += ["error, seeds", "error, images", "share of the seeds (%)"]
    rows = [
        [escape_markdown(row.title), shots_text(row.num_shots), str(row.runs), measure_text(row.dice, 2)]
        + [number_text(row.seed_error), number_text(row.case_error), number_text(row.seed_share, 0)]
        for row in dataset.rows
    ]
    title = escape_markdown(report.dataset_titles[dataset.dataset])
    return f"## {title}: is the seed luck?\n\n{_grid(columns, rows)}"


def _comparison_markdown(dataset: DatasetComparison, report: BenchmarkReport) -> str:
    title, best = escape_markdown(report.dataset_titles[dataset.dataset]), escape_markdown(dataset.best)
    images = "" if dataset.num_shots is None else f", {shots_text(dataset.num_shots)}"
    head = f"## {title}{images}: comparison with {best} ({dataset.score:.2f})"
    columns = ["method", "mean", "difference", "95 % interval", "p (Wilcoxon)", "p (Holm)"]
    columns += ["p (seeds and images)", "p (seeds and images, Holm)"] if dataset.seeded else []
    rows = []
    for method in dataset.methods:
        comparison = method.comparison
        low, high = comparison.interval or (None, None)
        cells = [escape_markdown(method.title), number_text(comparison.mean_b), signed_text(comparison.difference)]
        cells += [f"{signed_text(low)} to {signed_text(high)}", p_text(comparison.p_value), p_text(method.adjusted_p)]
        cells += [p_text(comparison.p_value_seeds), p_text(method.adjusted_p_seeds)] if dataset.seeded else []
        rows.append(cells)
    return f"{head}\n\n{_grid(columns, rows)}"


def _ranks_markdown(ranks: MethodRanks) -> str:
    images = "" if ranks.num_shots is None else f", {shots_text(ranks.num_shots)}"
    return f"## Ranks over the datasets{images}\n\n{escape_markdown(ranks.text)}\n\n![](figures/{ranks.name}.svg)"


def _domains_markdown(matrix: OtherDomains) -> str:
    columns = ["trained on", "experiment", *map(escape_markdown, matrix.names), *SUMMARY_TITLES.values()]
    rows = [
        [escape_markdown(row.trained_on or MISSING), escape_markdown(row.title)]
        + [measure_text(row.datasets.get(name)) for name in matrix.names]
        + [measure_text(row.summary.get(name)) for name in SUMMARY_TITLES]
        for row in matrix.rows
    ]
    seen = f"\n\n{escape_markdown(matrix.seen_text)}" if matrix.seen_text else ""
    return f"## Does it hold elsewhere?\n\n{_grid(columns, rows)}{seen}"


def _obedience_markdown(dataset: DatasetObedience, report: BenchmarkReport) -> str:
    title = escape_markdown(report.dataset_titles[dataset.dataset])
    columns = [
        "method",
        "Dice, present",
        "false positives (%)",
        "of those without the variant",
        "for texts not in training (%)",
        "area (%)",
        "MCC",
        "cgF1",
    ]
    rows = [
        [escape_markdown(row.title), measure_text(row.dice), measure_text(row.rate), number_text(row.ratio)]
        + [measure_text(row.undrawn_rate), measure_text(row.area, 2), measure_text(row.mcc, 2), measure_text(row.cgf1)]
        for row in dataset.rows
    ]
    parts = [f"## {title}: does it obey its text?", _grid(columns, rows)]
    classes = [
        [escape_markdown(row.class_name), escape_markdown(row.title), measure_text(row.dice)]
        + [str(row.present), str(row.absent), measure_text(row.mcc, 2), measure_text(row.cgf1)]
        for row in dataset.classes
    ]
    parts.append(_grid(["class", "method", "Dice, present", "present", "absent", "MCC", "cgF1"], classes))
    parts += [_confusion_markdown(table) for table in dataset.confusions]
    return "\n\n".join(parts)


def _confusion_markdown(table: ConfusionTable) -> str:
    rows = [[escape_markdown(asked), *(number_text(iou, 1) for iou in overlaps)] for asked, overlaps in table.rows]
    grid = _grid(["mask for \\\\ truth of", *map(escape_markdown, table.shown)], rows)
    return f"IoU of {escape_markdown(table.title)} in percent:\n\n{grid}"


def _wording_markdown(dataset: DatasetWording, report: BenchmarkReport) -> str:
    title = escape_markdown(report.dataset_titles[dataset.dataset])
    shown = {
        "dice": "Dice, class name",
        "set_dice": "Dice, other texts",
        "standard_deviation": "± of the texts",
        "range": "range",
        "blank_dice": "blank image, class name",
        "set_blank_dice": "blank image, other texts",
        "contentless_found": "contentless: found (%)",
        "contentless_iou": "contentless: IoU",
        "contradictory_found": "contradictory: found (%)",
        "contradictory_iou": "contradictory: IoU",
    }
    rows = [
        [escape_markdown(row.title), escape_markdown(row.class_name or "all")]
        + [measure_text(row.measures[name]) for name in shown]
        + [f"{measure_text(row.worst)} {escape_markdown('; '.join(row.worst_texts))}".rstrip()]
        for row in (*dataset.rows, *dataset.classes)
    ]
    grid = _grid(["method", "class", *shown.values(), "worst text"], rows)
    return f"## {title}: does another wording change the mask?\n\n{grid}"


def _sureness_markdown(dataset: DatasetSureness, report: BenchmarkReport) -> str:
    title = escape_markdown(report.dataset_titles[dataset.dataset])
    columns = ["method", "class", "ECE", "ACE", "MCE", "Brier", "best threshold", "its Dice"]
    columns += ["temperature", "threshold", "presence loss"]
    rows = [
        [escape_markdown(row.title), escape_markdown(row.class_name or "all")]
        + [measure_text(value, 3) for value in (row.ece, row.ace, row.mce, row.brier)]
        + [measure_text(row.oracle_threshold, 2), measure_text(row.oracle_dice)]
        + [measure_text(value, 2) for value in (row.temperature, row.threshold, row.presence_loss)]
        for row in (*dataset.rows, *dataset.classes)
    ]
    return f"## {title}: is it sure?\n\n{_grid(columns, rows)}\n\n![](figures/reliability_{dataset.dataset}.svg)"


def _grid(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(columns)]
    lines += [["---"] * len(lines[0]), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _code(text: str) -> str:
    """Return untrusted text as code in Markdown, which only a backtick could end."""
    line = " ".join(text.split()).replace("`", "'")
    return f"`{line}`"


def _cost_cells(cost: Mapping[str, Any]) -> list[str]:
    texts = {
        "num_shots": count_text,
        "seed": count_text,
        "training_images": count_text,
        "trained_parameters": count_text,
        "checkpoint_bytes": bytes_text,
        "peak_memory_bytes": bytes_text,
        "seconds_step": seconds_text,
        "seconds_trial": seconds_text,
        "seconds_total": seconds_text,
    }
    return [
        texts.get(name, lambda value: escape_markdown(str(value or MISSING)))(value) for name, value in cost.items()
    ]
