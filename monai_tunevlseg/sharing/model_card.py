"""The documents of a shared bundle: ``metadata.json``, the model card, the license of the data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.data.demo_datasets import DEMO_DATASETS
from monai_tunevlseg.data.layouts import DatasetInfo
from monai_tunevlseg.evaluation import PAIR_METRICS
from monai_tunevlseg.markdown import escape_markdown
from monai_tunevlseg.sharing.bundle_spec import BundleSpec, Release

__all__ = ["data_license", "metadata", "model_card"]

_MEANINGS = {
    "dice": "Dice, model's resolution",
    "iou": "IoU, model's resolution",
    "dice_original": "Dice, image's resolution",
    "iou_original": "IoU, image's resolution",
    "hd95": "95 % Hausdorff distance",
    "surface_dice": "surface Dice",
}
_OWN_NAMES = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}


@dataclass(frozen=True)
class _Row:
    """A line of the card's table of metrics."""

    what: str
    mean: float
    unit: str
    interval: tuple[float, float] | None
    pairs: int


def metadata(template: str, spec: BundleSpec, release: Release, name: str) -> str:
    """Return ``metadata.json``.

    Args:
        template: that of the experiment's bundle.
        spec: what the bundle is about.
        release: what a person says of it.
        name: the bundle's.
    """
    content = json.loads(template)
    facts, classes = spec.facts, spec.class_names
    channels = {str(index): text for index, text in enumerate(classes)}
    content["network_data_format"]["outputs"]["pred"] |= {"num_channels": len(classes), "channel_def": channels}
    for tensor in (
        *content["network_data_format"]["inputs"].values(),
        content["network_data_format"]["outputs"]["pred"],
    ):
        tensor["spatial_shape"] = [_image_size(spec)] * 2
    content |= {
        "version": release.version,
        "changelog": {release.version: release.changelog},
        **{key: _version(package) for key, package in _OWN_NAMES.items()},
        "required_packages_version": {package: _version(package) for package in content["required_packages_version"]},
        "name": name,
        "task": f"Segmentation of {', '.join(classes)} by text",
        "description": _description(spec),
        "authors": release.authors,
        "copyright": f"Copyright (c) {release.authors}",
        "data_source": _data_source(spec),
        "label_classes": f"binary masks of {', '.join(classes)}",
        "pred_classes": "one logit channel per class: " + ", ".join(f"{k} = {text}" for k, text in channels.items()),
        "base_model": {"id": spec.base.id, "fingerprint": spec.base.fingerprint},
    }
    content["references"] += [] if (known := _public(spec)) is None else [known.reference]
    if (metrics := _metrics(spec)) is not None:
        content["eval_metrics"] = _measured(metrics)
    content["title"] = f"{facts['model']['title']} with {facts['method']['title']} on {facts['dataset']['title']}"
    return json.dumps(content, indent=4, ensure_ascii=False) + "\n"


def model_card(spec: BundleSpec, release: Release, name: str, identity: Mapping[str, Any], weights: int) -> str:
    """Return ``docs/README.md``.

    Args:
        spec: what the bundle is about.
        release: what a person says of it.
        name: the bundle's.
        identity: what the checkpoint says of its network.
        weights: how many numbers the checkpoint holds.
    """
    metrics = _metrics(spec)
    return _render(
        "README.md",
        _markdown,
        spec=spec,
        facts=spec.facts,
        release=release,
        name=name,
        identity=identity,
        weights=weights,
        metrics=metrics,
        rows=[] if metrics is None else list(_rows(metrics)),
        public=_public(spec),
        image_size=_image_size(spec),
        description=_description(spec),
    )


def data_license(spec: BundleSpec) -> str:
    """Return ``docs/data_license.txt``."""
    values = {"spec": spec, "title": spec.facts["dataset"]["title"], "public": _public(spec)}
    return _render("data_license.txt", None, **values)


def _render(template: str, finalize: Callable[[Any], Any] | None, **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("monai_tunevlseg.sharing"),
        autoescape=False,  # noqa: S701 - Markdown, with an escape of its own, and plain text
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)


def _markdown(value: Any) -> Any:
    """Escape texts: class names come from checkpoints and metrics of others."""
    return escape_markdown(value) if isinstance(value, str) else value


def _metrics(spec: BundleSpec) -> dict[str, Any] | None:
    return None if spec.run is None else spec.run.metrics


def _image_size(spec: BundleSpec) -> int:
    size = spec.values["image_size"]
    return size if isinstance(size, int) else spec.base.images.size


def _version(package: str) -> str:
    return version(package).partition("+")[0]  # without the mark of a CPU or CUDA build


def _public(spec: BundleSpec) -> DatasetInfo | None:
    """Return what is known of the dataset; None for the demo sets, which this package draws."""
    dataset = spec.facts["dataset"]["name"]
    return None if dataset in DEMO_DATASETS else LAYOUTS[dataset].info


def _description(spec: BundleSpec) -> str:
    facts = spec.facts
    text = (
        f"{facts['model']['title']} adapted to {facts['dataset']['title']}: {facts['method']['title']} "
        f"{facts['method']['summary']}."
    )
    return text if spec.run else f"{text} Not trained yet: the weights are those that training starts from."


def _data_source(spec: BundleSpec) -> str:
    known = _public(spec)
    return (
        f"{spec.facts['dataset']['title']}, drawn by this package"
        if known is None
        else f"{known.title}, {known.source}"
    )


def _measured(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the means as the zoo writes them, shares of 1; those of the classes are below, when there are several."""
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


def _rows(metrics: Mapping[str, Any]) -> Iterator[_Row]:
    parts = [("all classes", metrics), *metrics["classes"].items()] if len(metrics["classes"]) > 1 else [("", metrics)]
    for of, part in parts:
        for score, meaning in _MEANINGS.items():
            for name, which in ((score, "all pairs"), (f"{score}_foreground", "with foreground")):
                if part.get(name) is None:
                    continue
                count = "pairs_with_foreground" + (
                    "_original" if PAIR_METRICS[score].area.endswith("_original") else ""
                )
                pairs = part[count] if name != score else part.get(f"pairs_with_{score}", part["pairs"])
                what = ", ".join(text for text in (of, meaning, which) if text)
                interval = part["intervals"].get(name)
                yield _Row(
                    what, part[name], PAIR_METRICS[score].unit, None if interval is None else tuple(interval), pairs
                )
