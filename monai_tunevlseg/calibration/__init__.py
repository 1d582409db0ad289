"""Calibration: a temperature and a threshold of each class, fitted on validation data, kept beside the checkpoint."""

from monai_tunevlseg.calibration.calibration import Calibration, ClassCalibration
from monai_tunevlseg.calibration.calibration_file import (
    CALIBRATION,
    read_calibration,
    remove_calibration,
    write_calibration,
)
from monai_tunevlseg.calibration.fitting import fit_calibration
from monai_tunevlseg.calibration.logit_statistics import THRESHOLDS, LogitStatistics, best_threshold, dice_at_thresholds

__all__ = [
    "CALIBRATION",
    "THRESHOLDS",
    "Calibration",
    "ClassCalibration",
    "LogitStatistics",
    "best_threshold",
    "dice_at_thresholds",
    "fit_calibration",
    "read_calibration",
    "remove_calibration",
    "write_calibration",
]
