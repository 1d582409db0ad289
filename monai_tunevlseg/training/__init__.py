"""Training as in the paper: loss, optimizer groups, seeding per epoch, checkpoints that survive an interruption."""

from monai_tunevlseg.training.accumulation import AccumulationRemainder, accumulation_steps
from monai_tunevlseg.training.checkpoints import CHECKPOINT, Checkpoints
from monai_tunevlseg.training.curve import ValidationCurve, read_curve
from monai_tunevlseg.training.finite import FiniteCheck
from monai_tunevlseg.training.loss import PromptLoss
from monai_tunevlseg.training.optimizer import parameter_groups
from monai_tunevlseg.training.progress import TrainingProgress
from monai_tunevlseg.training.record import HYPERPARAMETERS, write_hyperparameters
from monai_tunevlseg.training.seeding import EpochSeeding, SeededDataset, derive_seed
from monai_tunevlseg.training.stopping import EarlyStopping
from monai_tunevlseg.training.validation import Validation, validation_sampler

__all__ = [
    "CHECKPOINT",
    "HYPERPARAMETERS",
    "AccumulationRemainder",
    "Checkpoints",
    "EarlyStopping",
    "EpochSeeding",
    "FiniteCheck",
    "PromptLoss",
    "SeededDataset",
    "TrainingProgress",
    "Validation",
    "ValidationCurve",
    "accumulation_steps",
    "derive_seed",
    "parameter_groups",
    "read_curve",
    "validation_sampler",
    "write_hyperparameters",
]
