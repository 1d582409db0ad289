"""The ``metadata.json`` of a shared bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from monai_tunevlseg.evaluation import PAIR_METRICS
from monai_tunevlseg.sharing.bundle_spec import BundleSpec, Release

__all__ = ["render_metadata"]

_VERSION_KEYS = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}


def render_metadata(template: str, spec: BundleSpec, release: Release, checkpoint_digest: str) -> str:
    """Return the content of ``metadata.json``; ``template`` is that of the experiment's bundle."""
    content = json.loads(template)
    channels = {str(index): text for index, text in enumerate(spec.class_names)}
    classes, dataset = ", ".join(spec.class_names), spec.public_dataset
    _set_data_format(content["network_data_format"], spec.image_size, dataset.modality if dataset else "n/a", channels)
    content |= {
        "version": release.version,
        "changelog": {release.version: release.changelog},
        **{key: _version(package) for key, package in _VERSION_KEYS.items()},
        "required_packages_version": {package: _version(package) for package in content["required_packages_version"]},
        "name": spec.title,
        "task": f"Segmentation of {classes}{' by text' if spec.base else ''}",
        "description": spec.description,
        "authors": release.authors,
        "copyright": f"Copyright (c) {release.authors}",
        "weights_license": release.weights_license,
        "checkpoint_digest": checkpoint_digest,
        "dataset": {key: spec.facts["dataset"][key] for key in ("name", "title")},
        "data_source": _data_source(spec),
        "label_classes": f"binary masks of {classes}",
        "pred_classes": "one logit channel per class: " + ", ".join(f"{k} = {text}" for k, text in channels.items()),
    }
    if spec.base is not None:
        content["base_model"] = {"id": spec.base.id, "fingerprint": spec.base.fingerprint}
    if dataset is not None:
        content["references"].append(dataset.reference)
    if spec.calibration is not None:  # TorchScript files contain the metadata
        content["calibration"] = {
            name: {"temperature": fitted.temperature, "threshold": fitted.threshold}
            for name, fitted in spec.calibration.classes.items()
        }
    if spec.metrics is not None:
        content["eval_metrics"] = _eval_metrics(spec.metrics)
    return json.dumps(content, indent=4, ensure_ascii=False) + "\n"


def _data_source(spec: BundleSpec) -> str:
    dataset = spec.public_dataset
    return (
        f"{dataset.title}, {dataset.source}" if dataset else f"{spec.facts['dataset']['title']}, drawn by this package"
    )


def _set_data_format(data_format: dict[str, Any], image_size: int, modality: str, channels: Mapping[str, str]) -> None:
    """Set the spatial shape of all tensors, the modality of the input and the channels of the output."""
    output = data_format["outputs"]["pred"]
    data_format["inputs"]["image"]["modality"] = modality
    for tensor in (*data_format["inputs"].values(), output):
        tensor["spatial_shape"] = [image_size, image_size]
    output |= {"num_channels": len(channels), "channel_def": dict(channels)}


def _version(package: str) -> str:
    return version(package).partition("+")[0]  # without the local version of CPU and CUDA builds


def _eval_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the means as fractions of 1, as in the Model Zoo; with several classes, also those of each class."""
    measured = {"split": metrics["split"], "pairs": metrics["pairs"], **_means(metrics)}
    if len(metrics["classes"]) > 1:
        measured["classes"] = {name: _means(part) for name, part in metrics["classes"].items()}
    return measured


def _means(part: Mapping[str, Any]) -> dict[str, float]:
    return {
        f"mean_{name}": round(part[name] / PAIR_METRICS[name.removesuffix("_foreground")].factor, 4)
        for score in PAIR_METRICS
        for name in (score, f"{score}_foreground")
        if part.get(name) is not None
    }
