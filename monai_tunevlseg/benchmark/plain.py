"""The report as Markdown and CSV, and how its numbers are written everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_tunevlseg.benchmark.comparisons import Contest
from monai_tunevlseg.benchmark.report import Report
from monai_tunevlseg.benchmark.results import Result
from monai_tunevlseg.benchmark.tables import Cell, Row, Table
from monai_tunevlseg.data.csv_files import write_csv
from monai_tunevlseg.markdown import escape_markdown

__all__ = [
    "bytes_text",
    "number_text",
    "render_markdown",
    "seconds_text",
    "signed_text",
    "versions_of",
    "write_csv_files",
]

MISSING = "–"


def number_text(value: float | None, decimals: int = 2) -> str:
    """Return a number, or a dash for None."""
    return MISSING if value is None else f"{value:.{decimals}f}"


def signed_text(value: float | None, decimals: int = 2) -> str:
    """Return a difference with its sign, or a dash for None."""
    return MISSING if value is None else f"{value:+.{decimals}f}".replace("-", "−")


def bytes_text(value: float | None) -> str:
    """Return a size in decimal units, or a dash for None."""
    if value is None:
        return MISSING
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def seconds_text(value: float | None) -> str:
    """Return a duration in its two largest units, or a dash for None."""
    if value is None:
        return MISSING
    if value < 60:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def versions_of(results: Sequence[Result]) -> dict[str, str]:
    """Return the packages' versions that the entries were measured with, all of them where they differ."""
    found: dict[str, set[str]] = {}
    for result in results:
        for package, version in result.facts["versions"].items():
            found.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(versions)) for package, versions in sorted(found.items())}


def render_markdown(report: Report) -> str:
    """Return the report as Markdown; figures are files beside it, pictures are in the HTML alone."""
    parts = [f"# Benchmark of prompt learners\n\n{report.metric.title}, in percent, on the test split."]
    if report.problems:
        listed = [f"- {_code(problem.place)}: {escape_markdown(problem.message)}" for problem in report.problems]
        parts.append(f"## Problems ({len(report.problems)})\n\n" + "\n".join(listed))
    parts += [_table_markdown(table, report) for table in report.tables]
    for drawing in report.drawings:
        caption = escape_markdown(drawing.caption)
        parts.append(f"## Figure {drawing.number}\n\n{caption}\n\n![](figures/{drawing.name}.svg)")
    parts.append("## Cost\n\n" + _grid(list(_costs(report.results[:1]) or [{}])[0].keys(), _cost_rows(report.results)))
    parts += [_contest_markdown(contest, report) for contest in report.contests]
    return "\n\n".join(parts) + "\n"


def _table_markdown(table: Table, report: Report) -> str:
    head = f"## Table {table.number}: {table.title}"
    if not table.rows:
        return f"{head}\n\nNo results."
    columns = ["model", "method", *(["start"] if table.number == 4 else [])]
    columns += [escape_markdown(report.dataset_titles[name]) for name in table.datasets]
    columns += ["mean", "± std", *(["against Table 3"] if table.number == 5 else [])]
    legend = "**Bold**: best of the column; *italic*: best prompt learner, where a baseline is better. "
    legend += "In brackets: difference to the paper's figure."
    return f"{head}\n\n{_grid(columns, [_row_markdown(row, table) for row in table.rows])}\n\n{legend}"


def _row_markdown(row: Row, table: Table) -> list[str]:
    cells = [_cell_markdown(row.cells.get(name)) for name in table.datasets]
    mean = _cell_markdown(row.mean)
    if len(row.cells) < len(table.datasets):
        mean += f" ({len(row.cells)} of {len(table.datasets)})"
    start = [] if row.start is None else [escape_markdown(row.start)]
    change = [signed_text(row.change)] if table.number == 5 else []
    return [*map(escape_markdown, row.title), *start, *cells, mean, number_text(row.std), *change]


def _cell_markdown(cell: Cell | None) -> str:
    if cell is None:
        return MISSING
    text = number_text(cell.value)
    text = f"**{text}**" if cell.best else f"*{text}*" if cell.best_method else text
    return text if cell.difference is None else f"{text} ({signed_text(cell.difference)})"


