"""The pieces of work that the table compares: the same on the plain reference and on the project."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.losses import DiceCELoss
from plain_clipseg import PlainCLIPSeg
from torch import Tensor, nn
from torch.utils.data import default_collate
from transformers import CLIPSegForImageSegmentation

from monai_tunevlseg.feature_cache import MemoryStore
from monai_tunevlseg.networks import BaseModel, ImageFeatures, PromptTunedCLIPSeg
from monai_tunevlseg.training import PromptLoss, parameter_groups

__all__ = ["CLASSES", "Contest", "TrainingStep"]

CLASSES = (
    *("polyp", "lesion", "tumor", "ulcer", "wound", "nodule", "mass", "cell", "skin", "foot", "breast", "chest"),
    *("left ventricle", "right ventricle", "left atrium", "myocardium", "lung", "optic cup", "optic disc"),
)
"""Nineteen, as many as Cityscapes has."""


@dataclass
class TrainingStep:
    """Forward, loss, backward and the optimizer's step.

    Attributes:
        forward: returns logits (B, 1, H, W).
        label: (B, 1, H, W) in {0, 1}.
        loss: of logits and label.
        optimizer: of what trains.
    """

    forward: Callable[[], Tensor]
    label: Tensor
    loss: nn.Module
    optimizer: torch.optim.Optimizer

    def __call__(self) -> None:
        """Make one step."""
        self.optimizer.zero_grad()
        self.loss(self.forward(), self.label).backward()
        self.optimizer.step()


def published(model: Any) -> CLIPSegForImageSegmentation:
    """Return transformers' own modules around the weights of a loaded base, whose activations are the project's."""
    with torch.device("meta"):
        plain = CLIPSegForImageSegmentation(model.config)
    plain.load_state_dict(model.state_dict(), assign=True)
    for name, buffer in model.named_buffers():  # some are in no state
        owner, _, attribute = name.rpartition(".")
        setattr(plain.get_submodule(owner), attribute, buffer)
    return plain.requires_grad_(False).eval()


class Contest:
    """A method's network and its plain counterpart, with equal weights of their own.

    Args:
        base_model: loaded base model.
        method: name of the method.
        depth: its prompt depth.
        batch: images at a time.
        size: side of the images in pixels.
        device: where both run.
    """

    def __init__(
        self,
        base_model: BaseModel,
        method: str,
        depth: int,
        batch: int,
        size: int,
        device: torch.device,
    ) -> None:
        torch.manual_seed(0)
        self.network = PromptTunedCLIPSeg(base_model, CLASSES, method, {"prompt_depth": depth})
        learned = copy.deepcopy((self.network.method, self.network.upsampler))
        self.network = self.network.to(device)
        self.plain = PlainCLIPSeg(published(base_model.model), base_model.tokenizer, *learned).to(device)
        self.mixed = False
        self.image = torch.randn(batch, 3, size, size, device=device)
        self.label = (torch.rand(batch, 1, size, size, device=device) < 0.3).float()
        self.text = [CLASSES[0]] * batch

    def compute_in(self, precision: str) -> Contest:
        """Let the project compute in a precision: fp32, bf16 or fp16-amp."""
        self.network.compute_in(precision)
        self.mixed = precision == "fp16-amp"
        return self

    def difference(self) -> float:
        """Return the norm of the difference between both sides' logits, relative to the norm of the reference's."""
        self.plain.eval(), self.network.eval()
        with torch.inference_mode():
            expected, actual = self.plain(self.image, self.text), self.segment(self.image, self.text)
        return ((expected - actual).norm() / expected.norm()).item()

    def segment(self, image: Tensor | ImageFeatures, text: Any) -> Tensor:
        """Run the project's network in its precision, as a bundle's run does."""
        with torch.autocast(self.label.device.type, torch.float16, enabled=self.mixed):
            return self.network(image, text)

    def training_steps(self, cached: bool = False) -> tuple[TrainingStep, TrainingStep]:
        """Return a step of the plain reference and one of the project.

        Args:
            cached: the project's from the second epoch on, with each image's features in memory.
        """
        plain, network = self.plain.train(), self.network.train()
        plain.model.eval()
        trained = [parameter for parameter in plain.parameters() if parameter.requires_grad]
        return (
            TrainingStep(
                lambda: plain(self.image, self.text),
                self.label,
                DiceCELoss(sigmoid=True, lambda_ce=0.2),
                torch.optim.AdamW(trained, 1e-3),
            ),
            TrainingStep(
                self._from_features() if cached else lambda: self.segment(self.image, self.text),
                self.label,
                PromptLoss(),
                torch.optim.AdamW(parameter_groups(network, 1e-3), 1e-3, fused=True),  # as in the bundles
            ),
        )

    def _from_features(self) -> Callable[[], Tensor]:
        """Encode the images now; return what a later epoch does: read their features, collate them, and segment."""
        with torch.no_grad():
            encoded = self.network.encode_image(self.image).to("cpu")
        store, rows = MemoryStore(2**30), range(len(self.image))
        for row in rows:
            store.put(str(row), {name: value[row] for name, value in encoded.items()})

        def forward() -> Tensor:
            features = default_collate([ImageFeatures(store.get(str(row)) or {}) for row in rows])
            return self.segment(features.to(self.image.device), self.text)

        return forward

    def inferences(self, class_names: Sequence[str]) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
        """Return inference of each image with these classes, plain and the project's."""
        self.network.eval()
        plain = self.plain.eval()
        names = [list(class_names)] * len(self.image)

        def reference() -> Tensor:
            with torch.no_grad():
                return plain.segment(self.image, class_names)

        def project() -> Tensor:
            with torch.inference_mode():
                return self.segment(self.image, names)

        return reference, project
