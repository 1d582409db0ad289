"""Checking a written bundle as whoever downloads it would use it; nothing in its folder changes."""

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

SIDE = 40  # of the smoke test's pictures, in pixels
PICTURES = 3  # one for each split
PLAIN_FOLDER = {
    "layout": "folder",
    **dict.fromkeys(
        ("splits_file", "label_values", "mask_threshold", "mask_ending", "group_pattern", "neutral_text"), "null"
    ),
    "text_source": "class_name",
    "num_workers": 0,
}
"""What makes any experiment read an ordinary folder."""


@dataclass(frozen=True)
class CheckResult:
    """What one check has found.

    Attributes:
        name: of the check.
        problem: a sentence; None = all is well.
        skipped: why it could not be made; None = it was.
    """

    name: str
    problem: str | None = None
    skipped: str | None = None


class SkippedError(Exception):
    """A check that cannot be made here."""


def verify_bundle(
    folder: str | Path, pretrained: str | Path | None = None, schema: str | Path | None = None
) -> Iterator[CheckResult]:
    """Check a bundle and yield each finding as it comes.

    Args:
        folder: the bundle's.
        pretrained: where this machine has the base model; None = as the bundle says.
        schema: MONAI's schema of metadata as a file; None = MONAI fetches it once.
    """
    folder = Path(folder)
    with tempfile.TemporaryDirectory(prefix="tunevlseg_") as temporary, _quiet():
        bundle = _Bundle(folder, Path(temporary), None if pretrained is None else str(pretrained))
        checks: dict[str, Callable[[], None]] = {
            "metadata follow MONAI's schema": lambda: _check_schema(folder, schema),
            "input and output are those of the metadata": bundle.check_network,
            "configs have the properties that MONAI asks for": bundle.check_properties,
            "TorchScript export gives the network's output": bundle.check_torchscript,
            "inference writes masks": bundle.check_inference,
        }
        for name, check in checks.items():
            try:
                with unwrapped_errors():
                    check()
            except SkippedError as reason:
                yield CheckResult(name, skipped=str(reason))
            except Exception as error:  # whatever breaks is what is to be reported
                yield CheckResult(name, problem=f"{type(error).__name__}: {str(error).strip() or 'no reason given'}")
            else:
                yield CheckResult(name)


class _Bundle:
    """The checks that build something.

    Args:
        folder: the bundle's.
        work: a temporary folder.
        pretrained: where this machine has the base model.
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
        """Build what a config describes, on a few small pictures."""
        data, output = self.work / "data", self.work / Path(name).stem
        values = ConfigParser.load_config_file(self.config(name))
        if not data.is_dir():
            _write_pictures(data, len(values["class_names"]))
        more: dict[str, Any] = {
            **PLAIN_FOLDER,
            "dataset_dir": str(data),
            "output_dir": str(output),
            "ckpt_dir": str(output),
        }
        known = {key: value for key, value in more.items() if key in values} | self.overrides
        made = ConfigWorkflow(self.config(name), workflow_type=kind, logging_file=False, **known)
        made.initialize()
        return made

    def check_network(self) -> None:
        """Run the network once, from each config that people start with."""
        for name in ("train.yaml", "inference.yaml"):
            verify_net_in_out(
                net_id="network_def", meta_file=self.metadata, config_file=self.config(name), **self.overrides
            )

    def check_properties(self) -> None:
        """Look for all that MONAI's workflows need."""
        kinds = {"train.yaml": "train", "evaluate.yaml": "infer", "inference.yaml": "infer"}
        for name, kind in {**kinds, "train.json": "train", "inference.json": "infer"}.items():
            made = self.workflow(name, kind)
            if missing := made.check_properties():
                raise ValueError(f"{name} has no {', '.join(missing)}.")
            made.finalize()

    def check_torchscript(self) -> None:
        """Export as ``python -m monai.bundle ckpt_export --use_trace True`` does, and compare."""
        target = self.work / "model.ts"
        ckpt_export(
            net_id="network_def",
            filepath=str(target),
            ckpt_file=str(self.folder / CHECKPOINT),
            meta_file=self.metadata,
            config_file=self.config("inference.yaml"),
            use_trace=True,
            **self.overrides,
        )
        segmenter = load_for_export(self.folder, self.overrides.get("pretrained"))
        images = torch.rand(2, 3, *segmenter.inferer.image_size)
        with torch.no_grad():
            wanted = segmenter.network(images)
            torch.testing.assert_close(torch.jit.load(target)(images), wanted, rtol=1e-4, atol=1e-4)

    def check_inference(self) -> None:
        """Infer a few pictures from files to files."""
        made = self.workflow("inference.yaml", "infer")
        made.run()
        written = sorted((self.work / "inference" / "masks").glob("*.png"))
        sizes = {Image.open(path).size for path in written}
        if len(written) != PICTURES or sizes != {(SIDE, SIDE)}:
            raise ValueError(f"{len(written)} masks of the sizes {sizes} came out for {PICTURES} pictures.")


def _check_schema(folder: Path, schema: str | Path | None) -> None:
    metadata = folder / "configs" / "metadata.json"
    url = str(ConfigParser.load_config_file(metadata)["schema"])
    file = Path(schema) if schema is not None else Path(torch.hub.get_dir()).parent / "monai" / url.rpartition("/")[2]
    if schema is not None and not file.is_file():
        raise FileNotFoundError(f"there is no schema {file}; pass --schema with a copy of {url}.")
    if not file.is_file():
        try:
            download_url(url, file, progress=False)
        except OSError as error:
            raise SkippedError(
                f"{url} could not be fetched ({error}); pass --schema with a copy of it to check."
            ) from error
    verify_metadata(meta_file=str(metadata), filepath=str(file))


def _write_pictures(folder: Path, num_classes: int) -> None:
    """Write noise with a square of every class."""
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for value in range(1, num_classes + 1):
            mask[value % 30 : value % 30 + 10, 5:15] = value
        for name, pixels in (("images", rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8)), ("masks", mask)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings and the logs of MONAI's runs out of what the command says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
