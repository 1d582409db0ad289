"""The model card of a shared bundle, ``docs/README.md``, and ``docs/data_license.txt``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import metadata, version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from monai_tunevlseg.evaluation import PAIR_METRICS
from monai_tunevlseg.markdown import escape_markdown
from monai_tunevlseg.sharing.bundle_spec import BundleSpec, Release

__all__ = ["render_data_license", "render_model_card"]

_SCORE_TITLES = {
    "dice": "Dice, model resolution",
    "iou": "IoU, model resolution",
    "dice_original": "Dice, image resolution",
    "iou_original": "IoU, image resolution",
    "hd95": "95th percentile Hausdorff distance",
    "surface_dice": "surface Dice",
}


@dataclass(frozen=True)
class _ScoreRow:
    """A row of the table of scores."""

    title: str
    mean: float
    unit: str
    interval: tuple[float, float] | None
    pairs: int


def render_model_card(spec: BundleSpec, release: Release, identity: Mapping[str, Any], num_parameters: int) -> str:
    """Return the content of ``docs/README.md``; network and number of parameters are those of the checkpoint."""
    return _render(
        "README.md",
        _escape,
        spec=spec,
        facts=spec.facts,
        release=release,
        identity=identity,
        num_parameters=num_parameters,
        metrics=spec.metrics,
        rows=[] if spec.metrics is None else list(_score_rows(spec.metrics)),
        public=spec.public_dataset,
        tags=_tags(spec),
        python=metadata("monai_tunevlseg")["Requires-Python"].removeprefix(">="),
        packages={package: version(package).partition("+")[0] for package in ("monai_tunevlseg", "monai", "torch")},
    )


def _tags(spec: BundleSpec) -> list[str]:
    """Return tags that describe task, data and model."""
    public, facts = spec.public_dataset, spec.facts
    data = [public.modality, public.organ] if public else ["synthetic images"]
    kind = ["vision-language model"] if spec.base else []
    model, method = facts["model"]["title"], facts["method"]["title"]
    return ["segmentation", *data, *spec.class_names, *kind, model, method]


def render_data_license(spec: BundleSpec) -> str:
    """Return the content of ``docs/data_license.txt``."""
    return _render("data_license.txt", None, title=spec.facts["dataset"]["title"], public=spec.public_dataset)


def _render(template: str, finalize: Callable[[Any], Any] | None, **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("monai_tunevlseg.sharing"),
        autoescape=False,  # noqa: S701 - Markdown, which has its own escape, and plain text
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)


def _escape(value: Any) -> Any:
    """Escape texts for Markdown, because checkpoints and metrics may come from strangers."""
    return escape_markdown(value) if isinstance(value, str) else value


def _score_rows(metrics: Mapping[str, Any]) -> Iterator[_ScoreRow]:
    """Yield the rows of all classes together and, with several classes, of each class."""
    parts = [("all classes", metrics), *metrics["classes"].items()] if len(metrics["classes"]) > 1 else [("", metrics)]
    for label, part in parts:
        for score, score_title in _SCORE_TITLES.items():
            for name, subset in ((score, "all pairs"), (f"{score}_foreground", "pairs with foreground")):
                if part.get(name) is None:
                    continue
                count = "pairs_with_foreground" + (
                    "_original" if PAIR_METRICS[score].area.endswith("_original") else ""
                )
                pairs = part[count] if name != score else part.get(f"pairs_with_{score}", part["pairs"])
                title = ", ".join(text for text in (label, score_title, subset) if text)
                interval = part["intervals"].get(name)
                bounds = None if interval is None else tuple(interval)
                yield _ScoreRow(title, part[name], PAIR_METRICS[score].unit, bounds, pairs)
