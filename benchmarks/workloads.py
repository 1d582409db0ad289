"""The workloads that the table compares: training steps and inference, of the reference and of the project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from benchmarked_models import MODELS
from monai.losses import DiceCELoss
from torch import Tensor, nn
from torch.utils.data import default_collate

from monai_tunevlseg.feature_cache import MemoryStore
from monai_tunevlseg.methods import METHODS, Adapter, with_defaults
from monai_tunevlseg.networks import VLSMS, BaseModel, ImageFeatures, PromptTunedNetwork
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


def build_network(
    model: str, base_model: BaseModel, method: str | None, depth: int, unfreeze: str | None = None
) -> PromptTunedNetwork:
    """Build a network as the bundles do by default, with a depth.

    Args:
        model: registered name of the VLSM.
        base_model: the loaded base model.
        method: name of the method, or None.
        depth: number of layers with prompts, or of each encoder's layers with bottlenecks.
        unfreeze: trainable part of the base model.
    """
    values = {"prompt_depth": depth, "adapted_layers": depth, "dropout": 0.1}
    arguments = {name: values[name] for name in with_defaults(method, {}) if name in values} if method else {}
    upsampler = method is not None and not issubclass(METHODS[method], Adapter)
    return VLSMS[model](base_model, CLASSES, method, arguments, upsampler, unfreeze)


def leave_identity(trained: Iterable[Tensor]) -> None:
    """Fill an adapter's zero matrices and biases, because adapters that are the identity agree wherever they are."""
    for parameter in trained:
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)


def training_step(network: nn.Module, forward: Callable[[], Tensor], label: Tensor) -> TrainingStep:
    """Return a training step of a project's network, with loss and optimizer of the bundles."""
    optimizer = torch.optim.AdamW(parameter_groups(network, 1e-3), 1e-3, fused=True)
    return TrainingStep(forward, label, PairDiceCELoss(), optimizer)


class ProjectNetwork:
    """A network of the project, run in its precision as a bundle's run does.

    Args:
        network: the network.
    """

    def __init__(self, network: PromptTunedNetwork) -> None:
        self.network = network
        self.mixed = False

    def compute_in(self, precision: str) -> None:
        """Set the precision: fp32, bf16 or fp16-amp."""
        self.network.compute_in(precision)
        self.mixed = precision == "fp16-amp"

    def __call__(self, image: Tensor | ImageFeatures, text: Any) -> Tensor:
        """Segment images, or their features."""
        with torch.autocast(next(self.network.parameters()).device.type, torch.float16, enabled=self.mixed):
            return self.network(image, text)

    def forward_from_features(self, image: Tensor, text: Any) -> Callable[[], Tensor]:
        """Encode the images; return the forward pass of a later epoch: read and collate features, and segment."""
        with torch.no_grad():
            encoded = self.network.encode_image(image).to("cpu")
        store, rows, device = MemoryStore(2**30), range(len(image)), image.device
        for row in rows:
            store.put(str(row), {name: value[row] for name, value in encoded.items()})

        def forward() -> Tensor:
            features = default_collate([ImageFeatures(store.get(str(row)) or {}) for row in rows])
            return self(features.to(device), text)

        return forward


class Workloads:
    """A method's network and its reference, with equal but separate weights.

    The workloads of one side do not hold the other, so that its memory can be freed.

    Args:
        model: registered name of the VLSM.
        base_model: the loaded base model.
        method: name of the method.
        depth: number of layers with prompts, or of each encoder's layers with bottlenecks.
        batch: number of images.
        size: height and width of the images in pixels.
        device: device of both.
    """

    def __init__(
        self,
        model: str,
        base_model: BaseModel,
        method: str,
        depth: int,
        batch: int,
        size: int,
        device: torch.device,
    ) -> None:
        torch.manual_seed(0)
        network = build_network(model, base_model, method, depth)
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if isinstance(network.method, Adapter):
            leave_identity(trained)
        twin = copy_modules(network, unshared={id(parameter) for parameter in trained})
        self.reference = MODELS[model].build_reference(base_model.model, twin).to(device)
        self.project = ProjectNetwork(network.to(device))
        self.image = torch.randn(batch, 3, size, size, device=device)
        self.label = (torch.rand(batch, 1, size, size, device=device) < 0.3).float()
        self.text = [CLASSES[0]] * batch

    def differences(self, precisions: Iterable[str]) -> dict[str, float]:
        """Return the norm of the difference between both logits, relative to the norm of the reference's, by precision.

        The project's network is left in the last one.
        """
        self.reference.eval(), self.project.network.eval()
        with torch.inference_mode():
            expected = self.reference(self.image, self.text)
        differences = {}
        for precision in precisions:
            self.project.compute_in(precision)  # makes weights, which training reads too
            with torch.inference_mode():
                actual = self.project(self.image, self.text)
            differences[precision] = ((expected - actual).norm() / expected.norm()).item()
        return differences

    def training_steps(self, cached: bool = False) -> tuple[TrainingStep, TrainingStep]:
        """Return a step of the reference and one of the project.

        Args:
            cached: whether the steps are those after the first epoch: the project has the features of each image in
                memory, and the reference reuses what transformers' model can.
        """
        reference, project = self.reference.train(), self.project
        project.network.train()
        image, text = self.image, self.text
        reused = reference.reusable(image) if cached else image
        trainable = [parameter for parameter in reference.parameters() if parameter.requires_grad]
        forward = project.forward_from_features(image, text) if cached else lambda: project(image, text)
        return (
            TrainingStep(
                lambda: reference(reused, text),
                self.label,
                DiceCELoss(sigmoid=True, lambda_ce=0.2),
                torch.optim.AdamW(trainable, 1e-3),
            ),
            training_step(project.network, forward, self.label),
        )

    def inferences(self, class_names: Sequence[str]) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
        """Return inference on every image with these classes, of the reference and of the project."""
        reference, project, image = self.reference.eval(), self.project, self.image
        project.network.eval()
        names = [list(class_names)] * len(image)

        def infer_reference() -> Tensor:
            with torch.no_grad():
                return reference.segment(image, class_names)

        def infer_project() -> Tensor:
            with torch.inference_mode():
                return project(image, names)

        return infer_reference, infer_project
