"""``tunevlseg search``: the hyperparameters of a pair."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_tunevlseg.commands.endings import long_run, named_values
from monai_tunevlseg.commands.folders import BundlesDir, ConfigsDir
from monai_tunevlseg.commands.options import DEFAULT_SILENCE, Silence, Storage, Timeout, limits_of

if TYPE_CHECKING:
    from monai_tunevlseg.search import SearchResult

__all__ = ["search"]


def search(
    pair: Annotated[str, typer.Argument(metavar="PAIR", help="DATASET/MODEL_LEARNER, such as kvasir/clipseg_vpt.")],
    dataset_dir: Annotated[Path, typer.Option(help="The dataset.")],
    configs_dir: ConfigsDir,
    bundles_dir: BundlesDir,
    trials: Annotated[
        int, typer.Option(help="Trials that are to finish; a higher number later adds the missing ones.")
    ] = 20,
    storage: Storage = None,
    output_dir: Annotated[
        Path | None, typer.Option(help="Trials, the best one and its test; the default is runs/search/PAIR.")
    ] = None,
    metric: Annotated[str, typer.Option(help="What trials are compared by: val_dice or val_loss.")] = "val_dice",
    seed: Annotated[int, typer.Option(help="Random seed of the sampler.")] = 0,
    fixed: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A hyperparameter that every trial gets; may be repeated."),
    ] = None,
    share_features: Annotated[
        bool, typer.Option(help="With CoOp and CoCoOp: encode each image once for all trials, in the output folder.")
    ] = False,
    pruner: Annotated[str | None, typer.Option(help="median, halving or hyperband; the default is none.")] = None,
    study_name: Annotated[str | None, typer.Option(help="The default is PAIR.")] = None,
    heartbeat: Annotated[float, typer.Option(help="Seconds between two signs of life of a trial.")] = 30.0,
    grace: Annotated[float, typer.Option(help="Seconds without one until a trial is given up for dead.")] = 180.0,
    max_failures: Annotated[int, typer.Option(help="Failed trials in a row until the worker gives up.")] = 5,
    trial_timeout: Timeout = None,
    trial_silence: Silence = DEFAULT_SILENCE,
    keep: Annotated[
        str, typer.Option(help="Trials that keep their model.pt when the search has finished: all or best.")
    ] = "all",
) -> None:
    """Search the hyperparameters of a pair with TPE, and test the best trial once.

    Any number of workers join one study by running the same command. Ctrl-C ends a worker; the same command continues.
    """
    from monai_tunevlseg.search import ElsewhereError, SearchSettings, run_search

    output = output_dir or Path("runs", "search", pair)
    shared = {"feature_cache": "disk", "feature_cache_dir": str(output.absolute() / "features")}
    with long_run():
        settings = SearchSettings(
            trials=trials,
            objective=metric,
            seed=seed,
            fixed=(shared if share_features else {}) | named_values(fixed or []),
            pruner=pruner,
            storage=storage,
            study_name=study_name,
            heartbeat=heartbeat,
            grace=grace,
            max_failures=max_failures,
            limits=limits_of(trial_timeout, trial_silence),
            keep=keep,
        )
        try:
            result = run_search(pair, dataset_dir, output, settings, configs_dir, bundles_dir)
        except ElsewhereError as error:  # this worker has done its part
            typer.echo(f"all trials have finished; {error}")
            return
        typer.echo(_text(result, output))


def _text(result: SearchResult, output: Path) -> str:
    best = result.best
    params = ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in best.params.items())
    done = sum(trial.state != "FAIL" for trial in result.trials)
    return "\n".join(
        (
            f"{result.pair}: {done} trials have finished",
            f"best trial {best.number}: {result.plan['objective']} {best.value:.4f}, {params}",
            f"test Dice {result.metrics['dice']:.2f} %",
            f"hyperparameters {output / 'best.yaml'}, trained bundle {output / 'best'}, report {output / 'test'}",
        )
    )
