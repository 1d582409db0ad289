"""Evaluation: scores of each pair, means with bootstrap intervals, the report, and the comparison of two runs."""

from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.evaluation.bootstrap import Bootstrap
from monai_tunevlseg.evaluation.comparison import Comparison, compare
from monai_tunevlseg.evaluation.metrics import PAIR_METRICS, Hausdorff95, SurfaceDice
from monai_tunevlseg.evaluation.pair_masks import LogitsToPairMasks
from monai_tunevlseg.evaluation.pair_scores import PairKey, PairScores, read_pair_scores, write_pair_scores
from monai_tunevlseg.evaluation.report_handler import EvaluationReportHandler, describe_network
from monai_tunevlseg.evaluation.skipping_evaluator import SkippingEvaluator, run_or_list_unreadable
from monai_tunevlseg.evaluation.summary import summarize

__all__ = [
    "PAIR_METRICS",
    "Bootstrap",
    "Comparison",
    "EvaluationReportHandler",
    "Hausdorff95",
    "LogitsToPairMasks",
    "PairKey",
    "PairScores",
    "SkippingEvaluator",
    "SurfaceDice",
    "compare",
    "describe_network",
    "file_digest",
    "read_pair_scores",
    "run_or_list_unreadable",
    "summarize",
    "write_pair_scores",
]
