"""Calibration: what makes probabilities of masks and of presence right, fitted on validation data, kept in a file."""

from monai_tunevlseg.calibration.calibration import Calibration, ClassCalibration, PresenceCalibration
from monai_tunevlseg.calibration.calibration_file import (
    CALIBRATION,
    read_calibration,
    remove_calibration,
    write_calibration,
)
from monai_tunevlseg.calibration.evidence_fit import fit_evidence
from monai_tunevlseg.calibration.fitting import fit_calibration, fit_presence
from monai_tunevlseg.calibration.logit_statistics import THRESHOLDS, LogitStatistics, best_threshold, dice_at_thresholds

__all__ = [
    "CALIBRATION",
    "THRESHOLDS",
    "Calibration",
    "ClassCalibration",
    "LogitStatistics",
    "PresenceCalibration",
    "best_threshold",
    "dice_at_thresholds",
    "fit_calibration",
    "fit_evidence",
    "fit_presence",
    "read_calibration",
    "remove_calibration",
    "write_calibration",
]
