"""The command line: ``tunevlseg``, or ``python -m monai_tunevlseg``."""

from __future__ import annotations

import typer

from monai_tunevlseg.commands import bundles, datasets
from monai_tunevlseg.commands.app import app as app_command
from monai_tunevlseg.commands.benchmark import benchmark
from monai_tunevlseg.commands.compare import compare
from monai_tunevlseg.commands.convert_cris import convert_cris
from monai_tunevlseg.commands.demo import demo
from monai_tunevlseg.commands.evaluate_predictions import evaluate_predictions
from monai_tunevlseg.commands.export_onnx import export_onnx
from monai_tunevlseg.commands.init import init
from monai_tunevlseg.commands.inspect import inspect
from monai_tunevlseg.commands.label_app import label_app
from monai_tunevlseg.commands.push import push
from monai_tunevlseg.commands.report import report
from monai_tunevlseg.commands.search import search
from monai_tunevlseg.commands.share import share
from monai_tunevlseg.commands.transfer import transfer

__all__ = ["app"]

app = typer.Typer(help="Prompt and adapter tuning of frozen vision-language segmentation models.", no_args_is_help=True)
app.add_typer(bundles.app, name="bundles")
app.add_typer(datasets.app, name="datasets")
for _command in (
    init,
    evaluate_predictions,
    compare,
    transfer,
    search,
    report,
    benchmark,
    share,
    push,
    inspect,
    export_onnx,
    label_app,
    demo,
    convert_cris,
):
    app.command()(_command)
app.command(name="app")(app_command)


if __name__ == "__main__":
    app()
