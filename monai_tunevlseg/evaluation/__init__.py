"""Evaluation: scores of each pair, means with bootstrap intervals, the report, and the comparison of two runs."""

from monai_tunevlseg.digests import file_digest
from monai_tunevlseg.evaluation.bootstrap import Bootstrap
from monai_tunevlseg.evaluation.calibration_scores import CalibrationScores
from monai_tunevlseg.evaluation.class_confusion import ClassConfusion
from monai_tunevlseg.evaluation.compared_pairs import ComparedPair, write_compared_pairs
from monai_tunevlseg.evaluation.comparison import Comparison, compare, compare_runs, compare_tables
from monai_tunevlseg.evaluation.crossed_bootstrap import CrossedMean, crossed_mean
from monai_tunevlseg.evaluation.dataset_ranks import DatasetRanks, rank_over_datasets
from monai_tunevlseg.evaluation.metrics import PAIR_METRICS, Hausdorff95, SurfaceDice
from monai_tunevlseg.evaluation.multiple_tests import holm_adjusted
from monai_tunevlseg.evaluation.pair_masks import LogitsToPairMasks
from monai_tunevlseg.evaluation.pair_scores import PairKey, PairScores, read_pair_scores, write_pair_scores
from monai_tunevlseg.evaluation.prediction_check import MISSING_RULES, match_predictions
from monai_tunevlseg.evaluation.prediction_files import PredictionForm
from monai_tunevlseg.evaluation.prediction_scores import score_predictions
from monai_tunevlseg.evaluation.report_handler import EvaluationReportHandler, describe_network
from monai_tunevlseg.evaluation.score_table import ScoreTable, mean_over_seeds, read_score_table, tabulate
from monai_tunevlseg.evaluation.skipping_evaluator import SkippingEvaluator, run_or_list_unreadable
from monai_tunevlseg.evaluation.summary import summarize
from monai_tunevlseg.evaluation.text_obedience import (
    ABSENT_PAIRS,
    AbsentPair,
    read_absent_pairs,
    summarize_obedience,
    write_absent_pairs,
)
from monai_tunevlseg.evaluation.text_variation import summarize_variation

__all__ = [
    "ABSENT_PAIRS",
    "MISSING_RULES",
    "PAIR_METRICS",
    "AbsentPair",
    "Bootstrap",
    "CalibrationScores",
    "ClassConfusion",
    "ComparedPair",
    "Comparison",
    "CrossedMean",
    "DatasetRanks",
    "EvaluationReportHandler",
    "Hausdorff95",
    "LogitsToPairMasks",
    "PairKey",
    "PairScores",
    "PredictionForm",
    "ScoreTable",
    "SkippingEvaluator",
    "SurfaceDice",
    "compare",
    "compare_runs",
    "compare_tables",
    "crossed_mean",
    "describe_network",
    "file_digest",
    "holm_adjusted",
    "match_predictions",
    "mean_over_seeds",
    "rank_over_datasets",
    "read_absent_pairs",
    "read_pair_scores",
    "read_score_table",
    "run_or_list_unreadable",
    "score_predictions",
    "summarize",
    "summarize_obedience",
    "summarize_variation",
    "tabulate",
    "write_absent_pairs",
    "write_compared_pairs",
    "write_pair_scores",
]
