"""``tunevlseg compare``: paired comparison of two evaluations."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_tunevlseg.commands.error_handling import exit_on_error

if TYPE_CHECKING:
    from monai_tunevlseg.evaluation import Bootstrap, Comparison

__all__ = ["compare"]


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Path of the first run's pairs.csv, or its folder.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Path of the second run's pairs.csv, or its folder.")],
    metric: Annotated[
        str, typer.Option(help="Metric: dice, iou, dice_original, iou_original, hd95 or surface_dice.")
    ] = "dice",
    foreground_only: Annotated[
        bool, typer.Option("--foreground-only", help="Comparison of the pairs with foreground only.")
    ] = False,
    resamples: Annotated[int, typer.Option(help="Number of bootstrap resamples.")] = 9999,
    seed: Annotated[int, typer.Option(help="Random seed of the bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON output.")] = False,
) -> None:
    """Compare two evaluations pair by pair: mean difference B - A, its 95 % interval, and a Wilcoxon test.

    Pairs are matched by image, slice and class; pairs of only one run are left out, with a warning.
    """
    from monai_tunevlseg.evaluation import PAIR_METRICS, Bootstrap, read_pair_scores
    from monai_tunevlseg.evaluation import compare as compare_cases

    with exit_on_error():
        bootstrap = Bootstrap(resamples=resamples, seed=seed)
        first, second = (read_pair_scores(path, required=[metric] if metric in PAIR_METRICS else []) for path in (a, b))
        comparison = compare_cases(first, second, metric, foreground_only, bootstrap)
    _warn(comparison)
    if as_json:
        typer.echo(json.dumps({"a": str(a), "b": str(b), **asdict(comparison)}, indent=2))
    else:
        typer.echo(_summary(comparison, a, b, bootstrap))


def _warn(comparison: Comparison) -> None:
    from monai_tunevlseg.messages import shorten

    excluded = {
        "are only in A": comparison.only_in_a,
        "are only in B": comparison.only_in_b,
        f"have no {comparison.metric} in one of the files": comparison.unmeasured,
    }
    for reason, names in excluded.items():
        if names:
            typer.echo(f"warning: {len(names)} pairs {reason} and are left out: {shorten(names, most=5)}.", err=True)


def _summary(comparison: Comparison, a: Path, b: Path, bootstrap: Bootstrap) -> str:
    from monai_tunevlseg.evaluation import PAIR_METRICS

    unit = PAIR_METRICS[comparison.metric].unit
    interval, p_value = "not defined", "not defined: all differences are 0"
    if comparison.interval is not None:
        low, high = comparison.interval
        interval = f"{low:+.2f} to {high:+.2f} {unit}"
    if comparison.p_value is not None:
        p_value = f"p = {comparison.p_value:.3g}"
    pairs = "pairs with foreground" if comparison.foreground_only else "pairs"
    return "\n".join(
        (
            f"{comparison.metric} over {comparison.pairs} {pairs} of {comparison.clusters} images or groups",
            f"A      {comparison.mean_a:.2f} {unit}  {a}",
            f"B      {comparison.mean_b:.2f} {unit}  {b}",
            f"B - A  {comparison.difference:+.2f} {unit}",
            f"{bootstrap.level:.0%} interval (bootstrap of images or groups): {interval}",
            f"Wilcoxon signed-rank test (of their mean differences): {p_value}",
        )
    )
