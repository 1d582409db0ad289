"""Writing the report's files."""

from __future__ import annotations

from pathlib import Path

from monai_tunevlseg.atomic_files import write_text_atomically
from monai_tunevlseg.benchmark.report_content import BenchmarkReport, build_report
from monai_tunevlseg.benchmark.report_csv import write_csv_files
from monai_tunevlseg.benchmark.report_html import render_html
from monai_tunevlseg.benchmark.report_markdown import render_markdown

__all__ = ["write_report"]


def write_report(
    results_dir: str | Path, output_dir: str | Path | None = None, metric: str = "dice"
) -> BenchmarkReport:
    """Write ``report.html``, ``report.md``, CSV files and ``figures/``.

    Args:
        results_dir: results folder of ``tunevlseg benchmark``; its files are not changed.
        output_dir: folder of the report; None = ``report`` in ``results_dir``.
        metric: one of ``METRICS``.

    Raises:
        FileNotFoundError: when the folder has no results.
        ValueError: when the metric is unknown.
    """
    report = build_report(results_dir, metric)
    output = Path(results_dir) / "report" if output_dir is None else Path(output_dir)
    texts = {"report.html": render_html(report), "report.md": render_markdown(report)}
    texts |= {f"figures/{figure.name}.svg": figure.svg for figure in report.figures}
    texts |= {f"figures/learning_curves_{name}.svg": svg for name, svg in report.learning_curve_figures.items()}
    texts |= {f"figures/{ranks.name}.svg": ranks.figure for ranks in report.ranks}
    texts |= {f"figures/reliability_{item.dataset}.svg": item.figure for item in report.sureness}
    for name, text in texts.items():
        write_text_atomically(output / name, text)
    write_csv_files(report, output)
    return report
