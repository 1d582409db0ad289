"""``tunevlseg evaluate-predictions``: scores of masks that any tool has predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monai_tunevlseg.commands.dataset_options import (
    ClassNames,
    Folder,
    GroupPattern,
    LabelValues,
    MaskEnding,
    MaskThreshold,
    Name,
    SliceAxis,
    SplitsFile,
    dataset_spec,
    parse_label_values,
)
from monai_tunevlseg.commands.error_handling import exit_on_error, plain_warnings

if TYPE_CHECKING:
    from monai_tunevlseg.data import DatasetSpec
    from monai_tunevlseg.evaluation import EvaluationReportHandler, PredictionForm

__all__ = ["evaluate_predictions"]


Predictions = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the predicted masks.")]
Split = Annotated[str, typer.Option(help="Split: train, val or test.")]
PredictionValues = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLASS=VALUE",
        help="Value of a class in the predictions; may be repeated; 1, 2 and so on, or the values of nnU-Net's "
        "dataset.json, by default.",
    ),
]
PredictionThreshold = Annotated[
    float | None, typer.Option(help="Foreground threshold (0..255) for binary predictions.")
]
PredictionEnding = Annotated[
    str | None,
    typer.Option(help="Ending of the predictions' names, such as _pred; their common ending by default."),
]
Missing = Annotated[
    str, typer.Option(help="Treatment of missing predictions: error, or empty to score them as empty masks.")
]
OutputDir = Annotated[
    Path | None,
    typer.Option(help="Folder for metrics.json, pairs.csv and overlays; FOLDER_eval by default."),
]
Overlays = Annotated[int, typer.Option(help="Number of overlays each of the worst, median and best pairs; 0 = none.")]
HausdorffDistance = Annotated[bool, typer.Option("--hd95", help="Hausdorff distance in pixels, 95th percentile.")]
SurfaceDice = Annotated[bool, typer.Option("--surface-dice", help="Normalized surface Dice.")]
SurfaceTolerance = Annotated[float, typer.Option(help="Tolerance of the surface Dice in pixels.")]
Resamples = Annotated[int, typer.Option(help="Number of bootstrap resamples.")]
BootstrapSeed = Annotated[int, typer.Option(help="Random seed of the bootstrap.")]
Results = Annotated[
    Path | None, typer.Option(help="Results folder of tunevlseg benchmark, whose report then shows the tool.")
]
ToolName = Annotated[
    str | None,
    typer.Option(metavar="DATASET/MODEL_METHOD", help="Name of the tool in RESULTS, such as kvasir/nnunet_2d."),
]
ModelTitle = Annotated[str | None, typer.Option(help="Title of the model in the report, such as nnU-Net.")]
MethodTitle = Annotated[str | None, typer.Option(help="Title of the method in the report.")]
GroupName = Annotated[
    str,
    typer.Option(help="Group of the report: image_only, zero_shot, prompts, adapters or fine_tuning."),
]
Parameters = Annotated[int | None, typer.Option(help="Number of trained parameters.")]


def evaluate_predictions(
    context: typer.Context,
    folder: Predictions,
    name: Name,
    dataset_dir: Folder,
    class_name: ClassNames = None,
    split: Split = "test",
    splits_file: SplitsFile = None,
    label_value: LabelValues = None,
    mask_threshold: MaskThreshold = None,
    mask_ending: MaskEnding = None,
    slice_axis: SliceAxis = 2,
    group_pattern: GroupPattern = None,
    prediction_value: PredictionValues = None,
    prediction_threshold: PredictionThreshold = None,
    prediction_ending: PredictionEnding = None,
    missing: Missing = "error",
    output_dir: OutputDir = None,
    num_overlays: Overlays = 3,
    hd95: HausdorffDistance = False,
    surface_dice: SurfaceDice = False,
    surface_tolerance: SurfaceTolerance = 2.0,
    resamples: Resamples = 9999,
    seed: BootstrapSeed = 0,
    results: Results = None,
    experiment: ToolName = None,
    model_title: ModelTitle = None,
    method_title: MethodTitle = None,
    group: GroupName = "image_only",
    trained_parameters: Parameters = None,
) -> None:
    """Score the masks that any tool has predicted for a split, with the metrics and the files of evaluate.yaml.

    FOLDER holds a file for each image under its name, a folder of binary masks for each class, or the predicted_masks/
    of an evaluation. Scores are at the image's own resolution, because masks have no other.
    """
    with exit_on_error(), plain_warnings():
        _evaluate(context)


def _evaluate(context: typer.Context) -> None:
    """Check all options before anything is read, then score and print."""
    from monai_tunevlseg.data.datalists import build_datalists, read_cases
    from monai_tunevlseg.evaluation import match_predictions, score_predictions
    from monai_tunevlseg.json_files import read_json_object

    options = context.params
    spec, form = _forms(context)
    report, store = _report(context), _storage(context)
    cases = read_cases(spec)
    samples = build_datalists(spec, cases=cases)[options["split"]]
    predictions = match_predictions(options["folder"], form, samples, cases, options["missing"])
    report.about["missing_predictions"] = predictions.count(None)
    score_predictions(samples, predictions, report, options["hd95"], report.about["surface_tolerance"])
    _print(read_json_object(report.output_dir / "metrics.json"), report.output_dir)
    store(report.output_dir, spec.folder, samples, predictions)


def _forms(context: typer.Context) -> tuple[DatasetSpec, PredictionForm]:
    """Return how the dataset and the predictions are read.

    Raises:
        ValueError: when the split is unknown or an option is malformed.
    """
    from monai_tunevlseg.data.samples import SPLIT_NAMES
    from monai_tunevlseg.evaluation import PredictionForm

    options = context.params
    if options["split"] not in SPLIT_NAMES:
        raise ValueError(f"split is {options['split']!r}; it must be one of {', '.join(SPLIT_NAMES)}.")
    spec = replace(dataset_spec(context), every_slice=True)
    values = parse_label_values(options["prediction_value"], "--prediction-value")
    threshold, ending = options["prediction_threshold"], options["prediction_ending"]
    return spec, PredictionForm(spec.encoding().class_names, values, threshold, ending)


def _report(context: typer.Context) -> EvaluationReportHandler:
    """Return the writer of the files.

    Raises:
        ValueError: when an option is out of range, or an earlier evaluation's predictions would be replaced.
    """
    from monai_tunevlseg.evaluation import Bootstrap, EvaluationReportHandler

    options = context.params
    return EvaluationReportHandler(
        _output_folder(options["output_dir"], options["folder"]),
        options["split"],
        options["dataset_dir"],
        {
            "predictions": str(options["folder"]),
            "dataset_dir": str(options["dataset_dir"]),
            "layout": options["name"],
            "surface_tolerance": options["surface_tolerance"] if options["surface_dice"] else None,
        },
        Bootstrap(options["resamples"], seed=options["seed"]),
        options["num_overlays"],
        save_masks=False,
        whole_volumes=True,
    )


def _storage(context: typer.Context) -> Callable[..., None]:
    """Return the function that stores the result for the report; without --results, it does nothing.

    Raises:
        ValueError: when the options contradict each other, or the results folder has another result of this name.
    """
    from monai_tunevlseg.benchmark.other_tools import OtherTool, store_result

    options = context.params
    if options["results"] is None and options["experiment"] is None:
        return lambda *result: None
    if options["results"] is None or options["experiment"] is None:
        raise ValueError("--results and --experiment belong together: the results folder, and the tool's name in it.")
    if options["split"] != "test":
        raise ValueError(f"the report compares on the test split, not on {options['split']!r}; leave out --results.")
    tool = OtherTool(**{field.name: options[field.name] for field in fields(OtherTool)})
    tool.folder(options["results"])

    def store(*result: Any) -> None:
        typer.echo(f"result for the report: {store_result(options['results'], tool, *result)}")

    return store


def _output_folder(output_dir: Path | None, folder: Path) -> Path:
    """Return the output folder, in which an evaluation would replace the predictions of an earlier one."""
    output = folder.resolve().with_name(f"{folder.resolve().name}_eval") if output_dir is None else output_dir
    if folder.resolve().is_relative_to(output.resolve()):
        raise ValueError(f"the predictions in {folder} lie in the output folder {output}; give another --output-dir.")
    return output


def _print(metrics: Mapping[str, Any], output: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("class", title="Dice in percent, at the image's own resolution")
    for column in ("pairs", "all pairs", "95 % interval", "with foreground"):
        table.add_column(column, justify="right")
    for name, part in {"all": metrics, **metrics["classes"]}.items():
        low, high = part["intervals"]["dice_original"] or (None, None)
        interval = "-" if low is None else f"{low:.2f} to {high:.2f}"
        foreground = part["dice_original_foreground"]
        row = [str(part["pairs"]), f"{part['dice_original']:.2f}", interval]
        table.add_row(escape(name), *row, "-" if foreground is None else f"{foreground:.2f}")
    console = Console(highlight=False)
    console.print(table)
    if volumes := metrics.get("volumes"):
        console.print(f"{volumes['pairs']} whole volumes and classes: {volumes['dice']:.2f} % Dice")
    typer.echo(f"metrics.json and pairs.csv: {output}")
