"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monai_tunevlseg.resources import bundles_dir, configs_dir

if TYPE_CHECKING:
    from monai_tunevlseg.search import Limits

__all__ = [
    "DEFAULT_SILENCE",
    "STORAGE_VARIABLE",
    "BundlesDir",
    "ConfigsDir",
    "ExperimentName",
    "Metric",
    "Overrides",
    "Seed",
    "Silence",
    "Storage",
    "Timeout",
    "limits_of",
    "parse_overrides",
]

STORAGE_VARIABLE = "TUNEVLSEG_STORAGE"
DEFAULT_SILENCE = 7200.0  # seconds

ConfigsDir = Annotated[
    Path,
    typer.Option(default_factory=configs_dir, show_default="the package's", help="Folder of the config fragments."),
]
BundlesDir = Annotated[
    Path, typer.Option(default_factory=bundles_dir, show_default="the package's", help="Folder of the bundles.")
]
ExperimentName = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT", help="Name of the experiment, DATASET/MODEL_METHOD, such as kvasir/clipseg_vpt."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--override", metavar="NAME=VALUE", help="Hyperparameter of every run; may be repeated."),
]
Storage = Annotated[
    str | None,
    typer.Option(
        envvar=STORAGE_VARIABLE,
        show_envvar=False,
        help="URL of the Optuna storage: sqlite:///FILE, postgresql://..., mysql://..., journal:///FILE or "
        "grpc://HOST:PORT; a URL with a password belongs in the environment variable "
        f"{STORAGE_VARIABLE}, which ps does not show. The default is a SQLite file in the output folder of each "
        "search.",
    ),
]
Metric = Annotated[str, typer.Option(help="Metric that selects the best trial: val_dice or val_loss.")]
Seed = Annotated[int, typer.Option(help="Random seed of the sampler.")]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Maximum duration of a trial; a longer trial is stopped and fails."),
]
Silence = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="Maximum time of a trial without output or validation, after which it is stopped and fails; 0 = no limit.",
    ),
]


def limits_of(timeout: float | None, silence: float) -> Limits:
    """Return the limits that the options set.

    Raises:
        ValueError: when one is negative, or the timeout is 0.
    """
    from monai_tunevlseg.search import Limits

    return Limits(timeout, silence or None)


def parse_overrides(entries: list[str] | None) -> dict[str, Any]:
    """Read NAME=VALUE options, whose values are YAML.

    Raises:
        ValueError: when one has no name or no sign, or its value is not YAML.
    """
    from monai_tunevlseg.yaml_files import parse_yaml

    values = {}
    for entry in entries or []:
        name, sign, value = entry.partition("=")
        if not sign or not name:
            raise ValueError(f"--override {entry!r} is not NAME=VALUE.")
        values[name] = parse_yaml(value, f"the value of --override {entry!r}")
    return values
