"""``tunevlseg datasets``: list the datasets, check a copy of one, and convert it to another form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_tunevlseg.commands.dataset_options import (
    ClassNames,
    Folder,
    GroupPattern,
    IntensityWindow,
    LabelValues,
    MaskEnding,
    MaskThreshold,
    Name,
    NeutralText,
    SliceAxis,
    SplitsFile,
    dataset_spec,
)
from monai_tunevlseg.commands.error_handling import exit_on_error

if TYPE_CHECKING:
    from rich.console import Console

    from monai_tunevlseg.data.checks.dataset_check import DatasetReport
    from monai_tunevlseg.data.issues import DatasetIssue

__all__ = ["app"]

MAX_PRINTED = 10
"""Maximum number of printed issues of each kind."""

app = typer.Typer(help="List the datasets, check a copy of one, or convert it to a plain folder or for nnU-Net.")


@app.callback(invoke_without_command=True)
def list_datasets(context: typer.Context) -> None:
    """List the datasets, check a copy of one, or convert it to a plain folder or for nnU-Net.

    Without a command, list the datasets with their classes, their sizes in the paper's Table 1 ((image, class) pairs of
    train, val and test), their terms, and their source.
    """
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    from monai_tunevlseg.data import LAYOUTS

    table = Table(show_lines=True)
    table.add_column("name", no_wrap=True)
    for column in ("dataset", "classes", "images", "organ", "train/val/test", "terms and source"):
        table.add_column(column, overflow="fold")
    public = {name: LAYOUTS[name].info for name in LAYOUTS}
    for name, info in public.items():
        if info is not None:
            sizes = "/".join(str(size) if size else "-" for size in info.sizes)
            terms = f"{info.license}\n{info.source}"
            table.add_row(name, info.title, ", ".join(info.class_names), info.modality, info.organ, sizes, terms)
    console = Console()
    console.print(table)
    general = ", ".join(name for name, info in public.items() if info is None)
    console.print(f"For any dataset: the layouts {general}.", highlight=False)


@app.command()
def check(
    context: typer.Context,
    name: Name,
    dataset_dir: Folder,
    class_name: ClassNames = None,
    splits_file: SplitsFile = None,
    label_value: LabelValues = None,
    mask_threshold: MaskThreshold = None,
    mask_ending: MaskEnding = None,
    slice_axis: SliceAxis = 2,
    intensity_window: IntensityWindow = None,
    group_pattern: GroupPattern = None,
    neutral_text: NeutralText = None,
    text_source: Annotated[
        str, typer.Option(help="Source of the texts: class_name, or p0 to p9 of the layout annotations.")
    ] = "class_name",
    max_distance: Annotated[
        int, typer.Option(help="Maximum Hamming distance (of 256 bits) between the hashes of near-duplicates.")
    ] = 48,
    as_json: Annotated[bool, typer.Option("--json", help="JSON output.")] = False,
) -> None:
    """Open every file, count images and pairs, compare with the paper's Table 1, and report all errors and warnings.

    The exit code is 1 when there are errors.
    """
    from monai_tunevlseg.data.checks.dataset_check import check_dataset

    with exit_on_error(), _progress("opening") as (started, advanced):
        spec = dataset_spec(context)
        report = check_dataset(spec, max_distance, started, advanced)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        _print(report)
    if report.errors:
        raise typer.Exit(1)


@app.command()
def convert(
    context: typer.Context,
    name: Name,
    dataset_dir: Folder,
    output_dir: Annotated[Path, typer.Argument(metavar="OUT", help="New folder for the dataset.")],
    form: Annotated[
        str, typer.Option("--to", help="Form of the new dataset: folder (images/ and masks/) or nnunet (nnU-Net v2).")
    ] = "folder",
    class_name: ClassNames = None,
    splits_file: SplitsFile = None,
    label_value: LabelValues = None,
    mask_threshold: MaskThreshold = None,
    mask_ending: MaskEnding = None,
    slice_axis: SliceAxis = 2,
    intensity_window: IntensityWindow = None,
    group_pattern: GroupPattern = None,
) -> None:
    """Write a dataset in another form with the same splits; the layout folder reads it to the same masks.

    The form folder has images/, masks/ and splits.json, and copies images unchanged. The form nnunet is the raw format
    of nnU-Net v2: OUT is DatasetXXX_NAME, pictures become PNG and volumes .nii.gz, and masks become label maps, so that
    classes that overlap need a dataset each. The commands of nnU-Net that follow are printed.
    """
    from monai_tunevlseg.data.dataset_conversion import convert_dataset

    with exit_on_error(), _progress("writing") as (started, advanced):
        spec = dataset_spec(context)
        written = convert_dataset(spec, output_dir, form, started, advanced)
    typer.echo(f"{written.images} images, {written.pairs} pairs, {written.masks}: {written.folder}")
    for line in written.usage:
        typer.echo(line)


@contextmanager
def _progress(doing: str) -> Iterator[tuple[Callable[[int], None], Callable[[], None]]]:
    """Show a progress bar on stderr; yield one function that sets its total, and one that advances it."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=None)
        yield (
            lambda images: progress.update(task, description=doing, total=images),
            lambda: progress.advance(task),
        )


def _print(report: DatasetReport) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)

    table = Table(
        "split", "images", "pairs", "empty masks", "classes", title=escape(f"{report.layout}: {report.dataset_dir}")
    )
    if report.table_1:
        table.add_column("pairs in Table 1", justify="right")
    for split, content in report.splits.items():
        classes = ", ".join(f"{name} {count}" for name, count in content.classes.items())
        published = dict(zip(("train", "val", "test"), report.table_1 or (), strict=False)).get(split)
        row = [split, str(content.images), str(content.pairs), str(content.empty), escape(classes)]
        table.add_row(*row, *([str(published) if published else "-"] if report.table_1 else []))
    console.print(table)
    for title, issues in (("error", report.errors), ("warning", report.warnings)):
        _print_problems(title, issues, console)
    console.print(f"{report.files} files opened; errors: {len(report.errors)}, warnings: {len(report.warnings)}.")


def _print_problems(title: str, issues: Sequence[DatasetIssue], console: Console) -> None:
    """Print up to `MAX_PRINTED` of each kind; --json prints all."""
    kinds: dict[str, list[DatasetIssue]] = {}
    for issue in issues:
        kinds.setdefault(issue.kind, []).append(issue)
    for kind, found in kinds.items():
        for issue in found[:MAX_PRINTED]:
            console.print(f"{title} ({kind}): {issue.message}", markup=False, soft_wrap=True)
        if len(found) > MAX_PRINTED:
            console.print(f"{title} ({kind}): ... and {len(found) - MAX_PRINTED} more; --json prints all", markup=False)
