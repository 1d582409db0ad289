"""``tunevlseg report``: tables and figures of a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.commands.error_handling import exit_on_error

__all__ = ["report"]


def report(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Results folder of `tunevlseg benchmark`.")],
    metric: Annotated[
        str, typer.Option(help="Metric: dice, dice_foreground, dice_original or dice_original_foreground.")
    ] = "dice",
    output: Annotated[Path | None, typer.Option(help="Folder of the report; RESULTS/report by default.")] = None,
) -> None:
    """Write the tables and figures of the paper as HTML, Markdown and CSV from stored results."""
    from monai_tunevlseg.benchmark import write_report

    with exit_on_error():
        written = write_report(results, output, metric)
    for problem in written.problems:
        typer.echo(f"warning: {problem.place}: {problem.message}", err=True)
    typer.echo((results / "report" if output is None else output) / "report.html")
