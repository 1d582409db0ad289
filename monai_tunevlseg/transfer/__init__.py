"""Transfer: a run that was tuned on one dataset, evaluated on others of the same task."""

from monai_tunevlseg.transfer.matrix import MatrixRow, dataset_columns, matrix_rows, write_matrix
from monai_tunevlseg.transfer.result_files import TRANSFER_FILE, TransferResult, read_transfer
from monai_tunevlseg.transfer.settings import PARTS, TransferSettings
from monai_tunevlseg.transfer.source_run import SourceRun, find_run_folder, read_source_run
from monai_tunevlseg.transfer.summary import METRICS, TransferSummary, summarize_transfer
from monai_tunevlseg.transfer.target import Target, read_target, target_of
from monai_tunevlseg.transfer.text_mapping import read_text_mapping, shares_texts
from monai_tunevlseg.transfer.transfer import transfer_runs

__all__ = [
    "METRICS",
    "PARTS",
    "TRANSFER_FILE",
    "MatrixRow",
    "SourceRun",
    "Target",
    "TransferResult",
    "TransferSettings",
    "TransferSummary",
    "dataset_columns",
    "find_run_folder",
    "matrix_rows",
    "read_source_run",
    "read_target",
    "read_text_mapping",
    "read_transfer",
    "shares_texts",
    "summarize_transfer",
    "target_of",
    "transfer_runs",
    "write_matrix",
]
