"""The workloads that the table compares: training steps and inference, of the reference and of the project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.losses import DiceCELoss
from reference_adapters import add_adapter
from reference_clipseg import ReferenceCLIPSeg
from torch import Tensor, nn
from torch.utils.data import default_collate
from transformers import CLIPSegForImageSegmentation

from monai_tunevlseg.feature_cache import MemoryStore
from monai_tunevlseg.methods import METHODS, Adapter, with_defaults
from monai_tunevlseg.networks import BaseModel, ImageFeatures, PromptTunedCLIPSeg
from monai_tunevlseg.networks.module_copies import copy_modules
from monai_tunevlseg.training import PairDiceCELoss, parameter_groups

__all__ = ["CLASSES", "TrainingStep", "Workloads", "build_network", "training_step"]

CLASSES = (
    *("polyp", "lesion", "tumor", "ulcer", "wound", "nodule", "mass", "cell", "skin", "foot", "breast", "chest"),
    *("left ventricle", "right ventricle", "left atrium", "myocardium", "lung", "optic cup", "optic disc"),
)
"""Nineteen, the number of classes of Cityscapes."""


@dataclass
class TrainingStep:
    """Forward, loss, backward and the optimizer's step.

    Attributes:
        forward: returns logits (B, 1, H, W).
        label: (B, 1, H, W) in {0, 1}.
        loss: of logits and label.
        optimizer: of the trainable parameters.
    """

    forward: Callable[[], Tensor]
    label: Tensor
    loss: nn.Module
    optimizer: torch.optim.Optimizer

    def __call__(self) -> None:
        """Run one step."""
        self.optimizer.zero_grad()
        self.loss(self.forward(), self.label).backward()
        self.optimizer.step()


def original_modules(model: Any) -> CLIPSegForImageSegmentation:
    """Return transformers' own modules with the weights of a loaded base model; its activations differ."""
    with torch.device("meta"):
        original = CLIPSegForImageSegmentation(model.config)
    original.load_state_dict(model.state_dict(), assign=True)
    for name, buffer in model.named_buffers():  # some are not in the state dict
        owner, _, attribute = name.rpartition(".")
        setattr(original.get_submodule(owner), attribute, buffer)
    return original.requires_grad_(False).eval()


def build_network(
    base_model: BaseModel, method: str | None, depth: int, unfreeze: str | None = None
) -> PromptTunedCLIPSeg:
    """Build a network as the bundles do by default, with a depth.

    Args:
        base_model: the loaded base model.
        method: name of the method, or None.
        depth: number of layers with prompts, or of each encoder's layers with bottlenecks.
        unfreeze: trainable part of the base model.
    """
    values = {"prompt_depth": depth, "adapted_layers": depth, "dropout": 0.1}
    arguments = {name: values[name] for name in with_defaults(method, {}) if name in values} if method else {}
    upsampler = method is not None and not issubclass(METHODS[method], Adapter)
    return PromptTunedCLIPSeg(base_model, CLASSES, method, arguments, upsampler, unfreeze)


def leave_identity(trained: Iterable[Tensor]) -> None:
    """Fill an adapter's zero matrices and biases, because adapters that are the identity agree wherever they are."""
    for parameter in trained:
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)


def training_step(network: nn.Module, forward: Callable[[], Tensor], label: Tensor) -> TrainingStep:
    """Return a training step of a project's network, with loss and optimizer of the bundles."""
    optimizer = torch.optim.AdamW(parameter_groups(network, 1e-3), 1e-3, fused=True)
    return TrainingStep(forward, label, PairDiceCELoss(), optimizer)


class Workloads:
    """A method's network and its reference, with equal but separate weights.

    Args:
        base_model: the loaded base model.
        method: name of the method.
        depth: number of layers with prompts, or of each encoder's layers with bottlenecks.
        batch: number of images.
        size: height and width of the images in pixels.
        device: device of both.
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
        network = build_network(base_model, method, depth)
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if isinstance(network.method, Adapter):
            leave_identity(trained)
        twin = copy_modules(network, unshared={id(parameter) for parameter in trained})
        model: nn.Module = original_modules(base_model.model)
        if isinstance(twin.method, Adapter):
            add_adapter(model, twin.method, twin.base)
        self.network = network.to(device)
        self.reference = ReferenceCLIPSeg(model, base_model.tokenizer, twin.method, twin.upsampler).to(device)
        self.mixed = False
        self.image = torch.randn(batch, 3, size, size, device=device)
        self.label = (torch.rand(batch, 1, size, size, device=device) < 0.3).float()
        self.text = [CLASSES[0]] * batch

    def compute_in(self, precision: str) -> Workloads:
        """Set the precision of the project's network: fp32, bf16 or fp16-amp."""
        self.network.compute_in(precision)
        self.mixed = precision == "fp16-amp"
        return self

    def difference(self) -> float:
        """Return the norm of the difference between both logits, relative to the norm of the reference's."""
        self.reference.eval(), self.network.eval()
        with torch.inference_mode():
            expected, actual = self.reference(self.image, self.text), self.segment(self.image, self.text)
        return ((expected - actual).norm() / expected.norm()).item()

    def segment(self, image: Tensor | ImageFeatures, text: Any) -> Tensor:
        """Run the project's network in its precision, as a bundle's run does."""
        with torch.autocast(self.label.device.type, torch.float16, enabled=self.mixed):
            return self.network(image, text)

    def training_steps(self, cached: bool = False) -> tuple[TrainingStep, TrainingStep]:
        """Return a step of the reference and one of the project.

        Args:
            cached: whether the project's step is one after the first epoch, with the features of each image in memory.
        """
        reference, network = self.reference.train(), self.network.train()
        trainable = [parameter for parameter in reference.parameters() if parameter.requires_grad]
        return (
            TrainingStep(
                lambda: reference(self.image, self.text),
                self.label,
                DiceCELoss(sigmoid=True, lambda_ce=0.2),
                torch.optim.AdamW(trainable, 1e-3),
            ),
            training_step(
                network, self._from_features() if cached else lambda: self.segment(self.image, self.text), self.label
            ),
        )

    def _from_features(self) -> Callable[[], Tensor]:
        """Encode the images; return the forward pass of a later epoch: read and collate features, and segment."""
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
        """Return inference on every image with these classes, of the reference and of the project."""
        self.network.eval()
        self.reference.eval()
        names = [list(class_names)] * len(self.image)

        def reference() -> Tensor:
            with torch.no_grad():
                return self.reference.segment(self.image, class_names)

        def project() -> Tensor:
            with torch.inference_mode():
                return self.segment(self.image, names)

        return reference, project
