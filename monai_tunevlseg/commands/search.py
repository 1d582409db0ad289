"""``tunevlseg search``: hyperparameter search of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_tunevlseg.commands.error_handling import resumable_command
from monai_tunevlseg.commands.options import (
    DEFAULT_SILENCE,
    BundlesDir,
    ConfigsDir,
    ExperimentName,
    Metric,
    Overrides,
    Seed,
    Silence,
    Storage,
    Timeout,
    limits_of,
    parse_overrides,
)

if TYPE_CHECKING:
    from monai_tunevlseg.search import SearchResult

__all__ = ["search"]


def search(
    experiment: ExperimentName,
    dataset_dir: Annotated[Path, typer.Option(help="Folder of the dataset.")],
    configs_dir: ConfigsDir,
    bundles_dir: BundlesDir,
    n_trials: Annotated[
        int, typer.Option(help="Number of trials to finish; a higher number later adds the missing ones.")
    ] = 20,
    storage: Storage = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(help="Output folder: trials, best trial and its test; runs/search/EXPERIMENT by default."),
    ] = None,
    metric: Metric = "val_dice",
    seed: Seed = 0,
    override: Overrides = None,
    share_features: Annotated[
        bool,
        typer.Option(help="Cache of image features for all trials, in the output folder; for frozen vision encoders."),
    ] = False,
    pruner: Annotated[str | None, typer.Option(help="Pruner: median, halving or hyperband; none by default.")] = None,
    study_name: Annotated[str | None, typer.Option(help="Name of the study; EXPERIMENT by default.")] = None,
    heartbeat_interval: Annotated[
        float, typer.Option(help="Seconds between two heartbeats of a running trial.")
    ] = 30.0,
    grace_period: Annotated[
        float, typer.Option(help="Seconds without a heartbeat before a trial counts as stale.")
    ] = 180.0,
    max_failures: Annotated[
        int, typer.Option(help="Number of failed trials in a row after which the worker gives up.")
    ] = 5,
    trial_timeout: Timeout = None,
    trial_silence: Silence = DEFAULT_SILENCE,
    keep: Annotated[
        str, typer.Option(help="Trials that keep their model.pt when the search has finished: all or best.")
    ] = "all",
) -> None:
    """Search the hyperparameters of an experiment with TPE, and test the best trial once.

    Any number of workers share a study by running the same command. After Ctrl-C the same command resumes the search.
    """
    from monai_tunevlseg.search import RemoteFolderError, SearchSettings, run_search

    output = output_dir or Path("runs", "search", experiment)
    shared = {"feature_cache": "disk", "feature_cache_dir": str(output.absolute() / "features")}
    with resumable_command():
        settings = SearchSettings(
            n_trials=n_trials,
            objective=metric,
            seed=seed,
            fixed=(shared if share_features else {}) | parse_overrides(override),
            pruner=pruner,
            storage=storage,
            study_name=study_name,
            heartbeat_interval=heartbeat_interval,
            grace_period=grace_period,
            max_failures=max_failures,
            limits=limits_of(trial_timeout, trial_silence),
            keep=keep,
        )
        try:
            result = run_search(experiment, dataset_dir, output, settings, configs_dir, bundles_dir)
        except RemoteFolderError as error:  # another worker tests the best trial
            typer.echo(f"all trials have finished; {error}")
            return
        typer.echo(_summary(result, output))


def _summary(result: SearchResult, output: Path) -> str:
    from monai_tunevlseg.search import format_params

    best = result.best
    done = sum(trial.state != "FAIL" for trial in result.trials)
    return "\n".join(
        (
            f"{result.experiment}: {done} trials have finished",
            f"best trial {best.number}: {result.plan['objective']} {best.value:.4f}, {format_params(best.params)}",
            f"test Dice {result.metrics['dice']:.2f} %",
            f"hyperparameters {output / 'best.yaml'}, trained bundle {output / 'best'}, report {output / 'test'}",
        )
    )
