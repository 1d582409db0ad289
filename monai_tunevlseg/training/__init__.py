"""Training as in the paper: loss, optimizer groups, seeding per epoch, checkpoints that survive an interruption."""

from monai_tunevlseg.training.accumulation import AccumulationRemainder, accumulation_steps
from monai_tunevlseg.training.checkpoints import CHECKPOINT, Checkpoints
from monai_tunevlseg.training.curve import ValidationCurve, read_curve
from monai_tunevlseg.training.finite import FiniteCheck
from monai_tunevlseg.training.loading import WeightsLoader, load_weights, read_checkpoint, read_weights
from monai_tunevlseg.training.lock import FolderLock
from monai_tunevlseg.training.loss import PromptLoss
from monai_tunevlseg.training.optimizer import parameter_groups
from monai_tunevlseg.training.progress import TrainingProgress
from monai_tunevlseg.training.record import CHECKPOINT_DIGEST, HYPERPARAMETERS
from monai_tunevlseg.training.seeding import EpochSeeding, SeededDataset, derive_seed
from monai_tunevlseg.training.stopping import EarlyStopping
from monai_tunevlseg.training.validation import Validation, validation_sampler

__all__ = [
    "CHECKPOINT",
    "CHECKPOINT_DIGEST",
    "HYPERPARAMETERS",
    "AccumulationRemainder",
    "Checkpoints",
    "EarlyStopping",
    "EpochSeeding",
    "FiniteCheck",
    "FolderLock",
    "PromptLoss",
    "SeededDataset",
    "TrainingProgress",
    "Validation",
    "ValidationCurve",
    "WeightsLoader",
    "accumulation_steps",
    "derive_seed",
    "load_weights",
    "parameter_groups",
    "read_checkpoint",
    "read_curve",
    "read_weights",
    "validation_sampler",
]
