"""The contract of all networks: texts choose the masks of images, and checkpoints name their network."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from monai_tunevlseg.networks.identity import FORMAT_VERSION, identity_from_tensor, identity_to_tensor, require_equal
from monai_tunevlseg.networks.module_copies import copy_modules
from monai_tunevlseg.networks.presence import pooled_logit
from monai_tunevlseg.networks.texts import validate_texts
from monai_tunevlseg.networks.traced_devices import follow_device_of_input
from monai_tunevlseg.segmentation import Segmentation

__all__ = ["SegmentationNetwork"]


class SegmentationNetwork(nn.Module, ABC):
    """Base class of all networks: those that read texts, and those with an output channel for each class name.

    Attributes:
        class_names: K texts, the default of ``forward``.
    """

    class_names: list[str]

    @property
    @abstractmethod
    def example_image_size(self) -> int:
        """Side of square images in pixels that the network takes."""

    @abstractmethod
    def segment(self, image: Tensor, texts: list[str], index: Tensor) -> Tensor:
        """Segment images by text.

        Args:
            image: (B, 3, H, W), normalized.
            texts: the distinct texts.
            index: (B, k), the indices of each image's k texts.

        Returns:
            logits (B, k, H, W).
        """

    def segment_with_presence(self, image: Tensor, texts: list[str], index: Tensor) -> Segmentation:
        """Segment images by text as ``segment`` does, and score the presence of each text, by default by its mask."""
        logits = self.segment(image, texts, index)
        score = pooled_logit(logits)
        return Segmentation(logits, score, score.unsqueeze(2))

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return the entries by which this network is recognized in a checkpoint, as values for JSON."""

    @abstractmethod
    def check_identity(self, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
        """Check the identity of a checkpoint of the same format and network class.

        Args:
            theirs: identity of the network that was trained.
            ours: identity of this network.

        Raises:
            ValueError: when an entry that affects the weights differs; names both sides.
        """

    @abstractmethod
    def compute_in(self, precision: str) -> Self:
        """Set the precision of frozen parameters; returns this network."""

    def merged(self) -> Self:
        """Return a network for inference whose adapter, if any, is folded into its weights as far as it is linear."""
        return self

    def forward(
        self, image: Tensor, text: Sequence[str] | Sequence[Sequence[str]] | None = None, presence: bool = False
    ) -> Tensor | Segmentation:
        """Segment images by text.

        Args:
            image: (B, 3, H, W) float, normalized.
            text: None for all K ``class_names`` on every image; B strings for one text per image; B sequences of k
                strings for k texts per image.
            presence: whether to score the presence of each text too.

        Returns:
            logits, (B, K, H, W), (B, 1, H, W) or (B, k, H, W), with the metadata of the image if it has any; with
            ``presence``, a ``Segmentation`` of them and of the scores, (B, K), (B, 1) or (B, k).

        Raises:
            ValueError: when the shape of the image, the number of texts or a text is invalid.
        """
        if image.ndim != 4 or image.shape[1] != 3:
            raise ValueError(f"image has shape {tuple(image.shape)}; the network takes (B, 3, H, W).")
        if isinstance(image, MetaTensor):  # metadata would slow down every operation
            found = self.forward(image.as_tensor(), text, presence)
            if isinstance(found, Segmentation):
                return found._replace(logits=MetaTensor(found.logits).copy_meta_from(image))
            return MetaTensor(found).copy_meta_from(image)
        if presence:
            return self.segment_with_presence(image, *self._indexed_texts(text, image))
        return self.segment(image, *self._indexed_texts(text, image))

    def get_extra_state(self) -> Tensor:
        """Return the identity of this network."""
        return identity_to_tensor({"format_version": FORMAT_VERSION, "network": type(self).__name__, **self.identity()})

    def set_extra_state(self, state: Tensor) -> None:
        """Check that a checkpoint belongs to a network like this one.

        Raises:
            ValueError: when the format, the network or an entry that affects the weights differs; names both sides.
        """
        theirs, ours = identity_from_tensor(state), identity_from_tensor(self.get_extra_state())
        for entry in ("format_version", "network"):
            require_equal(entry, theirs, ours)
        self.check_identity(theirs, ours)

    def __prepare_scriptable__(self) -> nn.Module:
        """Return a trace of this network in place of its code, which TorchScript does not support.

        ``torch.jit.script`` calls it, so that ``ckpt_export`` gives the same logits with and without ``use_trace``.
        """
        side = self.example_image_size
        network = copy_modules(self).eval()
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the tracer warns of every constant
            image = torch.zeros(1, 3, side, side, device=next(self.parameters()).device)
            traced = torch.jit.trace(network, image, check_trace=False)
        follow_device_of_input(traced)
        return _Traced(traced)

    def _indexed_texts(
        self, text: Sequence[str] | Sequence[Sequence[str]] | None, image: Tensor
    ) -> tuple[list[str], Tensor]:
        """Return the distinct texts, and the indices of each image's k texts, (B, k)."""
        if text is None:
            index = torch.arange(len(self.class_names), device=image.device)
            return self.class_names, index.expand(image.shape[0], -1)  # the batch size stays free in a traced network
        if isinstance(text, str) or len(text) != len(image):
            raise ValueError(
                f"text {text!r:.100} must be a sequence with one entry for each of the {len(image)} images."
            )
        rows = [validate_texts([row] if isinstance(row, str) else row, "text") for row in text]
        if len({len(row) for row in rows}) > 1:
            raise ValueError(
                f"text has {[len(row) for row in rows]} entries per image; each image needs the same number."
            )
        number = {text: count for count, text in enumerate(dict.fromkeys(text for row in rows for text in row))}
        return list(number), torch.tensor([[number[text] for text in row] for row in rows], device=image.device)


class _Traced(nn.Module):
    """A traced network as a module that ``torch.jit.script`` accepts."""

    def __init__(self, network: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K, H, W) of images (B, 3, H, W)."""
        logits: Tensor = self.network(image)
        return logits
