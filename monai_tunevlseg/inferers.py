"""Inference on pictures of any size, on volumes slice by slice, with several texts, and with the presence of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.inferers import Inferer, SimpleInferer
from monai.utils import ensure_tuple_rep

from monai_tunevlseg.calibration import Calibration
from monai_tunevlseg.data.io.orientation import array_axis
from monai_tunevlseg.data.transforms.resizing import resize_images, resize_logits
from monai_tunevlseg.reductions import UNCALIBRATED, Reduction
from monai_tunevlseg.segmentation import Segmentation

__all__ = ["AveragingInferer", "PresenceInferer", "ResizedInferer", "SilencingInferer"]

Network = Callable[..., Any]
TextSets = Mapping[str, Sequence[str]]


class PresenceInferer(SimpleInferer):
    """MONAI's ``SimpleInferer`` that returns a ``Segmentation``: masks, and the presence of texts for the loss."""

    def __call__(self, inputs: Any, network: Network, *args: Any, **kwargs: Any) -> Any:
        """Run a network on images, or on their features."""
        return super().__call__(inputs, network, *args, presence=True, **kwargs)


class AveragingInferer(Inferer):
    """Another inferer whose masks are the mean over several texts with the meaning of each text.

    Args:
        inferer: runs the network.
        text_sets: further texts of a text, whose probabilities are averaged with its own; None or empty = none.
        calibration: makes the score of each text's presence a probability; None = its sigmoid is. It changes no logits.
    """

    def __init__(
        self, inferer: Inferer, text_sets: TextSets | None = None, calibration: Calibration | None = None
    ) -> None:
        super().__init__()
        self.inferer = inferer
        self.text_sets = text_sets or {}
        self.calibration = calibration

    def __call__(
        self, inputs: Any, network: Network, *args: Any, text_sets: Sequence[TextSets] = (), **kwargs: Any
    ) -> Any:
        """Return the inferer's result with averaged probabilities.

        Args:
            inputs: B images, or their features.
            network: the network.
            args: further arguments of the inferer.
            text_sets: text sets of each image, which come first; empty = those of the inferer for all images.
            kwargs: further arguments of the inferer.
        """
        sets = [{**self.text_sets, **of_image} for of_image in text_sets] or self.text_sets
        sure = _with_calibrated_presence(network, self.calibration)
        return self.inferer(inputs, _averaging(sure, network, sets), *args, **kwargs)


class SilencingInferer(Inferer):
    """Another inferer with empty masks for the texts that an image does not show.

    Args:
        inferer: runs the network.
        presence_threshold: the masks of texts whose presence is less probable than this are empty, 0..1; None = all
            masks stay.
        calibration: makes the scores of presence probabilities; None = their sigmoid is. It changes no logits.

    Raises:
        ValueError: when the threshold is outside its range.
    """

    def __init__(
        self, inferer: Inferer, presence_threshold: float | None = None, calibration: Calibration | None = None
    ) -> None:
        super().__init__()
        self.inferer = inferer
        self.presence_threshold = _checked_threshold(presence_threshold)
        self.calibration = calibration

    def __call__(self, inputs: Any, network: Network, *args: Any, **kwargs: Any) -> Any:
        """Return the inferer's result, with the logits of background for absent texts."""
        sure = _with_calibrated_presence(network, self.calibration)
        return self.inferer(inputs, _silencing(sure, self.presence_threshold), *args, **kwargs)


