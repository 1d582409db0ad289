"""The study of the paper as a tool: its tables and figures over datasets, methods and models, from stored results."""

from monai_tunevlseg.benchmark.entries import VARIANTS, Entry
from monai_tunevlseg.benchmark.report_content import build_report
from monai_tunevlseg.benchmark.report_files import write_report
from monai_tunevlseg.benchmark.results import METRICS, read_results

__all__ = ["METRICS", "VARIANTS", "Entry", "build_report", "read_results", "write_report"]
