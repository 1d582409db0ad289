"""``tunevlseg demo``: training, evaluation and inference with an embedded tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.commands.error_handling import exit_on_error
from monai_tunevlseg.commands.options import BundlesDir, ConfigsDir

__all__ = ["demo"]


def demo(
    bundles_dir: BundlesDir,
    configs_dir: ConfigsDir,
    model: Annotated[str, typer.Option(help="Model of the bundle, as in bundles/MODEL_METHOD.")] = "clipseg",
    method: Annotated[str, typer.Option(help="Method of the bundle, as in bundles/MODEL_METHOD.")] = "vpt",
    dataset: Annotated[str, typer.Option(help="Demo dataset: ultrasound, endoscopy or echo.")] = "ultrasound",
    output_dir: Annotated[Path, typer.Option(help="Folder of the data, checkpoint and pictures.")] = Path(
        "demo_output"
    ),
) -> None:
    """Train, evaluate and infer with an embedded tiny model on synthetic data, and print a table."""
    from monai_tunevlseg.demo.run import run_demo

    bundle = f"{model}_{method}"
    experiment_config = configs_dir / dataset / f"{bundle}.yaml"
    with exit_on_error(RuntimeError):
        run_demo(dataset, bundles_dir / bundle, experiment_config, output_dir / f"{dataset}_{bundle}")
