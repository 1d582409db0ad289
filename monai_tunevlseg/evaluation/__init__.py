"""What a run has reached: scores per case and over all cases, how sure they are, and how two runs compare."""

from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.evaluation.cases import Case, read_cases, write_cases
from monai_tunevlseg.evaluation.comparison import Comparison, compare
from monai_tunevlseg.evaluation.intervals import Bootstrap
from monai_tunevlseg.evaluation.pairs import PairMasks
from monai_tunevlseg.evaluation.report import CaseReport, describe_network
from monai_tunevlseg.evaluation.scores import SCORES, Hausdorff95, SurfaceDice
from monai_tunevlseg.evaluation.summary import summarize
from monai_tunevlseg.evaluation.unreadable import SkippingEvaluator, run_or_name_unreadable

__all__ = [
    "SCORES",
    "Bootstrap",
    "Case",
    "CaseReport",
    "Comparison",
    "Hausdorff95",
    "PairMasks",
    "SkippingEvaluator",
    "SurfaceDice",
    "compare",
    "describe_network",
    "file_digest",
    "read_cases",
    "run_or_name_unreadable",
    "summarize",
    "write_cases",
]
