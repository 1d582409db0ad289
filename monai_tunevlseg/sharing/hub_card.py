"""The model card of a bundle on the Hugging Face hub: its ``docs/README.md`` after facts in YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from monai_tunevlseg.json_files import read_json_object

__all__ = ["render_hub_card"]

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
LICENSES = {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0"} | {
    *("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cc-by-nd-4.0", "gpl-3.0", "agpl-3.0", "openrail"),
}
"""Licenses by their names on the hub, those that weights commonly have; it knows all others as ``other``."""
TASK = "image-segmentation"


def render_hub_card(folder: Path) -> str:
    """Return the ``README.md`` of a bundle's repository on the hub.

    The license is that of the weights, because a page of the hub is about them; the configs have a ``LICENSE``.

    Args:
        folder: folder of the bundle.

    Raises:
        FileNotFoundError: when the bundle has no metadata or no model card.
        ValueError: when the metadata is not a JSON object.
    """
    card = folder / "docs" / "README.md"
    if not card.is_file():
        raise FileNotFoundError(f"no file {card}; push a bundle that tunevlseg share has written.")
    facts = _card_data(read_json_object(folder / "configs" / "metadata.json"), folder.name)
    return f"---\n{facts.to_yaml()}\n---\n\n{card.read_text(encoding='utf-8')}"


def _card_data(metadata: Mapping[str, Any], name: str) -> ModelCardData:
    """Return the facts that the hub reads, from the metadata of a bundle."""
    base, dataset = str(metadata.get("base_model", {}).get("id", "")), str(metadata.get("dataset", {}).get("name", ""))
    results = list(_eval_results(metadata))
    facts: dict[str, Any] = _license(metadata.get("weights_license"))
    return ModelCardData(
        library_name="monai",
        pipeline_tag=TASK,
        tags=["monai", "medical", "tunevlseg"],
        base_model=base if HUB_ID.fullmatch(base) else None,
        datasets=[dataset] if dataset else None,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=name if results else None,
        eval_results=results or None,
        **facts,
    )


def _license(stated: str | None) -> dict[str, str]:
    """Return the license by its name on the hub."""
    if not stated:
        return {"license": "unknown"}
    name = re.sub(r"\s+", "-", stated.strip().lower())
    return {"license": name} if name in LICENSES else {"license": "other", "license_name": name}


def _eval_results(metadata: Mapping[str, Any]) -> Iterator[EvalResult]:
    """Yield the means of the metadata, which are fractions of 1 or distances."""
    measured, dataset = metadata.get("eval_metrics", {}), metadata.get("dataset", {})
    for key, value in measured.items():
        if key.startswith("mean_"):
            score = key.removeprefix("mean_").removesuffix("_foreground")
            pairs = "pairs with foreground" if key.endswith("_foreground") else "all pairs"
            yield EvalResult(
                task_type=TASK,
                dataset_type=str(dataset.get("name", "unknown")),
                dataset_name=str(dataset.get("title", "unknown")),
                dataset_split=str(measured.get("split", "")) or None,
                metric_type=score,
                metric_name=f"{score.replace('_', ' ')}, {pairs}",
                metric_value=value,
            )
