"""A network that predicts by color, and the run of a bundle's evaluation with it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from PIL import Image
from torch import nn

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
CONFIG = BUNDLES / "clipseg_vpt" / "configs" / "evaluate.yaml"
COLORS = ("red", "green", "blue")


class ColorNetwork(nn.Module):
    """Predicts a text that ends with the name of a color where the image has more than half of it, others nowhere."""

    def __init__(self):
        super().__init__()
        self.anything = nn.Parameter(torch.zeros(2, 3), requires_grad=False)
        self.calls = []

    def get_extra_state(self):
        return torch.tensor(list(json.dumps({"method": None}).encode()), dtype=torch.uint8)

    def set_extra_state(self, state):
        raise AssertionError("nothing is loaded")

    def forward(self, image, text):
        self.calls.append((len(image), text))
        colors = torch.cat([image, torch.zeros_like(image[:, :1])], dim=1)
        names = [[words.split()[-1] for words in texts] for texts in text]
        channels = [[COLORS.index(name) if name in COLORS else 3 for name in of_image] for of_image in names]
        return torch.stack([colors[index, of_image] for index, of_image in enumerate(channels)]) - 0.5


class SidedNetwork(ColorNetwork):
    """Predicts the left half for a text that begins with "left", whatever the image shows, others like its base."""

    def forward(self, image, text):
        logits = super().forward(image, text)
        sided = torch.tensor([[words.startswith("left") for words in texts] for texts in text])
        left = torch.where(torch.arange(image.shape[3]) < image.shape[3] // 2, 1.0, -1.0)
        return torch.where(sided[:, :, None, None], left, logits)


def write_image(folder, name, predictions, masks):
    """Write an image whose channels are predictions, and its label map of 1, 2, 3 for the colors' masks."""
    channels = [np.asarray(mask, np.uint8) * 255 for mask in predictions]
    channels += [np.zeros_like(channels[0])] * (3 - len(channels))
    labels = np.zeros(channels[0].shape, np.uint8)
    for value, mask in enumerate(masks, start=1):
        labels[np.asarray(mask, bool)] = value
    for sub, pixels in (("images", np.stack(channels, -1)), ("masks", labels)):
        (folder / sub).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / sub / f"{name}.png")


def split_all_to_test(folder):
    stems = sorted(path.stem for path in (folder / "images").iterdir())
    (folder / "splits.json").write_text(json.dumps({"train": stems[:1], "val": stems[:1], "test": stems}))


def evaluate(folder, output_dir, image_size=8, watch=None, **overrides):
    """Run the bundle's evaluate.yaml; return the workflow, metrics.json and the rows of pairs.csv.

    ``watch`` is called with the evaluator after each batch.
    """
    arguments = {
        "dataset_dir": str(folder),
        "output_dir": str(output_dir),
        "class_names": list(COLORS),
        "network_def": {"_target_": "color_network.ColorNetwork"},
        "precise_network": "@network_def",
        "method": None,
        "upsampler": False,
        "image_size": image_size,
        "image_mean": [0.0, 0.0, 0.0],
        "image_std": [1.0, 1.0, 1.0],
        "num_workers": 0,
        "device": "cpu",
        "bootstrap_resamples": 200,
    }
    workflow = ConfigWorkflow(str(CONFIG), workflow_type="infer", logging_file=False, **arguments | overrides)
    workflow.initialize()
    if watch is not None:
        workflow.evaluator.add_event_handler(Events.ITERATION_COMPLETED, watch)
    workflow.run()
    workflow.finalize()
    metrics = json.loads((output_dir / "metrics.json").read_text())
    with (output_dir / "pairs.csv").open(newline="") as file:
        return workflow, metrics, list(csv.DictReader(file))
