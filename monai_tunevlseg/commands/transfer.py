"""``tunevlseg transfer``: runs that were tuned on one dataset, tested on others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monai_tunevlseg.commands.error_handling import plain_warnings, resumable_command
from monai_tunevlseg.commands.options import BundlesDir, Overrides, parse_overrides

if TYPE_CHECKING:
    from monai_tunevlseg.transfer import SourceRun, Target, TransferSettings
    from monai_tunevlseg.transfer.matrix import Cell, MatrixRow

__all__ = ["transfer"]


Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN",
        help="Folders of trained runs: bundle_root of a training, output of a search, or a bundle.",
    ),
]
On = Annotated[
    list[str],
    typer.Option(metavar="NAME=DIR,...", help="Datasets to test on, such as kvasir=DIR,clinicdb=DIR; may be repeated."),
]
Texts = Annotated[
    Path | None, typer.Option(help="JSON file {dataset: {class: text}} for classes that the run does not name.")
]
SkipUnmapped = Annotated[
    bool, typer.Option("--skip-unmapped", help="Omission of classes for which the run has no text.")
]
Images = Annotated[
    str,
    typer.Option(
        help="Tested images of a dataset: all, test (its test split), or auto (all, but the test split where "
        "another RUN was trained on it)."
    ),
]
TargetOptions = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME:OPTION=VALUE",
        help="Option of a dataset, such as hospital_b:layout=folder or hospital_b:mask_threshold=128; may be repeated.",
    ),
]
SourceDir = Annotated[
    Path | None, typer.Option(help="Folder of the dataset that RUN was trained on; the one of training by default.")
]
ZeroShot = Annotated[bool, typer.Option("--zero-shot", help="Additional test of the base model.")]
TableMetric = Annotated[str, typer.Option(help="Metric of the table, such as dice, iou_original or dice_foreground.")]
Output = Annotated[Path, typer.Option(help="Folder of the results.")]


def transfer(
    runs: Runs,
    on: On,
    bundles_dir: BundlesDir,
    texts: Texts = None,
    skip_unmapped: SkipUnmapped = False,
    images: Images = "auto",
    target_option: TargetOptions = None,
    source_dir: SourceDir = None,
    zero_shot: ZeroShot = False,
    override: Overrides = None,
    metric: TableMetric = "dice",
    output_dir: Output = Path("transfer"),
) -> None:
    """Test runs on their own test splits (ID) and on other datasets (OOD), with the harmonic mean of both (HM).

    The other datasets choose nothing: checkpoint and calibration are those of the run. The same command resumes.
    """
    from monai_tunevlseg.transfer import TransferSettings, matrix_rows, read_text_mapping, transfer_runs, write_matrix

    with resumable_command(), plain_warnings():
        targets = _read_targets(on, target_option or [])
        mapping = read_text_mapping(texts, [target.name for target in targets]) if texts else {}
        settings = TransferSettings(parse_overrides(override), mapping, skip_unmapped, images, zero_shot)
        _check_metric(metric, settings)
        found = _read_runs(runs, targets, bundles_dir, source_dir)
        rows = matrix_rows(transfer_runs(_folders(found, output_dir), targets, settings), metric)
        write_matrix(output_dir, rows, metric)
        _print(rows, metric, output_dir)


def _check_metric(metric: str, settings: TransferSettings) -> None:
    """Refuse a metric that the evaluations do not measure.

    Raises:
        ValueError: when it is unknown, or measured only with an option.
    """
    from monai_tunevlseg.transfer import METRICS

    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known are {', '.join(METRICS)}.")
    if metric.startswith("surface_dice") and not settings.overrides.get("surface_dice"):
        raise ValueError(f"--metric {metric} is not measured by default; pass --override surface_dice=true.")


def _read_targets(entries: Sequence[str], options: Sequence[str]) -> list[Target]:
    """Read the datasets of --on and their options.

    Raises:
        FileNotFoundError: when a folder does not exist.
        ValueError: when an entry is malformed, or a dataset is unknown or given twice.
    """
    from monai_tunevlseg.transfer import read_target

    folders: dict[str, str] = {}
    for entry in (part for given in entries for part in re.split(r",(?=[^,=/\\]+=)", given)):
        name, sign, folder = entry.partition("=")
        if not (name and sign and folder):
            raise ValueError(f"--on {entry!r} is not NAME=DIR, such as kvasir=/data/Kvasir-SEG.")
        if folders.setdefault(name, folder) != folder:
            raise ValueError(f"--on gives {name} twice, as {folders[name]} and {folder}; remove one of them.")
    given = _read_target_options(options, folders)
    return [read_target(name, folder, given.get(name)) for name, folder in folders.items()]


def _read_target_options(entries: Sequence[str], names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    from monai_tunevlseg.yaml_files import parse_yaml

    options: dict[str, dict[str, Any]] = {}
    for entry in entries:
        place, sign, value = entry.partition("=")
        name, colon, option = place.partition(":")
        if not (sign and colon and option):
            raise ValueError(f"--target-option {entry!r} is not NAME:OPTION=VALUE, such as hospital_b:layout=folder.")
        if name not in names:
            raise ValueError(
                f"--target-option {entry!r} names a dataset that is not in --on; it has {', '.join(names)}."
            )
        options.setdefault(name, {})[option] = parse_yaml(value, f"the value of --target-option {entry!r}")
    return options


def _read_runs(
    folders: Sequence[Path], targets: Sequence[Target], bundles_dir: Path, source_dir: Path | None
) -> list[SourceRun]:
    """Read the runs, before any dataset.

    Raises:
        FileNotFoundError: when a run, its bundle or its dataset is missing.
        ValueError: when a run is given twice or damaged, or --source-dir is given for several.
    """
    from monai_tunevlseg.transfer import find_run_folder, read_source_run

    if source_dir is not None and len(folders) > 1:
        raise ValueError(f"--source-dir {source_dir} is for one RUN, not for {len(folders)}; give its dataset in --on.")
    places = [find_run_folder(folder).resolve() for folder in folders]
    if twice := next((place for place in places if places.count(place) > 1), None):
        raise ValueError(f"the run {twice} is given twice; remove one of them.")
    known = {target.name: target.dataset_dir for target in targets}
    return [
        read_source_run(folder, bundles_dir, label, source_dir, known)
        for folder, label in zip(folders, _labels(folders), strict=True)
    ]


def _labels(folders: Sequence[Path]) -> list[str]:
    """Return the names of the runs: their paths without the folders that all share, and without those of a search."""
    parts = [tuple(re.sub(r"(/search)?/best$", "", folder.resolve().as_posix()).split("/")) for folder in folders]
    if len(set(parts)) < len(parts):
        parts = [folder.resolve().parts for folder in folders]
    if len(parts) == 1:
        return [parts[0][-1]]
    shortest = min(map(len, parts))
    first = next((n for n in range(shortest) if len({names[n] for names in parts}) > 1), shortest - 1)
    last = next((n for n in range(shortest - first) if len({names[-1 - n] for names in parts}) > 1), 0)
    return ["/".join(names[first : len(names) - last]) for names in parts]


def _folders(runs: Sequence[SourceRun], output_dir: Path) -> dict[Path, SourceRun]:
    """Return the runs by the folder of their results."""
    return {output_dir: runs[0]} if len(runs) == 1 else {output_dir / run.label: run for run in runs}


def _print(rows: Sequence[MatrixRow], metric: str, output_dir: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from monai_tunevlseg.transfer import dataset_columns
    from monai_tunevlseg.transfer.matrix import SUMMARY_TITLES

    table = Table("run", "trained on", title=f"{metric} in percent, with 95 % intervals")
    names = dataset_columns(rows)
    for title in (*names, *SUMMARY_TITLES.values()):
        table.add_column(escape(title), justify="right")
    for row in rows:
        cells = [row.datasets.get(name) for name in names] + [row.summary[name] for name in SUMMARY_TITLES]
        table.add_row(escape(row.label), escape(row.trained_on or "–"), *map(_cell, cells))
    Console(highlight=False).print(table)
    typer.echo(f"ID: test split of the dataset of the training; OOD: mean over the others; results: {output_dir}")


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    value = f"[bold]{cell.value:.2f}[/bold]" if cell.is_source else f"{cell.value:.2f}"
    return value if cell.interval is None else f"{value}\n{cell.interval[0]:.1f} to {cell.interval[1]:.1f}"
