"""The result of a transfer, one JSON and one CSV file for each run; ``docs/transfer.md`` describes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_tunevlseg.atomic_files import write_text_atomically
from monai_tunevlseg.csv_files import write_csv
from monai_tunevlseg.json_files import read_json_object, schema_violation

__all__ = ["TRANSFER_FILE", "TransferResult", "read_transfer", "write_transfer"]

TRANSFER_FILE = "transfer.json"
FORMAT_VERSION = 1
TransferResult = dict[str, Any]
"""The content of ``transfer.json``."""
_NUMBER, _TEXT, _COUNT = {"type": ["number", "null"]}, {"type": "string"}, {"type": "integer", "minimum": 0}
_INTERVAL = {"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
_SUMMARY = {
    "type": "object",
    "required": ["id", "ood", "harmonic_mean"],
    "properties": {
        **dict.fromkeys(("id", "ood", "harmonic_mean"), {"type": "number"}),
        **dict.fromkeys(("id_interval", "ood_interval", "harmonic_mean_interval"), _INTERVAL),
    },
}
_DATASET = {
    "type": "object",
    "required": ["name", "part", "pairs", "images", "scores", "intervals"],
    "properties": {
        **dict.fromkeys(("name", "part"), _TEXT),
        **dict.fromkeys(("pairs", "images"), _COUNT),
        "seconds": _NUMBER,
        "seen_in_training": {"type": "object", "additionalProperties": {"type": "array", "items": _TEXT}},
        "scores": {"type": "object", "additionalProperties": _NUMBER},
        "intervals": {"type": "object", "additionalProperties": _INTERVAL},
    },
}
_SCORES = {
    "type": "object",
    "required": ["source", "targets", "summary"],
    "properties": {
        "source": _DATASET,
        "targets": {"type": "array", "items": _DATASET, "minItems": 1},
        "summary": {"type": "object", "additionalProperties": _SUMMARY},
    },
}
_SCHEMA = {
    "type": "object",
    "required": ["run", "trained_on", "checkpoint_digest", "tuned", "zero_shot"],
    "properties": {
        **dict.fromkeys(("run", "trained_on", "checkpoint_digest"), _TEXT),
        "tuned": _SCORES,
        "zero_shot": {"anyOf": [{"type": "null"}, _SCORES]},
    },
}


def write_transfer(folder: Path, result: Mapping[str, Any]) -> None:
    """Write ``transfer.json`` and ``transfer.csv``, atomically."""
    content = {"format_version": FORMAT_VERSION, **result}
    write_text_atomically(folder / TRANSFER_FILE, json.dumps(content, indent=2, allow_nan=False, default=str) + "\n")
    metrics = list(result["tuned"]["summary"])
    names = [f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high")]
    rows = [row for kind in ("tuned", "zero_shot") if result[kind] for row in _rows(kind, result[kind], metrics)]
    write_csv(folder / "transfer.csv", ["network", "role", "dataset", "part", "images", "pairs", *names], rows)


def read_transfer(folder: str | Path) -> TransferResult:
    """Read ``transfer.json``.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when the file is damaged or has another format version.
    """
    path = Path(folder) / TRANSFER_FILE
    content = read_json_object(path)
    if (found := content.pop("format_version", None)) != FORMAT_VERSION:
        raise ValueError(f"{path} has format version {found!r}, not {FORMAT_VERSION}; run the transfer again.")
    if wrong := schema_violation(content, _SCHEMA):
        raise ValueError(f"{path} is damaged: {wrong}; remove it, and run the transfer again.")
    return content


def _rows(kind: str, scores: Mapping[str, Any], metrics: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each dataset, and for the mean over the targets and the harmonic mean."""
    for role, datasets in (("source", [scores["source"]]), ("target", scores["targets"])):
        for dataset in datasets:
            facts = {name: dataset[name] for name in ("part", "images", "pairs")}
            values = {name: (dataset["scores"].get(name), dataset["intervals"].get(name)) for name in metrics}
            yield {"network": kind, "role": role, "dataset": dataset["name"], **facts, **_cells(values)}
    for role in ("ood", "harmonic_mean"):
        summaries = {metric: scores["summary"].get(metric, {}) for metric in metrics}
        values = {metric: (found.get(role), found.get(f"{role}_interval")) for metric, found in summaries.items()}
        yield {"network": kind, "role": role, **_cells(values)}


def _cells(values: Mapping[str, tuple[float | None, Sequence[float] | None]]) -> dict[str, float | None]:
    cells: dict[str, float | None] = {}
    for name, (value, interval) in values.items():
        low, high = interval or (None, None)
        cells |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return cells
