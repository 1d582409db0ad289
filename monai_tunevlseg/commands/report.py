"""``tunevlseg report``: tables and figures of a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.commands.error_handling import exit_on_error

__all__ = ["report", "write_with_warnings"]


def report(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Results folder of `tunevlseg benchmark`.")],
    metric: Annotated[
        str, typer.Option(help="Metric: dice, dice_foreground, dice_original or dice_original_foreground.")
    ] = "dice",
    output: Annotated[Path | None, typer.Option(help="Folder of the report; RESULTS/report by default.")] = None,
) -> None:
    """Write the tables and figures of the paper as HTML, Markdown and CSV from stored results."""
    with exit_on_error():
        typer.echo(write_with_warnings(results, metric, output))


def write_with_warnings(results: Path, metric: str = "dice", output: Path | None = None) -> Path:
    """Write a report and return its HTML file; print missing and unusable results as warnings."""
    from monai_tunevlseg.benchmark import write_report

    output = output or results / "report"
    for problem in write_report(results, output, metric).problems:
        typer.echo(f"warning: {problem.place}: {problem.message}", err=True)
    return output / "report.html"
