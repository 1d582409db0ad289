"""The calibration of a checkpoint: the divisor of each class's logits, and the probability above which it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from monai_tunevlseg.segmentation import Segmentation

__all__ = ["Calibration", "ClassCalibration", "PresenceCalibration"]


@dataclass(frozen=True)
class ClassCalibration:
    """The calibration of one class, and what it changes on the data that it was fitted on.

    Attributes:
        temperature: divisor of the logits, above 0; above 1 where the network is too sure of itself.
        threshold: pixels with a higher calibrated probability are foreground, above 0 and below 1.
        pairs: number of (image, text) pairs that it was fitted on.
        log_loss: mean negative log-likelihood of a pixel in nats, calibrated.
        log_loss_before: the same with a temperature of 1.
        dice: mean Dice of the pairs in percent at the threshold.
        dice_before: the same at a probability of 0.5.

    Raises:
        ValueError: when the temperature or the threshold is out of range.
    """

    temperature: float
    threshold: float
    pairs: int
    log_loss: float
    log_loss_before: float
    dice: float
    dice_before: float

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}; it must be above 0 and finite.")
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}; it must be above 0 and below 1.")


@dataclass(frozen=True)
class PresenceCalibration:
    """The calibration of a network's score of whether an image shows a text, one for all texts.

    The sigmoid of ``score / temperature + bias`` is the probability of a text that is as likely present as absent. The
    score is the network's own, or, with weights, a linear function of its evidence.

    Attributes:
        temperature: divisor of the score, above 0.
        bias: what is added to it, as a logit.
        present: number of (image, text) pairs with foreground that it was fitted on.
        absent: number of pairs without foreground.
        log_loss: mean negative log-likelihood in nats of both kinds of pairs, which count equally.
        log_loss_before: the same of the sigmoid of the network's own score.
        weights: factor of each number of the evidence; none = the score is the network's own.

    Raises:
        ValueError: when the temperature, the bias or a weight is out of range.
    """

    temperature: float
    bias: float
    present: int
    absent: int
    log_loss: float
    log_loss_before: float
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}; it must be above 0 and finite.")
        for name, value in (("bias", self.bias), *(("a weight", weight) for weight in self.weights)):
            if not float("-inf") < value < float("inf"):
                raise ValueError(f"{name} is {value}; it must be finite.")

    def score(self, found: Segmentation) -> Tensor:
        """Return the score of texts, (B, k) float32.

        Raises:
            ValueError: when the network's evidence has another number of values than there are weights.
        """
        if not self.weights:
            return found.presence.float()
        values = 0 if found.evidence is None else found.evidence.shape[2]
        if found.evidence is None or values != len(self.weights):
            raise ValueError(
                f"presence is calibrated with {len(self.weights)} weights, but the network gives {values} values for "
                "each text; use the network of the calibration, or set calibration to off."
            )
        return found.evidence.float() @ found.evidence.new_tensor(self.weights, dtype=torch.float32)


@dataclass(frozen=True)
class Calibration:
    """The calibration of a checkpoint. Other texts than its classes keep a temperature of 1 and a threshold of 0.5.

    Attributes:
        classes: the calibration of each class by its name, which is the text that inference asks for.
        presence: the calibration of presence; None where it is not fitted.
    """

    classes: Mapping[str, ClassCalibration]
    presence: PresenceCalibration | None = None

    def scaled(self, logits: Tensor, texts: Sequence[Sequence[str]]) -> Tensor:
        """Return logits divided by the temperatures of their texts, whose sigmoid is calibrated, (B, k, H, W) float32.

        Args:
            logits: (B, k, H, W), any floating type.
            texts: k texts for each of the B images, or for all of them in one row.
        """
        wide = logits.float()
        return wide / wide.new_tensor(self.temperatures(texts))[:, :, None, None]

    def scaled_presence(self, found: Segmentation) -> Tensor:
        """Return presence as logits of its probability, (B, k) float32; the network's score where it is not fitted."""
        if self.presence is None:
            return found.presence.float()
        return self.presence.score(found) / self.presence.temperature + self.presence.bias

    def temperatures(self, texts: Sequence[Sequence[str]]) -> list[list[float]]:
        """Return the temperatures of texts, in rows like theirs."""
        return [[self.classes[text].temperature if text in self.classes else 1.0 for text in row] for row in texts]

    def thresholds(self, texts: Sequence[Sequence[str]]) -> list[list[float]]:
        """Return the thresholds of the probabilities of texts, in rows like theirs."""
        return [[self.classes[text].threshold if text in self.classes else 0.5 for text in row] for row in texts]

    def cuts(self, texts: Sequence[Sequence[str]]) -> Tensor:
        """Return the scaled logits above which pixels are foreground, float32, in rows like the texts'."""
        return torch.logit(torch.tensor(self.thresholds(texts), dtype=torch.float64)).float()

    def name_of(self, class_name: str, text: str) -> str:
        """Return under which name a pair is calibrated: its text, also a neutral one, or else the name of its class.

        A text that varies between the images of a class stands for the class, by whose name inference asks for it.
        """
        return text if text in self.classes else class_name
