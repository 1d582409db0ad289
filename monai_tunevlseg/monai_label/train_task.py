"""Training of a bundle on submitted labels with its own configs, as MONAI Label's training task."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.train import TrainTask

from monai_tunevlseg.atomic_files import atomic_file, write_text_atomically
from monai_tunevlseg.bundle_processes import bundle_command
from monai_tunevlseg.calibration import CALIBRATION, remove_calibration
from monai_tunevlseg.data.io.file_suffixes import stem_of
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.monai_label.bundle_model import BundleModel, file_version
from monai_tunevlseg.monai_label.datastore import FolderDatastore
from monai_tunevlseg.monai_label.training_dataset import SubmittedLabel, write_training_dataset
from monai_tunevlseg.monai_label.training_options import parse_training_options
from monai_tunevlseg.training import CHECKPOINT, HYPERPARAMETERS
from monai_tunevlseg.untrusted_values import refuse_expressions

__all__ = ["BundleTraining"]

logger = logging.getLogger(__name__)

STATS = "label_training.json"
BUNDLE_OPTIONS = ("learning_rate", "batch_size", "effective_batch_size")


class BundleTraining(TrainTask):
    """Trains a bundle on the submitted labels, and keeps the better of the old and the new checkpoint.

    Training and validation run in child processes, which log to the server's log and free their memory at the end.
    """

    def __init__(self, model: BundleModel) -> None:
        super().__init__(f"Trains {model.name} on the submitted labels")
        self.model = model
        self._read: tuple[str | None, dict[str, Any]] | None = None

    def config(self) -> dict[str, Any]:
        """Return the options that clients show, and send back as edited.

        MONAI Label asks at every request, so the file is read anew only when it changes.
        """
        version = file_version(self.model.train_config)
        if self._read is None or self._read[0] != version:
            self._read = version, _training_options(self.model.train_config)
        return dict(self._read[1])

    def stats(self) -> dict[str, Any]:
        """Return the result of the last training."""
        try:
            return read_json_object(self.model.checkpoint.parent / STATS)
        except FileNotFoundError:
            return {}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train.

        Args:
            request: the options of :func:`parse_training_options`. ``val_split`` is the share of images for validation;
                ``pretrained`` continues from the current checkpoint.
            datastore: the labels.

        Returns:
            the validation Dice of the old and the new checkpoint in percent, and which one is kept.

        Raises:
            ValueError: when an option is wrong, or fewer than two labels can be read.
            RuntimeError: when a run of the bundle fails.
        """
        options = self.config() | parse_training_options(request)
        with tempfile.TemporaryDirectory() as temporary:
            run = _BundleRunner(self.model, Path(temporary))
            labels = _submitted_labels(datastore)
            splits = write_training_dataset(labels, self.model.class_names, run.data, options["val_split"])
            logger.info("Training on %d images, validating on %d.", len(splits["train"]), len(splits["val"]))
            old = self.model.checkpoint if self.model.checkpoint.is_file() else None
            new = run.train(
                {"epochs": options["max_epochs"]} | {name: options[name] for name in BUNDLE_OPTIONS},
                old if options["pretrained"] else None,
            )
            result = {
                "old_dice": run.dice(old) if old else None,
                "new_dice": run.dice(new),
                "images": len(splits["train"]) + len(splits["val"]),
            }
            return self._keep_better(new, result)

    def _keep_better(self, new: Path, result: dict[str, Any]) -> dict[str, Any]:
        better = result["old_dice"] is None or result["new_dice"] > result["old_dice"]
        result["kept"] = "new" if better else "old"
        result["best_metric"] = result["new_dice"] if better else result["old_dice"]
        logger.info(
            "Validation Dice in percent: old %s, new %s; the %s checkpoint is kept.",
            result["old_dice"],
            result["new_dice"],
            result["kept"],
        )
        if better:
            remove_calibration(self.model.checkpoint)  # a request in between finds none, not that of the old one
            for path in (new.with_name(name) for name in (HYPERPARAMETERS, CHECKPOINT.name, CALIBRATION)):
                if path.is_file():
                    with atomic_file(self.model.checkpoint.with_name(path.name)) as unfinished:
                        unfinished.write_bytes(path.read_bytes())
        write_text_atomically(self.model.checkpoint.parent / STATS, json.dumps(result))
        return result


class _BundleRunner:
    """Runs a bundle's configs on one dataset, which is in a folder with all results."""

    def __init__(self, model: BundleModel, folder: Path) -> None:
        self.model = model
        self.folder = folder
        self.data = folder / "data"

    def train(self, options: dict[str, Any], initial_checkpoint: Path | None) -> Path:
        """Train, and return the checkpoint with the highest validation Dice."""
        overlay = options | {"ckpt_dir": str(self.folder / "models"), "show_progress": False}
        overlay["initial_checkpoint"] = None if initial_checkpoint is None else str(initial_checkpoint)
        self._run("train", overlay)
        return self.folder / "models" / "model.pt"

    def dice(self, checkpoint: Path) -> float:
        """Return the validation Dice of a checkpoint in percent."""
        quick = {"num_overlays": 0, "save_masks": False, "bootstrap_resamples": 100}
        output = self._run("evaluate", quick | {"ckpt_path": str(checkpoint), "split": "val"})
        return float(read_json_object(output / "metrics.json")["dice"])

    def _run(self, config: str, overlay: dict[str, Any]) -> Path:
        output = self.folder / config
        common = {
            "bundle_root": str(self.model.folder),
            "dataset_dir": str(self.data),
            "class_names": self.model.class_names,
            "layout": "folder",
            "splits_file": str(self.data / "splits.json"),
            "label_values": None,
            "mask_threshold": None,
            "output_dir": str(output),
            "num_workers": 0,
        }
        overlay_file = self.folder / f"{config}.json"
        refuse_expressions(common | overlay, f"the training of {self.model.name}")
        overlay_file.write_text(json.dumps(common | overlay), encoding="utf-8")
        configs = self.model.folder / "configs"
        logging_file = {"logging_file": configs / "logging.conf"}
        command = bundle_command([configs / f"{config}.yaml", overlay_file], logging_file)
        _log_lines(command, f"{config}.yaml of {self.model.name}")
        return output


def _training_options(config: Path) -> dict[str, Any]:
    parser = ConfigParser()
    parser.read_config(str(config))
    options = {name: parser.get_parsed_content(name) for name in BUNDLE_OPTIONS}
    return {"max_epochs": parser.get_parsed_content("epochs"), "val_split": 0.2, "pretrained": True, **options}


def _log_lines(command: list[str], what: str) -> None:
    """Run a command, and log its output line by line; the last line is the reason for a failure."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, errors="replace", env=environment, **streams) as process:
        last = ""
        for line in process.stdout or ():
            logger.info("%s", line.rstrip())
            last = line.strip() or last
    if process.returncode:
        raise RuntimeError(f"{what} failed: {last}")


def _submitted_labels(datastore: Datastore) -> list[SubmittedLabel]:
    if isinstance(datastore, FolderDatastore):
        return datastore.submitted_labels()
    labels = []
    for pair in datastore.datalist():
        image, label = Path(pair["image"]), Path(pair["label"])
        labels.append(SubmittedLabel(image, label, datastore.get_label_info(stem_of(image), DefaultLabelTag.FINAL)))
    return labels
