"""What a run has reached: scores per case and over all cases."""

from monai_tunevlseg.evaluation.cases import Case, CaseReport, summarize

__all__ = ["Case", "CaseReport", "summarize"]
