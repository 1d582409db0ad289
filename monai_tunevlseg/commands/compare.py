"""``tunevlseg compare``: paired comparison of two evaluations, or of two sets with different seeds."""

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

SEVERAL = "comma-separated paths or a pattern such as 'RUN-seed*' for runs with different seeds."


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=f"Path of the first run's pairs.csv, or its folder; {SEVERAL}")],
    b: Annotated[
        str, typer.Argument(metavar="B", help=f"Path of the second run's pairs.csv, or its folder; {SEVERAL}")
    ],
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

    Of several runs with different seeds, the mean is compared, and the interval and a t-test are over seeds and images.
    If A and B have the same number of runs, they are matched by their order, which is that of the names for a pattern.
    """
    from monai_tunevlseg.evaluation import PAIR_METRICS, Bootstrap, compare_runs, read_pair_scores

    with exit_on_error():
        bootstrap = Bootstrap(resamples=resamples, seed=seed)
        first, second = (_paths(text) for text in (a, b))
        required = [metric] if metric in PAIR_METRICS else []
        of_a, of_b = ([read_pair_scores(path, required=required) for path in paths] for paths in (first, second))
        comparison = compare_runs(of_a, of_b, metric, foreground_only, bootstrap)
    _warn(comparison)
    if as_json:
        typer.echo(json.dumps({"a": a, "b": b, **asdict(comparison)}, indent=2))
    else:
        typer.echo(_summary(comparison, a, b, bootstrap))


def _paths(text: str) -> list[Path]:
    """Return the paths of a comma-separated list with patterns; an existing path is taken as it is.

    Raises:
        FileNotFoundError: when no path matches a pattern.
        ValueError: when a path is listed twice.
    """
    if Path(text).exists():
        return [Path(text)]
    found = []
    for part in filter(None, text.split(",")):
        path = Path(part)
        matching = [path]
        if any(sign in part for sign in "*?["):
            matching = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        if not matching:
            raise FileNotFoundError(f"no run matches {part!r}.")
        found += matching
    if len(set(found)) < len(found):
        raise ValueError(f"{text!r} has the same run twice; runs with different seeds are listed once each.")
    return found or [Path(text)]


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
    runs = {"A": comparison.runs_a, "B": comparison.runs_b}
    single = [name for name, count in runs.items() if count == 1]
    if len(single) == 1:
        typer.echo(f"warning: {single[0]} is a single run; the interval does not include its seed.", err=True)


def _summary(comparison: Comparison, a: str, b: str, bootstrap: Bootstrap) -> str:
    from monai_tunevlseg.evaluation import PAIR_METRICS

    unit = PAIR_METRICS[comparison.metric].unit
    interval = "not defined"
    if comparison.interval is not None:
        low, high = comparison.interval
        interval = f"{low:+.2f} to {high:+.2f} {unit}"
    pairs = "pairs with foreground" if comparison.foreground_only else "pairs"
    over, seed_test = "images or groups", []
    if max(comparison.runs_a, comparison.runs_b) > 1:
        over = f"seeds and {over}"
        seed_test = [f"t-test (of {over}): {_p_text(comparison.p_value_seeds, 'equal')}"]
    return "\n".join(
        (
            f"{comparison.metric} over {comparison.pairs} {pairs} of {comparison.clusters} images or groups",
            f"A      {_mean_text(comparison.mean_a, comparison.std_a, comparison.runs_a, unit)}  {a}",
            f"B      {_mean_text(comparison.mean_b, comparison.std_b, comparison.runs_b, unit)}  {b}",
            f"B - A  {comparison.difference:+.2f} {unit}",
            f"{bootstrap.level:.0%} interval (bootstrap of {over}): {interval}",
            *seed_test,
            f"Wilcoxon signed-rank test (of their mean differences): {_p_text(comparison.p_value, '0')}",
        )
    )


def _mean_text(mean: float, std: float | None, runs: int, unit: str) -> str:
    return f"{mean:.2f} {unit}" if std is None else f"{mean:.2f} ± {std:.2f} {unit} ({runs} runs)"


def _p_text(p_value: float | None, differences: str) -> str:
    return f"not defined: all differences are {differences}" if p_value is None else f"p = {p_value:.3g}"
