"""Verify a written bundle in the ways that its users run it, without changes to its folder."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.apps.utils import download_url
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out
from PIL import Image

from monai_tunevlseg.errors import unwrapped_errors
from monai_tunevlseg.sharing.onnx_export import load_for_export
from monai_tunevlseg.training import CHECKPOINT

__all__ = ["CheckResult", "verify_bundle"]

IMAGE_SIDE = 40  # pixels
NUM_IMAGES = 3  # one for each split
FOLDER_OPTIONS = {
    "layout": "folder",
    **dict.fromkeys(
        (
            *("splits_file", "label_values", "mask_threshold", "mask_ending", "group_pattern", "neutral_text"),
            *("text_sets", "num_shots", "train_fraction", "val_fraction"),
        ),
        "null",
    ),
    "text_source": "class_name",
    "negative_texts": 0,
    "num_workers": 0,
}
"""Hyperparameters for reading an ordinary folder of images and masks, for any experiment."""


@dataclass(frozen=True)
class CheckResult:
    """Result of a check.

    Attributes:
        name: name of the check.
        problem: reason of a failure; None = passed or skipped.
        skipped: reason for skipping the check; None = not skipped.
    """

    name: str
    problem: str | None = None
    skipped: str | None = None


class SkippedError(Exception):
    """A check cannot run on this machine."""


def verify_bundle(
    folder: str | Path, pretrained: str | Path | None = None, schema: str | Path | None = None
) -> Iterator[CheckResult]:
    """Run all checks of a bundle one by one, and yield their results.

    Args:
        folder: folder of the bundle.
        pretrained: folder of the base model on this machine; None = as in the bundle's configs.
        schema: file with MONAI's metadata schema; None = MONAI downloads it once.
    """
    folder = Path(folder)
    with tempfile.TemporaryDirectory(prefix="tunevlseg_") as temporary, _quiet():
        bundle = _BundleChecks(folder, Path(temporary), None if pretrained is None else str(pretrained))
        checks: dict[str, Callable[[], None]] = {
            "metadata follows MONAI's schema": lambda: _check_schema(folder, schema),
            "network input and output match the metadata": bundle.check_network,
            "configs have the properties that MONAI requires": bundle.check_properties,
            "TorchScript export matches the network": bundle.check_torchscript,
            "inference writes masks": bundle.check_inference,
        }
        for name, check in checks.items():
            try:
                with unwrapped_errors():
                    check()
            except SkippedError as reason:
                yield CheckResult(name, skipped=str(reason))
            except Exception as error:  # any error is reported
                yield CheckResult(name, problem=f"{type(error).__name__}: {str(error).strip() or 'no reason given'}")
            else:
                yield CheckResult(name)


class _BundleChecks:
    """Checks that build a network or a workflow.

    Args:
        folder: folder of the bundle.
        work: temporary folder.
        pretrained: folder of the base model on this machine; None = as in the bundle's configs.
    """

    def __init__(self, folder: Path, work: Path, pretrained: str | None) -> None:
        self.folder, self.work = folder, work
        self.metadata = str(folder / "configs" / "metadata.json")
        self.overrides: dict[str, Any] = {"bundle_root": str(folder), "device": "cpu"}
        if pretrained is not None:
            self.overrides["pretrained"] = pretrained

    def config(self, name: str) -> str:
        """Return the path of a config."""
        return str(self.folder / "configs" / name)

    def workflow(self, name: str, kind: str) -> ConfigWorkflow:
        """Build the workflow of a config, with a few small images as data."""
        data, output = self.work / "data", self.work / Path(name).stem
        values = ConfigParser.load_config_file(self.config(name))
        if not data.is_dir():
            _write_images(data, len(values["class_names"]))
        options: dict[str, Any] = {
            **FOLDER_OPTIONS,
            "dataset_dir": str(data),
            "output_dir": str(output),
            "ckpt_dir": str(output),
        }
        known = {key: value for key, value in options.items() if key in values} | self.overrides
        workflow = ConfigWorkflow(self.config(name), workflow_type=kind, logging_file=False, **known)
        workflow.initialize()
        return workflow

    def check_network(self) -> None:
        """Run the network once with ``train.yaml`` and once with ``inference.yaml``."""
        for name in ("train.yaml", "inference.yaml"):
            verify_net_in_out(
                net_id="network_def", meta_file=self.metadata, config_file=self.config(name), **self.overrides
            )

    def check_properties(self) -> None:
        """Check that all configs have the properties that MONAI's workflows require."""
        kinds = {"train.yaml": "train", "evaluate.yaml": "infer", "inference.yaml": "infer"}
        for name, kind in {**kinds, "train.json": "train", "inference.json": "infer"}.items():
            workflow = self.workflow(name, kind)
            if missing := workflow.check_properties():
                raise ValueError(f"{name} has no {', '.join(missing)}.")
            workflow.finalize()

    def check_torchscript(self) -> None:
        """Compare the output of ``python -m monai.bundle ckpt_export`` with the network's."""
        target = self.work / "model.ts"
        ckpt_export(
            net_id="network_def",
            filepath=str(target),
            ckpt_file=str(self.folder / CHECKPOINT),
            meta_file=self.metadata,
            config_file=self.config("inference.yaml"),
            **self.overrides,
        )
        segmenter = load_for_export(self.folder, self.overrides.get("pretrained"))
        images = torch.rand(2, 3, *segmenter.inferer.image_size)
        with torch.no_grad():
            wanted = segmenter.network(images)
            torch.testing.assert_close(torch.jit.load(target)(images), wanted, rtol=1e-4, atol=1e-4)

    def check_inference(self) -> None:
        """Segment a few images, from files to files."""
        workflow = self.workflow("inference.yaml", "infer")
        workflow.run()
        written = sorted((self.work / "inference" / "masks").glob("*.png"))
        sizes = {Image.open(path).size for path in written}
        if len(written) != NUM_IMAGES or sizes != {(IMAGE_SIDE, IMAGE_SIDE)}:
            raise ValueError(f"{len(written)} masks of sizes {sizes} for {NUM_IMAGES} images of side {IMAGE_SIDE}.")


def _check_schema(folder: Path, schema: str | Path | None) -> None:
    metadata = folder / "configs" / "metadata.json"
    url = str(ConfigParser.load_config_file(metadata)["schema"])
    file = Path(schema) if schema is not None else Path(torch.hub.get_dir()).parent / "monai" / url.rpartition("/")[2]
    if schema is not None and not file.is_file():
        raise FileNotFoundError(f"no file {file}; pass --schema with a copy of {url}.")
    if not file.is_file():
        try:
            download_url(url, file, progress=False)
        except OSError as error:
            raise SkippedError(f"{url} cannot be downloaded ({error}); pass --schema with a copy of it.") from error
    verify_metadata(meta_file=str(metadata), filepath=str(file))


def _write_images(folder: Path, num_classes: int) -> None:
    """Write images of noise, and masks with a square for each class."""
    rng = np.random.default_rng(0)
    for number in range(NUM_IMAGES):
        mask = np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8)
        for value in range(1, num_classes + 1):
            mask[value % 30 : value % 30 + 10, 5:15] = value
        for name, pixels in (("images", rng.integers(0, 255, (IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8)), ("masks", mask)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings and MONAI's logs, to keep them out of the command's output."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