def _contest_markdown(contest: Contest, report: Report) -> str:
    title, best = escape_markdown(report.dataset_titles[contest.dataset]), escape_markdown(" ".join(contest.best))
    head = f"## {title}: against {best} ({contest.score:.2f})"
    rows = []
    for rival in contest.rivals:
        found = rival.comparison
        low, high = found.interval or (None, None)
        rows.append(
            [
                escape_markdown(" ".join(rival.title)),
                number_text(found.mean_b),
                signed_text(found.difference),
                f"{signed_text(low)} to {signed_text(high)}",
                MISSING if found.p_value is None else f"{found.p_value:.2g}",
                MISSING if rival.adjusted_p is None else f"{rival.adjusted_p:.2g}",
            ]
        )
    columns = ["method", "mean", "difference", "95 % interval", "p (Wilcoxon)", "p (Holm)"]
    return f"{head}\n\n{_grid(columns, rows)}"


def _grid(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(columns)]
    lines += [["---"] * len(lines[0]), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _code(text: str) -> str:
    """Return somebody's text as code in Markdown, where only a backtick would end it."""
    line = " ".join(text.split()).replace("`", "'")
    return f"`{line}`"


def _costs(results: Sequence[Result]) -> list[dict[str, Any]]:
    return [
        {
            "dataset": result.entry.dataset,
            "model": result.entry.model,
            "method": result.entry.method,
            "variant": result.entry.variant or "",
            "trained_parameters": result.facts["trained_parameters"],
            "checkpoint_bytes": result.facts["checkpoint_bytes"],
            "seconds_trial": result.facts["seconds"]["trial"],
            "seconds_total": result.facts["seconds"]["total"],
            "peak_memory_bytes": result.facts["peak_memory_bytes"],
            "device": result.facts["device"],
        }
        for result in results
    ]


def _cost_rows(results: Sequence[Result]) -> list[list[str]]:
    shown = {
        "trained_parameters": lambda value: f"{value:,}",
        "checkpoint_bytes": bytes_text,
        "peak_memory_bytes": bytes_text,
        "seconds_trial": seconds_text,
        "seconds_total": seconds_text,
    }
    return [
        [shown.get(name, lambda value: escape_markdown(str(value or MISSING)))(value) for name, value in cost.items()]
        for cost in _costs(results)
    ]


def write_csv_files(report: Report, output: Path) -> None:
    """Write the tables in the paper's form, their cells beside the paper's, the costs and the comparisons."""
    for table in report.tables:
        _write(output / f"table{table.number}.csv", [_wide(row, table) for row in table.rows])
    _write(output / "cells.csv", [cell for table in report.tables for row in table.rows for cell in _long(row, table)])
    _write(output / "cost.csv", _costs(report.results))
    _write(output / "comparisons.csv", [line for contest in report.contests for line in _contest_lines(contest)])


def _wide(row: Row, table: Table) -> dict[str, Any]:
    start = {} if row.start is None else {"initialization": row.start}
    cells = {name: _rounded(row.cells[name].value) if name in row.cells else "" for name in table.datasets}
    own = {"model": row.model, "method": row.method, **start, **cells}
    return {**own, "mean": _rounded(row.mean.value), "std": _rounded(row.std)}


def _long(row: Row, table: Table) -> list[dict[str, Any]]:
    cells = {**row.cells, "mean": row.mean}
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


def _contest_lines(contest: Contest) -> list[dict[str, Any]]:
    lines = []
    for rival in contest.rivals:
        found = rival.comparison
        low, high = found.interval or (None, None)
        lines.append(
            {
                "dataset": contest.dataset,
                "best": " ".join(contest.best),
                "method": " ".join(rival.title),
                "pairs": found.pairs,
                "units": found.units,
                "mean_best": _rounded(found.mean_a),
                "mean": _rounded(found.mean_b),
                "difference": _rounded(found.difference),
                "low": _rounded(low),
                "high": _rounded(high),
                "p": found.p_value,
                "p_holm": rival.adjusted_p,
            }
        )
    return lines


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows; without any, an empty file, so that an earlier report's numbers do not stay."""
    write_csv(path, list(rows[0]) if rows else [], rows)
