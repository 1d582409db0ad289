"""Running the bundles' configs small and in this process."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_tunevlseg.bundles import read_facts
from monai_tunevlseg.errors import root_cause
from monai_tunevlseg.networks import IMAGE_ONLY_NETWORKS

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / "configs"
BUNDLES = REPOSITORY / "bundles"


def tiny_model(name: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the options with which a bundle has a tiny base model, or else a small network."""
    model = name.partition("_")[0]
    if model in IMAGE_ONLY_NETWORKS:
        return dict(yaml.safe_load(read_facts(CONFIGS / "models" / f"{model}.yaml")["tiny"]))
    return {"pretrained": str(request.getfixturevalue(f"tiny_{model}_dir"))}


def write_pictures(folder: Path, count: int = 14, size: tuple[int, int] = (26, 40)) -> Path:
    """Write a dataset of bright squares on noise, sized (height, width) in pixels."""
    rng = np.random.default_rng(0)
    for sub in ("images", "masks"):
        (folder / sub).mkdir(parents=True)
    for number in range(count):
        mask = np.zeros(size, np.uint8)
        top, left = rng.integers(0, 16), rng.integers(0, 30)
        mask[top : top + 10, left : left + 10] = 255
        noise = rng.integers(0, 100, (*size, 3))
        Image.fromarray((noise + mask[..., None] // 2).astype(np.uint8)).save(folder / "images" / f"{number:02}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number:02}.png")
    return folder


def write_split_pictures(folder: Path) -> Path:
    """Write fourteen pictures with masks: ten to train, two each to validate and test."""
    write_pictures(folder)
    stems = [f"{number:02}" for number in range(14)]
    splits = {"train": stems[:10], "val": stems[10:12], "test": stems[12:]}
    (folder / "splits.json").write_text(json.dumps(splits))
    return folder


def workflow(
    name: str, config: str, workflow_type: str = "infer", dataset: str | None = None, **overrides
) -> ConfigWorkflow:
    """Build a bundle's or an experiment's workflow as ``python -m monai.bundle run`` does; logging stays pytest's."""
    files = [str(BUNDLES / name / "configs" / f"{config}.yaml")]
    files += [str(CONFIGS / dataset / f"{name}.yaml")] if dataset else []
    made = ConfigWorkflow(files, workflow_type=workflow_type, logging_file=False, **overrides)
    made.initialize()
    return made


def run(name: str, config: str, **overrides) -> ConfigWorkflow:
    """Run a bundle's config to its end."""
    made = workflow(name, config, "train" if config == "train" else "infer", **overrides)
    made.run()
    made.finalize()
    return made


@contextmanager
def raises_inside(kind: type[BaseException], match: str) -> Iterator[None]:
    """Expect an error, however many of MONAI's own are wrapped around it."""
    with pytest.raises(Exception) as raised:  # noqa: B017, PT011
        yield
    error = root_cause(raised.value)
    assert type(error) is kind, repr(error)
    assert re.search(match, str(error)), str(error)