class ResizedInferer(Inferer):
    """Runs a 2-D network at its own input size and returns logits, or their reduction, at the size of the input.

    Pictures are resized and normalized as in training, and logits are resized bilinearly. A volume, upright as
    ``LoadImageMaskd`` loads it, is cut into slices, each treated as a picture. With a reduction, memory does not grow
    with the number of classes, because their logits are resized one after the other.

    Args:
        image_size: size of the network's input in pixels, one number or (height, width).
        slice_axis: sagittal (0), coronal (1) or axial (2) slices of volumes.
        sw_batch_size: slices in one call of the network, 1 or more; divided by the number of texts of a volume.
        reduction: reduction of the logits, such as ``label_map``; None = the logits of all classes.
        antialias: as for :func:`~monai_tunevlseg.data.transforms.resizing.resize_images`.
        mean: mean of the training images per channel, to normalize an input in [0, 1]. None = the input is normalized
            already, and its resized values are not clamped.
        std: standard deviation of the training images per channel; None as ``mean``.
        presence_threshold: the masks of texts whose presence in a picture or slice is less probable than this are
            empty, 0..1; None = all masks stay.
        text_sets: further texts of a text, whose probabilities are averaged with its own; None or empty = none.
        calibration: divides the logits of each text by its temperature, gives the reduction its threshold, and makes
            the scores of presence probabilities; None = the network's own logits, and a threshold of 0.5.

    Raises:
        ValueError: when an argument is outside its range.
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        slice_axis: int = 2,
        sw_batch_size: int = 4,
        reduction: Reduction | None = None,
        antialias: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        presence_threshold: float | None = None,
        text_sets: TextSets | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__()
        self.image_size = ensure_tuple_rep(image_size, 2)
        if min(self.image_size) < 1:
            raise ValueError(f"image_size is {image_size}; it must be positive.")
        if slice_axis not in (0, 1, 2):
            raise ValueError(f"slice_axis is {slice_axis}; it must be 0, 1 or 2: sagittal, coronal or axial.")
        if sw_batch_size < 1:
            raise ValueError(f"sw_batch_size is {sw_batch_size}; it must be 1 or more.")
        if (mean is None) != (std is None):
            raise ValueError(f"mean is {mean} and std {std}; give both or none.")
        self.antialias = antialias
        self.mean, self.std = mean, std
        self.slice_axis = slice_axis
        self.sw_batch_size = sw_batch_size
        self.reduction = reduction
        self.text_sets = text_sets or {}
        self.presence_threshold = _checked_threshold(presence_threshold)
        self.calibration = calibration

    def __call__(self, inputs: Any, network: Network, *args: Any, **kwargs: Any) -> Any:
        """Return logits, or their reduction, at the spatial size of the input.

        Args:
            inputs: (B, 3, H, W), or (B, 3, S, A, R) for volumes; or a list of (3, H, W) and (3, S, A, R) of any sizes,
                for a list of results. The network gets the pictures of a list of pictures together.
            network: network from (N, 3, h, w) and the further arguments to (N, K, h, w); with a calibration, it has
                ``class_names``, the texts where none are given.
            args: further arguments of the network.
            kwargs: further arguments of the network; ``text`` has one entry per picture or volume, which is repeated
                for the slices of a volume.

        Raises:
            ValueError: when a tensor does not have 4 or 5 dimensions, or one of a list 3 or 4.
        """
        if isinstance(inputs, Sequence):
            return self._each_size(inputs, network, *args, **kwargs)
        return self._results(inputs, network, None, *args, **kwargs)

    def with_presence(
        self, inputs: torch.Tensor, network: Network, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the results of a call and of :meth:`presence`, for which the network runs once."""
        chances: list[torch.Tensor] = []
        results = self._results(inputs, network, chances, *args, **kwargs)
        presence = torch.cat(chances)
        return results, presence if inputs.ndim == 4 else presence.unflatten(0, (len(inputs), -1))

    def _results(
        self, inputs: torch.Tensor, network: Network, chances: list[torch.Tensor] | None, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Return the results of a call; ``chances`` gets the presence of each part of the inputs, (N, K)."""
        tuned = self._tuned(network, chances)

        def segment(pictures: torch.Tensor, **texts: Any) -> torch.Tensor:
            logits = tuned(self._prepared(pictures), *args, **texts)
            return self._at_size(tuple(pictures.shape[2:]), logits, self._cuts(network, texts.get("text")))

        results = self._each_picture(inputs, segment, **kwargs)
        return results if inputs.ndim == 4 else results.movedim(1, array_axis(self.slice_axis) + 2)

    def _each_size(
        self, images: Sequence[torch.Tensor], network: Network, *args: Any, text: Sequence[Any] | None = None
    ) -> list[torch.Tensor]:
        """Return the results of pictures, which the network gets together, or of volumes, one after the other."""
        if any(image.ndim != 3 for image in images):
            texts = [{}] * len(images) if text is None else [{"text": [each]} for each in text]
            return [self(image[None], network, *args, **own)[0] for image, own in zip(images, texts, strict=True)]
        pictures = [image.as_subclass(torch.Tensor) for image in images]  # without metadata
        prepared = torch.cat([self._prepared(picture[None]) for picture in pictures])
        logits = self._tuned(network)(prepared, *args, **({} if text is None else {"text": text}))
        cuts = self._cuts(network, text)
        each_cuts = [None] * len(pictures) if cuts is None else cuts.expand(len(pictures), -1).split(1)
        parts = zip(pictures, logits.split(1), each_cuts, strict=True)
        return [self._at_size(tuple(picture.shape[1:]), part, cut)[0] for picture, part, cut in parts]

    def _tuned(self, network: Network, chances: list[torch.Tensor] | None = None) -> Network:
        """Return a network with averaged, calibrated and silenced logits; ``chances`` as for ``_silencing``."""
        scaled = _calibrated(self._averaged(network), network, self.calibration)
        return _silencing(scaled, self.presence_threshold, chances)

    def _cuts(self, network: Network, text: Sequence[Any] | None) -> torch.Tensor | None:
        """Return the logits above which texts are foreground, (B, K) or (1, K); None = 0, without a calibration."""
        return None if self.calibration is None else self.calibration.cuts(_text_rows(network, text))

    def presence(self, inputs: torch.Tensor, network: Network, **kwargs: Any) -> torch.Tensor:
        """Return the probability that pictures, or the slices of volumes, show each text.

        Args:
            inputs: (B, 3, H, W), or (B, 3, S, A, R) for volumes.
            network: network as for a call, which returns a ``Segmentation`` with ``presence=True``.
            kwargs: further arguments of the network, as for a call.

        Returns:
            (B, K), or (B, N, K) for volumes of N slices.

        Raises:
            ValueError: when the input does not have 4 or 5 dimensions.
        """
        averaged = self._averaged(network)

        def score(pictures: torch.Tensor, **texts: Any) -> torch.Tensor:
            found: Segmentation = averaged(self._prepared(pictures), presence=True, **texts)
            return found.presence.sigmoid()

        return self._each_picture(inputs, score, **kwargs)

    def _averaged(self, network: Network) -> Network:
        """Return a network whose probabilities are means over text sets."""
        # presence is calibrated first, because the fit is that of single texts, and the sigmoids of all may be near 1
        return _averaging(_with_calibrated_presence(network, self.calibration), network, self.text_sets)

    def _each_picture(
        self, inputs: torch.Tensor, run: Callable[..., torch.Tensor], text: Sequence[Any] | None = None, **kwargs: Any
    ) -> torch.Tensor:
        """Return ``run``'s results for pictures, (B, ...), or for the slices of volumes, (B, N, ...)."""
        texts = {} if text is None else {"text": text}
        if isinstance(inputs, MetaTensor):
            inputs = inputs.as_tensor()  # metadata would slow down each operation of the network
        if inputs.ndim == 4:
            return run(inputs, **texts, **kwargs)
        if inputs.ndim != 5:
            raise ValueError(
                f"an input of shape {tuple(inputs.shape)} is neither a batch of pictures (B, 3, H, W) "
                "nor of volumes (B, 3, S, A, R)."
            )
        volumes = [
            self._each_slice(volume, partial(run, **kwargs), None if text is None else text[index])
            for index, volume in enumerate(inputs)
        ]
        return volumes[0][None] if len(volumes) == 1 else torch.stack(volumes)  # a stack would copy a volume

    def _each_slice(self, volume: torch.Tensor, run: Callable[..., torch.Tensor], text: Any) -> torch.Tensor:
        """Return ``run``'s results for the N slices of a volume (3, S, A, R), (N, ...); ``text`` is the volume's."""
        slices = volume.movedim(array_axis(self.slice_axis) + 1, 0)
        texts_each = len(text) if isinstance(text, Sequence) and not isinstance(text, str) else 1
        parts = slices.split(max(1, self.sw_batch_size // max(1, texts_each)))
        return torch.cat([run(part, **({} if text is None else {"text": [text] * len(part)})) for part in parts])

    def _at_size(self, size: tuple[int, ...], logits: torch.Tensor, cuts: torch.Tensor | None) -> torch.Tensor:
        """Return logits (B, K, h, w) resized to (H, W), or their reduction at this size; cuts are (B, K) or (1, K)."""
        if self.reduction is None:
            return resize_logits(logits, size)
        resized = (resize_logits(of_class, size) for of_class in logits.split(1, dim=1))
        of_classes = UNCALIBRATED if cuts is None else cuts.to(logits)[:, :, None, None].split(1, dim=1)
        return self.reduction(resized, of_classes)

    def _prepared(self, inputs: torch.Tensor) -> torch.Tensor:
        """Resize and normalize (B, 3, H, W)."""
        if self.mean is None or self.std is None:
            return resize_images(inputs, self.image_size, self.antialias, limits=None)
        mean, std = (inputs.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (resize_images(inputs, self.image_size, self.antialias) - mean) / std


def _averaging(run: Network, network: Network, text_sets: TextSets | Sequence[TextSets]) -> Network:
    """Return ``run``, which has the texts of a network, with probabilities that are means over text sets.

    Without any text sets, this is ``run`` itself.

    Args:
        run: gets all texts of the sets.
        network: has the ``class_names``, the texts where none are given.
        text_sets: those of all images, or of each of B images.
    """
    if not (text_sets if isinstance(text_sets, Mapping) else any(text_sets)):
        return run

    def averaged(images: Any, *args: Any, text: Sequence[Any] | None = None, **kwargs: Any) -> Any:
        rows = _text_rows(network, text) * (len(images) if text is None else 1)
        of_images = [text_sets] * len(rows) if isinstance(text_sets, Mapping) else text_sets
        sets = [
            [list(dict.fromkeys([each, *of_image.get(each, ())])) for each in row]
            for row, of_image in zip(rows, of_images, strict=True)
        ]
        sizes = [[len(each) for each in row] for row in sets]
        most = max(map(sum, sizes))
        # each image needs the same number of texts; what fills up is cut off again
        texts = [[*chain(*row), *[row[0][0]] * (most - sum(size))] for row, size in zip(sets, sizes, strict=True)]
        found = run(images, *args, text=texts, **kwargs)
        if isinstance(found, Segmentation):
            return Segmentation(_mean_over_sets(found.logits, sizes), _mean_over_sets(found.presence, sizes))
        return _mean_over_sets(found, sizes)

    return averaged


def _mean_over_sets(logits: torch.Tensor, sizes: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the logits (B, k, ...) of the mean probabilities of sets of texts, whose logits are (B, n, ...)."""
    rows = [
        torch.stack([_mean_logit(part) for part in row[: sum(size)].split(list(size))])
        for row, size in zip(logits, sizes, strict=True)
    ]
    return torch.stack(rows)


def _mean_logit(logits: torch.Tensor) -> torch.Tensor:
    """Return the logit of the mean probability of logits (n, ...), which may be large."""
    if len(logits) == 1:
        return logits[0]
    return F.logsigmoid(logits).logsumexp(dim=0) - F.logsigmoid(-logits).logsumexp(dim=0)


def _calibrated(run: Network, network: Network, calibration: Calibration | None) -> Network:
    """Return ``run``, which has the texts of a network, with calibrated logits, or itself without a calibration."""
    if calibration is None:
        return run

    def calibrated(*args: Any, **kwargs: Any) -> torch.Tensor | Segmentation:
        found, texts = run(*args, **kwargs), _text_rows(network, kwargs.get("text"))
        if isinstance(found, Segmentation):
            return found._replace(logits=calibration.scaled(found.logits, texts))
        return calibration.scaled(found, texts)

    return calibrated


def _text_rows(network: Any, text: Sequence[Any] | None = None) -> list[list[str]]:
    """Return the texts of each picture, or a row for all pictures where they are the network's class names."""
    if text is None:
        return [list(network.class_names)]
    return [[row] if isinstance(row, str) else list(row) for row in text]


def _with_calibrated_presence(network: Network, calibration: Calibration | None) -> Network:
    """Return a network whose scores of presence are logits of its probability, or itself without a calibration."""
    if calibration is None:
        return network

    def run(*args: Any, **kwargs: Any) -> Any:
        found = network(*args, **kwargs)
        if isinstance(found, Segmentation):
            return found._replace(presence=calibration.scaled_presence(found))
        return found

    return run


def _silencing(network: Network, threshold: float | None, chances: list[torch.Tensor] | None = None) -> Network:
    """Return a network whose masks of absent texts are empty, or the network itself if nothing asks for presence.

    Args:
        network: the network.
        threshold: probability below which a text is absent; None = all masks stay.
        chances: gets the probability of each text's presence at every call; None = it is not kept.
    """
    if threshold is None and chances is None:
        return network

    def run(*args: Any, **kwargs: Any) -> torch.Tensor:
        found: Segmentation = network(*args, presence=True, **kwargs)
        if chances is not None:
            chances.append(found.presence.sigmoid())
        return found.logits if threshold is None else found.silenced(threshold)

    return run


def _checked_threshold(threshold: float | None) -> float | None:
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"presence_threshold is {threshold}; it must be a probability in 0..1, or None.")
    return threshold
