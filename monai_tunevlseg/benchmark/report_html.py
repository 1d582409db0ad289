"""The report as one HTML file that opens from disk, without scripts and without requests."""

from __future__ import annotations

import base64
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined

from monai_tunevlseg.benchmark.formatting import (
    bytes_text,
    count_text,
    number_text,
    p_text,
    seconds_text,
    shots_text,
    signed_text,
)
from monai_tunevlseg.benchmark.learning_curves import enough_text
from monai_tunevlseg.benchmark.report_content import BenchmarkReport
from monai_tunevlseg.transfer.matrix import SUMMARY_TITLES

__all__ = ["render_html"]


def render_html(report: BenchmarkReport) -> str:
    """Return the report as HTML."""
    environment = Environment(
        loader=PackageLoader("monai_tunevlseg.benchmark"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number_text,
        signed=signed_text,
        bytes=bytes_text,
        count=count_text,
        seconds=seconds_text,
        p=p_text,
        shots=shots_text,
        enough=enough_text,
        data_uri=lambda svg: "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii"),
    )
    return environment.get_template("report.html").render(
        report=report, titles=report.dataset_titles, domain_titles=SUMMARY_TITLES, version=version("monai_tunevlseg")
    )
