"""The command line: ``tunevlseg``, or ``python -m monai_tunevlseg``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from monai_tunevlseg.commands.benchmark import benchmark
from monai_tunevlseg.commands.compare import compare
from monai_tunevlseg.commands.datasets import app as datasets_app
from monai_tunevlseg.commands.endings import ending_in_a_sentence
from monai_tunevlseg.commands.export_onnx import export_onnx
from monai_tunevlseg.commands.folders import BundlesDir, ConfigsDir
from monai_tunevlseg.commands.init import init
from monai_tunevlseg.commands.label_app import label_app
from monai_tunevlseg.commands.report import report
from monai_tunevlseg.commands.search import search
from monai_tunevlseg.commands.share import share

__all__ = ["app"]

app = typer.Typer(help="Prompt tuning of frozen vision-language segmentation models.", no_args_is_help=True)
bundles_app = typer.Typer(
    help="Write and check the bundles and experiment configs that configs/ describes.", no_args_is_help=True
)
app.add_typer(bundles_app, name="bundles")
app.add_typer(datasets_app, name="datasets")
app.command()(init)
app.command()(compare)
app.command()(search)
app.command()(report)
app.command()(benchmark)
app.command()(share)
app.command()(export_onnx)
app.command()(label_app)


@app.command()
def demo(
    bundles_dir: BundlesDir,
    configs_dir: ConfigsDir,
    model: Annotated[str, typer.Option(help="VLSM: clipseg or cris.")] = "clipseg",
    method: Annotated[str, typer.Option(help="Prompt learner, or finetune.")] = "vpt",
    dataset: Annotated[str, typer.Option(help="Demo dataset: ultrasound, endoscopy or echo.")] = "ultrasound",
    output_dir: Annotated[Path, typer.Option(help="Folder of the data, checkpoint and pictures.")] = Path(
        "demo_output"
    ),
) -> None:
    """Train, evaluate and infer with an embedded tiny model on synthetic data, and print a table."""
    from monai_tunevlseg.demo.run import run_demo

    bundle = f"{model}_{method}"
    experiment_config = configs_dir / dataset / f"{bundle}.yaml"
    with ending_in_a_sentence(RuntimeError):
        run_demo(dataset, bundles_dir / bundle, experiment_config, output_dir / f"{dataset}_{bundle}")


@app.command()
def convert_cris(
    clip: Annotated[Path, typer.Option(help="Path of CLIP's RN50.pt: a TorchScript archive, or its state dict.")],
    cris: Annotated[Path, typer.Option(help="Path of CRIS's cris_best.pth.")],
    tokenizer: Annotated[Path, typer.Option(help="Folder of CLIP's tokenizer in transformers' format.")],
    output_dir: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; 'pretrained' takes it.")],
) -> None:
    """Check CRIS's published checkpoint, and write it as a folder that 'pretrained' takes."""
    from monai_tunevlseg.networks.cris_conversion import convert_cris

    with ending_in_a_sentence():
        typer.echo(convert_cris(clip, cris, tokenizer, output_dir))


@contextmanager
def _wrong_folder_is_misuse() -> Iterator[None]:
    """Exit with 2, as for a wrong option, where there is nothing to write bundles from."""
    try:
        yield
    except FileNotFoundError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


@bundles_app.command()
def write(configs_dir: ConfigsDir, bundles_dir: BundlesDir) -> None:
    """Write all bundles and experiment configs from their fragments."""
    from monai_tunevlseg.bundles import write_bundles

    with _wrong_folder_is_misuse():
        for path in write_bundles(configs_dir, bundles_dir):
            typer.echo(path)


@bundles_app.command()
def check(configs_dir: ConfigsDir, bundles_dir: BundlesDir) -> None:
    """Exit with 1 and the names when bundles or experiment configs differ from what their fragments give."""
    from monai_tunevlseg.bundles import bundle_names, stale_files

    with _wrong_folder_is_misuse():
        stale = stale_files(configs_dir, bundles_dir)
    if stale:
        typer.echo("stale, run 'make bundles': " + ", ".join(str(path) for path in stale), err=True)
        raise typer.Exit(1)
    typer.echo(
        f"{len(bundle_names(configs_dir))} bundles and their experiments are current in {bundles_dir}, {configs_dir}"
    )


if __name__ == "__main__":
    app()
