"""The report as CSV files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_tunevlseg.benchmark.learning_curves import DatasetCurves
from monai_tunevlseg.benchmark.measure import Measure
from monai_tunevlseg.benchmark.method_comparison import DatasetComparison
from monai_tunevlseg.benchmark.method_ranks import MethodRanks
from monai_tunevlseg.benchmark.obedience import DatasetObedience, ObedienceRow
from monai_tunevlseg.benchmark.other_domains import OtherDomains
from monai_tunevlseg.benchmark.report_content import BenchmarkReport
from monai_tunevlseg.benchmark.seed_spread import DatasetSpread
from monai_tunevlseg.benchmark.sureness import SurenessRow
from monai_tunevlseg.benchmark.tables import Row, Table
from monai_tunevlseg.benchmark.wording import WordingRow
from monai_tunevlseg.csv_files import write_csv
from monai_tunevlseg.transfer.matrix import SUMMARY_TITLES

__all__ = ["write_csv_files"]


def write_csv_files(report: BenchmarkReport, output: Path) -> None:
    """Write the tables in the paper's form, their cells next to the paper's, and all other tables."""
    for table in report.tables:
        _write(output / f"table{table.number}.csv", [_wide_row(row, table) for row in table.rows])
    cells = [cell for table in report.tables for row in table.rows for cell in _cell_rows(row, table)]
    _write(output / "cells.csv", cells)
    _write(output / "cost.csv", report.costs)
    _write(output / "learning_curves.csv", [row for item in report.learning_curves for row in _curve_rows(item)])
    _write(output / "transfer.csv", _domain_rows(report.other_domains))
    obedience = [(item.dataset, row) for item in report.obedience for row in item.rows]
    _write(output / "obedience.csv", [_obedience_row(dataset, row) for dataset, row in obedience])
    _write(output / "confusion.csv", [row for item in report.obedience for row in _confusion_rows(item)])
    wording = [(item.dataset, row) for item in report.wording for row in (*item.rows, *item.classes)]
    _write(output / "texts.csv", [_wording_row(dataset, row) for dataset, row in wording])
    sureness = [(item.dataset, row) for item in report.sureness for row in (*item.rows, *item.classes)]
    _write(output / "calibration.csv", [_sureness_row(dataset, row) for dataset, row in sureness])
    _write(output / "seeds.csv", [row for item in report.spread for row in _spread_rows(item)])
    _write(output / "comparisons.csv", [row for item in report.comparisons for row in _comparison_rows(item)])
    _write(output / "ranks.csv", [row for ranks in report.ranks for row in _rank_rows(ranks)])


def _wide_row(row: Row, table: Table) -> dict[str, Any]:
    initialization = {} if row.initialization is None else {"initialization": row.initialization}
    cells = {name: _rounded(row.cells[name].value) if name in row.cells else "" for name in table.datasets}
    own = {"group": row.group, "model": row.model, "method": row.method, "variant": row.variant or ""}
    return {
        **own,
        **initialization,
        **cells,
        "mean": _rounded(row.mean.value if row.mean else None),
        "std": _rounded(row.std),
    }


def _cell_rows(row: Row, table: Table) -> list[dict[str, Any]]:
    cells = {**row.cells, **({"mean": row.mean} if row.mean else {})}
    return [
        {
            "table": table.number,
            "model": row.model,
            "method": row.method,
            "variant": row.variant or "",
            "dataset": name,
            "value": _rounded(cell.value),
            "paper": _rounded(cell.paper),
            "difference": _rounded(cell.difference),
            "best": int(cell.best),
            "best_method": int(cell.best_method),
        }
        for name, cell in cells.items()
    ]


def _curve_rows(dataset: DatasetCurves) -> list[dict[str, Any]]:
    """Return a row for each experiment, number of images and class, and one for the mean, whose class is empty."""
    return [
        {
            "dataset": dataset.dataset,
            "method": curve.title,
            "num_shots": point.num_shots,
            "training_images": None if point.images is None else f"{point.images:g}",
            "seeds": point.runs,
            "class_name": class_name or "",
            **_measure_cells("dice", point.dice_of(class_name)),
        }
        for curve in dataset.curves
        for point in curve.points
        for class_name in (None, *dataset.class_names)
    ]


def _comparison_rows(dataset: DatasetComparison) -> list[dict[str, Any]]:
    rows = []
    for method in dataset.methods:
        comparison = method.comparison
        low, high = comparison.interval or (None, None)
        rows.append(
            {
                "dataset": dataset.dataset,
                "num_shots": dataset.num_shots,
                "best": dataset.best,
                "method": method.title,
                "pairs": comparison.pairs,
                "clusters": comparison.clusters,
                "seeds_best": comparison.runs_a,
                "seeds": comparison.runs_b,
                "mean_best": _rounded(comparison.mean_a),
                "std_best": _rounded(comparison.std_a),
                "mean": _rounded(comparison.mean_b),
                "std": _rounded(comparison.std_b),
                "difference": _rounded(comparison.difference),
                "low": _rounded(low),
                "high": _rounded(high),
                "p": comparison.p_value,
                "p_holm": method.adjusted_p,
                "p_seeds": comparison.p_value_seeds,
                "p_seeds_holm": method.adjusted_p_seeds,
            }
        )
    return rows


def _spread_rows(dataset: DatasetSpread) -> list[dict[str, Any]]:
    return [
        {
            "dataset": dataset.dataset,
            "num_shots": row.num_shots,
            "method": row.title,
            "seeds": row.runs,
            **_measure_cells("dice", row.dice),
            "error_seeds": _rounded(row.seed_error),
            "error_images": _rounded(row.case_error),
            "seed_share": _rounded(row.seed_share),
        }
        for row in dataset.rows
    ]


def _rank_rows(ranks: MethodRanks) -> list[dict[str, Any]]:
    found = ranks.ranks
    return [
        {
            "num_shots": ranks.num_shots,
            "method": ranks.titles[name],
            "mean_rank": _rounded(rank),
            "datasets": found.datasets,
            "critical_difference": _rounded(found.critical_difference),
            "p": found.p_value,
        }
        for name, rank in found.mean_ranks.items()
    ]


def _domain_rows(matrix: OtherDomains) -> list[dict[str, Any]]:
    return [
        {"experiment": row.title, "trained_on": row.trained_on or "zero-shot", "seeds": row.runs}
        | {
            column: cell
            for name in (*matrix.names, *SUMMARY_TITLES)
            for column, cell in _measure_cells(name, {**row.datasets, **row.summary}.get(name)).items()
        }
        for row in matrix.rows
    ]


def _obedience_row(dataset: str, row: ObedienceRow) -> dict[str, Any]:
    names = ("dice", "rate", "undrawn_rate", "area", "mcc", "cgf1")
    cells = [_measure_cells(name, getattr(row, name)) for name in names]
    numbers = {name: cell for measured in cells for name, cell in measured.items()}
    return {"dataset": dataset, "method": row.title, "seeds": row.runs, **numbers, "ratio": _rounded(row.ratio)}


def _confusion_rows(dataset: DatasetObedience) -> list[dict[str, Any]]:
    return [
        {"dataset": dataset.dataset, "method": table.title, "asked": asked, "shown": shown, "iou": _rounded(iou)}
        for table in dataset.confusions
        for asked, overlaps in table.rows
        for shown, iou in zip(table.shown, overlaps, strict=True)
    ]


def _wording_row(dataset: str, row: WordingRow) -> dict[str, Any]:
    own = {"dataset": dataset, "method": row.title, "class_name": row.class_name or ""}
    cells = [_measure_cells(name, measure) for name, measure in {**row.measures, "worst": row.worst}.items()]
    numbers = {name: cell for measured in cells for name, cell in measured.items()}
    return {**own, **numbers, "worst_text": "; ".join(row.worst_texts)}


def _sureness_row(dataset: str, row: SurenessRow) -> dict[str, Any]:
    names = ["ece", "ace", "mce", "brier", "oracle_threshold", "oracle_dice"]
    names += ["temperature", "threshold", "presence_loss"]
    numbers = {name: _rounded(getattr(row, name).value) for name in names}
    return {"dataset": dataset, "method": row.title, "class_name": row.class_name or "", **numbers}


def _measure_cells(name: str, measure: Measure | None) -> dict[str, Any]:
    measure = measure or Measure(None)
    low, high = measure.interval or (None, None)
    numbers = {"": measure.value, "_std": measure.std, "_low": low, "_high": high}
    return {f"{name}{end}": _rounded(value) for end, value in numbers.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows; without rows an empty file, which replaces that of an earlier report."""
    write_csv(path, list(rows[0]) if rows else [], rows)
