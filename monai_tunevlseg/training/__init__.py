"""Training as in the paper: loss, parameter groups, a seed for each epoch, and checkpoints to resume from."""

from monai_tunevlseg.training.accumulation import AccumulationRescaler, accumulation_steps
from monai_tunevlseg.training.calibration_fit import CalibrationFit, with_pool_texts
from monai_tunevlseg.training.checkpoints import CHECKPOINT, CheckpointHandler
from monai_tunevlseg.training.drawn_texts import PrepareBatchDrawnTexts
from monai_tunevlseg.training.early_stopping import EarlyStopping
from monai_tunevlseg.training.lock import FolderLock
from monai_tunevlseg.training.loss import NegativeTextLoss, PairDiceCELoss
from monai_tunevlseg.training.obedient_dice import ObedientDiceMetric
from monai_tunevlseg.training.optimizer import parameter_groups
from monai_tunevlseg.training.presence import SilenceAbsentd, predictions_and_targets
from monai_tunevlseg.training.progress import TrainingProgress
from monai_tunevlseg.training.run_record import CHECKPOINT_DIGEST, HYPERPARAMETERS
from monai_tunevlseg.training.seeding import NUMBER, EpochSeeding, SeededDataset, derive_seed
from monai_tunevlseg.training.terminate_on_nan import TerminateOnNaN
from monai_tunevlseg.training.validation import Validation, validation_sampler
from monai_tunevlseg.training.validation_log import ValidationLogger, read_validation_log
from monai_tunevlseg.training.weights import WeightsLoader, load_weights, read_checkpoint, read_weights

__all__ = [
    "CHECKPOINT",
    "CHECKPOINT_DIGEST",
    "HYPERPARAMETERS",
    "NUMBER",
    "AccumulationRescaler",
    "CalibrationFit",
    "CheckpointHandler",
    "EarlyStopping",
    "EpochSeeding",
    "FolderLock",
    "NegativeTextLoss",
    "ObedientDiceMetric",
    "PairDiceCELoss",
    "PrepareBatchDrawnTexts",
    "SeededDataset",
    "SilenceAbsentd",
    "TerminateOnNaN",
    "TrainingProgress",
    "Validation",
    "ValidationLogger",
    "WeightsLoader",
    "accumulation_steps",
    "derive_seed",
    "load_weights",
    "parameter_groups",
    "predictions_and_targets",
    "read_checkpoint",
    "read_validation_log",
    "read_weights",
    "validation_sampler",
    "with_pool_texts",
]
