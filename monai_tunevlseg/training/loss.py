"""The loss of the paper, Dice plus weighted binary cross entropy for each (image, text) pair, and that of presence."""

from __future__ import annotations

import torch
from monai.data import MetaTensor
from monai.losses import DiceLoss
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.modules.loss import _Loss

from monai_tunevlseg.data import IGNORE_INDEX
from monai_tunevlseg.segmentation import BACKGROUND_LOGIT, Segmentation
from monai_tunevlseg.training.presence import presence_truth

__all__ = ["NegativeTextLoss", "PairDiceCELoss"]


class PairDiceCELoss(_Loss):
    """Dice plus binary cross entropy, both with a sigmoid and in float32, for each (image, text) pair.

    Without ignored pixels it is MONAI's ``DiceCELoss`` with the class channels moved into the batch, because classes
    may overlap and MONAI takes softmax cross entropy for several channels. Ignored pixels are left out of both terms; a
    pair with ignored pixels only adds a Dice term of 0 and no cross entropy.

    The term of presence is the binary cross entropy of whether the pair's mask has foreground. A pair without
    foreground but with ignored pixels adds 0 to it, because the ignored pixels may show the text.

    Args:
        lambda_dice: weight of the Dice term (paper: 1).
        lambda_ce: weight of the cross entropy term (paper: 0.2).
        lambda_presence: weight of the term of presence; 0 = without it.
    """

    def __init__(self, lambda_dice: float = 1.0, lambda_ce: float = 0.2, lambda_presence: float = 0.0) -> None:
        super().__init__()
        self.dice = DiceLoss(sigmoid=True)
        self.lambda_dice = lambda_dice
        self.lambda_ce = lambda_ce
        self.lambda_presence = lambda_presence

    def forward(self, prediction: torch.Tensor | Segmentation, label: torch.Tensor) -> torch.Tensor:
        """Return the mean loss over the pairs, a float32 scalar.

        Args:
            prediction: logits (B, K, H, W), any floating type, or a network's ``Segmentation``, which also has the
                logits of presence.
            label: (B, K, H, W) in {0, 1}, and ``data.IGNORE_INDEX`` where pixels are ignored.

        Raises:
            ValueError: when the shapes of logits and label differ, or presence has a weight but is not predicted.
        """
        logits, presence = prediction[:2] if isinstance(prediction, Segmentation) else (prediction, None)
        loss = self._loss_of_masks(logits, label)
        if not self.lambda_presence:
            return loss
        if presence is None:
            raise ValueError(
                f"lambda_presence is {self.lambda_presence}, but the prediction has no presence; call the network with "
                "presence=True, as PresenceInferer does, or set lambda_presence to 0."
            )
        return loss + self.lambda_presence * _presence_entropy(presence, label)

    def _loss_of_masks(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        if logits.shape != label.shape:
            raise ValueError(
                f"logits of shape {tuple(logits.shape)} and label of shape {tuple(label.shape)} differ; "
                "give one label channel per text."
            )
        with torch.autocast(device_type=logits.device.type, enabled=False):
            pairs, truth = _pairs(logits), _pairs(label)
            ignored = truth == IGNORE_INDEX
            # background in prediction and label: no gradient, and no part in the Dice term
            pairs, truth = pairs.masked_fill(ignored, BACKGROUND_LOGIT), truth.masked_fill(ignored, 0)
            entropy = binary_cross_entropy_with_logits(pairs, truth, weight=_weights(~ignored))
            dice = self.dice(pairs, truth) if self.lambda_dice else 0
            loss: torch.Tensor = self.lambda_dice * dice + self.lambda_ce * entropy
            return loss


class NegativeTextLoss(_Loss):
    """The loss of each image's own text, plus that of the texts after it, which the image does not show.

    The term of an absent text is the mean binary cross entropy over its counted pixels, and with presence its cross
    entropy in the weight of the pairs' loss. It has no Dice term, because an empty target leaves only the smoothing s
    in the numerator: with the sum S of N probabilities p, the term 1 - s / (S + s) has the gradient
    s / (S + s)^2 * p (1 - p) at each logit. With MONAI's s = 1e-5 it is flat: all gradients together are less than 1e-7
    at S = 100, and only matter where S is about s, long after the last pixel of foreground. The gradients p / N of the
    cross entropy add up to the mean probability: what is segmented is unlearned in proportion to its area.

    Args:
        pair_loss: loss of the own texts.
        weight: weight of the mean over the absent texts, whatever their number.
    """

    def __init__(self, pair_loss: PairDiceCELoss, weight: float = 1.0) -> None:
        super().__init__()
        self.pair_loss = pair_loss
        self.absent_loss = PairDiceCELoss(0.0, 1.0, pair_loss.lambda_presence)
        self.weight = weight

    def forward(self, prediction: torch.Tensor | Segmentation, label: torch.Tensor) -> torch.Tensor:
        """Return the mean loss over the images, a float32 scalar.

        Args:
            prediction: as for the pair loss, with 1 + n texts for each image, its own one first.
            label: (B, 1 + n, H, W), as for the pair loss; those of the n absent texts are empty.

        Raises:
            ValueError: as the pair loss.
        """
        own, absent = _split_texts(prediction)
        loss: torch.Tensor = self.pair_loss(own, label[:, :1])
        if label.shape[1] == 1:
            return loss
        negative: torch.Tensor = self.absent_loss(absent, label[:, 1:])
        return loss + self.weight * negative


def _split_texts(
    prediction: torch.Tensor | Segmentation,
) -> tuple[torch.Tensor | Segmentation, torch.Tensor | Segmentation]:
    """Return the predictions of the first text and of the others."""
    if isinstance(prediction, Segmentation):
        logits, presence, _ = prediction
        return Segmentation(logits[:, :1], presence[:, :1]), Segmentation(logits[:, 1:], presence[:, 1:])
    return prediction[:, :1], prediction[:, 1:]


def _presence_entropy(presence: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return the mean cross entropy of presence (B, K) over the pairs; 0 of those that may or may not be shown."""
    shown, known = presence_truth(label)
    with torch.autocast(device_type=presence.device.type, enabled=False):
        return binary_cross_entropy_with_logits(presence.float(), shown.float(), weight=known.float())


def _weights(counted: torch.Tensor) -> torch.Tensor:
    """Return weights (P, 1, H, W) that turn the mean over all pixels into each pair's mean over its counted pixels."""
    share = counted.float().mean(dim=(1, 2, 3), keepdim=True)
    return counted / share.clamp(min=1 / counted[0].numel())


def _pairs(maps: torch.Tensor) -> torch.Tensor:
    """Return (B, K, H, W) as a plain float32 tensor of shape (B * K, 1, H, W)."""
    tensor = maps.as_tensor() if isinstance(maps, MetaTensor) else maps
    return tensor.float().flatten(0, 1).unsqueeze(1)
