"""Benchmarks of many experiments, with the tables and figures of the paper from stored results."""

from monai_tunevlseg.benchmark.experiment_spec import VARIANTS, ExperimentSpec, Group
from monai_tunevlseg.benchmark.report_content import build_report
from monai_tunevlseg.benchmark.report_files import write_report
from monai_tunevlseg.benchmark.results_folder import METRICS, read_results

__all__ = ["METRICS", "VARIANTS", "ExperimentSpec", "Group", "build_report", "read_results", "write_report"]
