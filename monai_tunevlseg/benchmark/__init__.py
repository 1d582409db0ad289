"""The study of the paper as a tool: its tables and figures over datasets, methods and models, from stored results."""

from monai_tunevlseg.benchmark.entries import VARIANTS, Entry
from monai_tunevlseg.benchmark.report import build_report
from monai_tunevlseg.benchmark.results import METRICS, read_results
from monai_tunevlseg.benchmark.writing import write_report

__all__ = ["METRICS", "VARIANTS", "Entry", "build_report", "read_results", "write_report"]
