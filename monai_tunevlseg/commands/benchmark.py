"""``tunevlseg benchmark``: experiments after experiments, and the report."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_tunevlseg.commands.error_handling import resumable_command
from monai_tunevlseg.commands.options import (
    DEFAULT_SILENCE,
    STORAGE_VARIABLE,
    BundlesDir,
    ConfigsDir,
    Overrides,
    Silence,
    Storage,
    Timeout,
    limits_of,
    parse_overrides,
)

if TYPE_CHECKING:
    from monai_tunevlseg.benchmark.campaign import Campaign
    from monai_tunevlseg.benchmark.entries import Entry
    from monai_tunevlseg.benchmark.running import BenchmarkSettings

__all__ = ["benchmark"]

WORKERS_END = 30.0  # seconds for a worker to end its trial


def benchmark(
    configs_dir: ConfigsDir,
    bundles_dir: BundlesDir,
    data_root: Annotated[
        Path | None,
        typer.Option(help="Folder with a subfolder for each dataset, named like it; RESULTS/data by default."),
    ] = None,
    experiments: Annotated[
        str | None, typer.Option(help="Names of experiments with * and ?, such as 'kvasir/*,busi/clipseg_*'.")
    ] = None,
    n_trials: Annotated[int | None, typer.Option(help="Number of trials of each search; 20 by default.")] = None,
    results: Annotated[
        Path, typer.Option(help="Folder of the results; rerun with the same one to resume or add experiments.")
    ] = Path("results"),
    variant: Annotated[
        list[str] | None,
        typer.Option(help="Ablation to add: gaussian (Table 4) or no_upsampler (Table 5); may be repeated."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Predefined benchmark: demo (synthetic data, tiny models, under 45 minutes).")
    ] = None,
    worker: Annotated[
        bool, typer.Option("--worker", help="Worker mode: joins the benchmark that was begun in RESULTS.")
    ] = False,
    n_jobs: Annotated[int | None, typer.Option(help="Number of parallel processes; 1 by default.")] = None,
    storage: Storage = None,
    metric: Annotated[str, typer.Option(help="Metric that selects the best trial: val_dice or val_loss.")] = "val_dice",
    seed: Annotated[int, typer.Option(help="Random seed of the samplers.")] = 0,
    override: Overrides = None,
    best_only: Annotated[
        bool, typer.Option("--best-only", help="Test of the best trials only; Figures 5-7 need the others, too.")
    ] = False,
    trial_timeout: Timeout = None,
    trial_silence: Silence = DEFAULT_SILENCE,
) -> None:
    """Search and test every matching experiment, skip finished ones, continue after failures, and write the report.

    Experiments' names are DATASET/MODEL_METHOD; the method may be finetune or zero_shot, too.
    """
    from monai_tunevlseg.benchmark.presets import PRESETS
    from monai_tunevlseg.benchmark.running import BenchmarkSettings

    with resumable_command():
        if preset is not None and preset not in PRESETS:
            raise ValueError(f"there is no preset {preset!r}; known are {', '.join(PRESETS)}.")
        chosen = PRESETS[preset] if preset else None
        settings = BenchmarkSettings(
            n_trials=(chosen.n_trials if chosen else 20) if n_trials is None else n_trials,
            objective=metric,
            seed=seed,
            fixed={**(chosen.fixed if chosen else {}), **parse_overrides(override)},
            best_only=best_only,
            storage=storage,
            limits=limits_of(trial_timeout, trial_silence),
        )
        count = 1 if worker else (chosen.n_jobs if chosen else 1) if n_jobs is None else n_jobs
        if count < 1:
            raise ValueError(f"n_jobs is {count}; it must be 1 or more.")
        patterns = experiments.split(",") if experiments else list(chosen.patterns) if chosen else []
        data = data_root or results / "data"
        folders = (results, data, configs_dir, bundles_dir)
        campaign = _campaign(patterns, settings, variant or [], worker, folders)
        if chosen and not worker:
            _write_data(data)
        with _workers(count - 1, folders, settings):
            campaign.run()
        if not worker:
            _report(results)
    _conclude(campaign)


def _campaign(
    patterns: list[str],
    settings: BenchmarkSettings,
    variants: list[str],
    worker: bool,
    folders: tuple[Path, Path, Path, Path],
) -> Campaign:
    from monai_tunevlseg.benchmark.campaign import Campaign, join_plan, write_plan
    from monai_tunevlseg.benchmark.planning import check_fixed, plan_entries
    from monai_tunevlseg.benchmark.running import EntryRunner
    from monai_tunevlseg.search import open_storage

    results, data, configs, bundles = folders
    entries: list[Entry]
    if worker:
        entries, settings = join_plan(results, settings.storage, configs, settings.limits)
    else:
        if not patterns:
            raise ValueError("say which experiments: --experiments 'kvasir/*,busi/clipseg_*', or --preset demo.")
        entries = plan_entries(configs, patterns, variants, bundles)
        check_fixed(entries, settings.fixed, configs, bundles)
    if settings.storage:
        open_storage(settings.storage)  # if it cannot be reached, say so before anything is run
    if not worker:
        entries = write_plan(results, entries, settings, configs)
    return Campaign(entries, EntryRunner(results, data, settings, configs, bundles), typer.echo)


@contextmanager
def _workers(count: int, folders: tuple[Path, Path, Path, Path], settings: BenchmarkSettings) -> Iterator[None]:
    """Run so many other workers until the block ends, each with its share of the processors."""
    from monai_tunevlseg.bundle_processes import ChildProcess

    results, data, configs, bundles = folders
    command = [sys.executable, "-m", "monai_tunevlseg", "benchmark", "--worker", "--results", str(results)]
    command += ["--data-root", str(data), "--configs-dir", str(configs), "--bundles-dir", str(bundles)]
    command += ["--trial-silence", str(settings.limits.silence or 0)]
    command += ["--trial-timeout", str(settings.limits.timeout)] if settings.limits.timeout else []
    environment = {STORAGE_VARIABLE: settings.storage} if settings.storage else {}  # it may have a password
    if count:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // (count + 1))))
    with ExitStack() as running:
        processes = []
        for number in range(1, count + 1):
            log = results / f"worker{number}.log"
            log.unlink(missing_ok=True)
            processes.append(ChildProcess(command, log, environment))
            running.callback(processes[-1].stop, patience=WORKERS_END)
        yield
        for process in processes:
            process.process.wait()


def _write_data(data_root: Path) -> None:
    from monai_tunevlseg.benchmark.presets import write_demo_data

    write_demo_data(data_root)


def _report(results: Path) -> None:
    from monai_tunevlseg.benchmark import write_report

    report = write_report(results)
    for problem in report.problems:
        typer.echo(f"warning: {problem.place}: {problem.message}", err=True)
    typer.echo(f"report: {results / 'report' / 'report.html'}")


def _conclude(campaign: Campaign) -> None:
    """List what has failed, and exit with 1 when anything has."""
    for entry, message in campaign.failures.items():
        typer.echo(f"failed: {entry.name}: {message}", err=True)
    if campaign.failures:
        raise typer.Exit(1)
