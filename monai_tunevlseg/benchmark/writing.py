"""The report's files."""

from __future__ import annotations

from pathlib import Path

from monai_tunevlseg.atomic_files import write_text_atomically
from monai_tunevlseg.benchmark.html import render_html
from monai_tunevlseg.benchmark.plain import render_markdown, write_csv_files
from monai_tunevlseg.benchmark.report import Report, build_report

__all__ = ["write_report"]


def write_report(results_dir: str | Path, output_dir: str | Path | None = None, metric: str = "dice") -> Report:
    """Write ``report.html``, ``report.md``, CSV files and ``figures/``.

    Args:
        results_dir: what ``tunevlseg benchmark`` has written; nothing in it is changed.
        output_dir: gets the report; None = the folder ``report`` in ``results_dir``.
        metric: one of ``METRICS``.

    Raises:
        FileNotFoundError: when there are no results.
        ValueError: when there is no such metric.
    """
    report = build_report(results_dir, metric)
    output = Path(results_dir) / "report" if output_dir is None else Path(output_dir)
    texts = {"report.html": render_html(report), "report.md": render_markdown(report)}
    texts |= {f"figures/{drawing.name}.svg": drawing.svg for drawing in report.drawings}
    for name, text in texts.items():
        write_text_atomically(output / name, text)
    write_csv_files(report, output)
    return report
