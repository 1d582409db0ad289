"""What a run has reached: scores per case and over all cases, how sure they are, and how two runs compare."""

from monai_tunevlseg.evaluation.cases import Case, read_cases, write_cases
from monai_tunevlseg.evaluation.comparison import Comparison, compare
from monai_tunevlseg.evaluation.intervals import Bootstrap
from monai_tunevlseg.evaluation.pairs import PairMasks
from monai_tunevlseg.evaluation.report import CaseReport, describe_network, file_digest
from monai_tunevlseg.evaluation.scores import SCORES, Hausdorff95, SurfaceDice
from monai_tunevlseg.evaluation.summary import summarize

__all__ = [
    "SCORES",
    "Bootstrap",
    "Case",
    "CaseReport",
    "Comparison",
    "Hausdorff95",
    "PairMasks",
    "SurfaceDice",
    "compare",
    "describe_network",
    "file_digest",
    "read_cases",
    "summarize",
    "write_cases",
]
