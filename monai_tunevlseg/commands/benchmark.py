"""``tunevlseg benchmark``: search and test of many experiments, and the report."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monai_tunevlseg.commands.error_handling import plain_warnings, resumable_command
from monai_tunevlseg.commands.options import (
    DEFAULT_SILENCE,
    STORAGE_VARIABLE,
    BundlesDir,
    ConfigsDir,
    Metric,
    Overrides,
    Seed,
    Silence,
    Storage,
    Timeout,
    limits_of,
    parse_overrides,
)
from monai_tunevlseg.commands.report import write_with_warnings

if TYPE_CHECKING:
    from monai_tunevlseg.benchmark.experiment_spec import ExperimentSpec
    from monai_tunevlseg.benchmark.presets import Preset
    from monai_tunevlseg.benchmark.settings import BenchmarkFolders, BenchmarkSettings

__all__ = ["benchmark"]

STOP_TIMEOUT = 30.0  # seconds for a worker to end its trial
ALL_IMAGES = "all"


DataRoot = Annotated[
    Path | None, typer.Option(help="Folder with a subfolder for each dataset, named like it; RESULTS/data by default.")
]
Experiments = Annotated[
    str | None, typer.Option(help="Names of experiments with * and ?, such as 'kvasir/*,busi/clipseg_*'.")
]
NTrials = Annotated[
    int | None,
    typer.Option(
        help="Number of trials of each search, 20 by default; 0 = no search, but the hyperparameters of the configs."
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,...",
        help="Seeds of the training, such as 0,1,2: one run each, with the hyperparameters of a search without them.",
    ),
]
Shots = Annotated[
    str | None,
    typer.Option(
        metavar="K,K,...",
        help="Numbers of training images per class, such as 1,2,4,8,16,all: one run each, with the hyperparameters of "
        "a search with all images. With --seeds, each seed draws other images.",
    ),
]
AbsentTexts = Annotated[
    str | None,
    typer.Option(
        metavar="classes|pool|FILE",
        help="Texts that an image does not show, for which the tests report false positives: the other classes of the "
        "dataset, the package's pool, or a file of texts.",
    ),
]
ComparedTexts = Annotated[
    str | None,
    typer.Option(
        metavar="class_name|published|FILE",
        help="Texts for a class whose masks the tests compare, with controls: the class name, the published texts, or "
        "a JSON file of texts by class.",
    ),
]
Transfer = Annotated[
    bool,
    typer.Option(
        "--transfer",
        help="Additional test of each run on the other datasets of the plan that have classes of its dataset only.",
    ),
]
Results = Annotated[
    Path, typer.Option(help="Folder of the results; rerun with the same one to resume or add experiments.")
]
Variants = Annotated[
    list[str] | None,
    typer.Option(
        help="Variant to add: decoder (prompts or adapters with a trained decoder), negative_texts (trained with three "
        "absent texts per image), robust (the recipe for real use), gaussian (Table 4) or no_upsampler (Table 5); may "
        "be repeated."
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        help="Predefined benchmark on synthetic data with tiny models: demo (everything, about an hour), obedience "
        "(absent texts, without and with negative texts in training, three seeds; about 80 minutes) or curves (four "
        "numbers of training images, three seeds; about 50 minutes)."
    ),
]
Worker = Annotated[bool, typer.Option("--worker", help="Worker mode: joins the benchmark that was started in RESULTS.")]
NJobs = Annotated[int | None, typer.Option(help="Number of parallel processes; 1 by default.")]
BestOnly = Annotated[
    bool, typer.Option("--best-only", help="Test of the best trials only; Figures 5-7 need the others, too.")
]


def benchmark(
    context: typer.Context,
    configs_dir: ConfigsDir,
    bundles_dir: BundlesDir,
    data_root: DataRoot = None,
    experiments: Experiments = None,
    n_trials: NTrials = None,
    results: Results = Path("results"),
    variant: Variants = None,
    preset: PresetName = None,
    worker: Worker = False,
    n_jobs: NJobs = None,
    storage: Storage = None,
    metric: Metric = "val_dice",
    seed: Seed = 0,
    seeds: Seeds = None,
    shots: Shots = None,
    absent_texts: AbsentTexts = None,
    compared_texts: ComparedTexts = None,
    transfer: Transfer = False,
    override: Overrides = None,
    best_only: BestOnly = False,
    trial_timeout: Timeout = None,
    trial_silence: Silence = DEFAULT_SILENCE,
) -> None:
    """Search and test every matching experiment, skip finished ones, continue after failures, and write the report.

    An experiment's name is DATASET/MODEL_METHOD, where METHOD may be a baseline such as zero_shot.
    """
    with resumable_command(), plain_warnings():
        chosen, folders = _preset(preset), _folders(context.params)
        settings, count = _settings(context.params, chosen), _count_workers(context.params, chosen)
        specs, settings = _join(settings, folders) if worker else _plan(context.params, chosen, settings, folders)
        with _workers(count - 1, folders, settings):
            failures = _run(specs, folders, settings)
        if not worker:
            typer.echo(f"report: {write_with_warnings(results)}")
    _exit_with_failures(failures)


def _folders(options: Mapping[str, Any]) -> BenchmarkFolders:
    """Return the folders of a benchmark's options."""
    from monai_tunevlseg.benchmark.settings import BenchmarkFolders

    data = options["data_root"] or options["results"] / "data"
    return BenchmarkFolders(options["results"], data, options["configs_dir"], options["bundles_dir"])


def _settings(options: Mapping[str, Any], chosen: Preset) -> BenchmarkSettings:
    """Return the settings of a benchmark's options."""
    from monai_tunevlseg.benchmark.settings import BenchmarkSettings

    absent, compared = options["absent_texts"], options["compared_texts"]
    return BenchmarkSettings(
        n_trials=chosen.n_trials if options["n_trials"] is None else options["n_trials"],
        objective=options["metric"],
        seed=options["seed"],
        fixed={**chosen.fixed, **parse_overrides(options["override"])},
        best_only=options["best_only"],
        absent_texts=chosen.absent_texts if absent is None else _absent_source(absent),
        compared_texts=chosen.compared_texts if compared is None else _compared_source(compared),
        transfer=options["transfer"],
        storage=options["storage"],
        limits=limits_of(options["trial_timeout"], options["trial_silence"]),
    )


def _count_workers(options: Mapping[str, Any], chosen: Preset) -> int:
    """Return the number of parallel processes, of which a worker is one."""
    count = chosen.n_jobs if options["n_jobs"] is None else int(options["n_jobs"])
    if count < 1:
        raise ValueError(f"n_jobs is {count}; it must be 1 or more.")
    return 1 if options["worker"] else count


def _run(specs: Sequence[ExperimentSpec], folders: BenchmarkFolders, settings: BenchmarkSettings) -> dict[str, str]:
    """Run the experiments and, if the settings say so, their transfers.

    Returns:
        the error message of each failure, by its folder in the results.
    """
    from monai_tunevlseg.benchmark.benchmark_runner import BenchmarkRunner
    from monai_tunevlseg.benchmark.experiment_runner import ExperimentRunner

    runner = BenchmarkRunner(specs, ExperimentRunner(folders, settings), typer.echo)
    runner.run()
    failures = {spec.name: message for spec, message in runner.failures.items()}
    if settings.transfer:
        failures |= _run_transfers(specs, set(runner.failures), folders, settings)
    return failures


def _run_transfers(
    specs: Sequence[ExperimentSpec],
    failed: Collection[ExperimentSpec],
    folders: BenchmarkFolders,
    settings: BenchmarkSettings,
) -> dict[str, str]:
    """Test the trained experiments that did not fail on the other datasets of their tasks; return as `_run` does."""
    from monai_tunevlseg.benchmark.benchmark_runner import BenchmarkRunner
    from monai_tunevlseg.benchmark.planned_datasets import domains_of, read_dataset_specs
    from monai_tunevlseg.benchmark.transfer_runner import TransferRunner

    datasets = read_dataset_specs(specs, folders, settings.fixed)
    domains = domains_of(specs, datasets)
    tested = [spec for spec in specs if spec.trains and spec not in failed and domains[spec.dataset]]
    transfers = BenchmarkRunner(tested, TransferRunner(folders, settings, datasets, domains), typer.echo, "transfers")
    transfers.run()
    return {f"{transfers.runner.folders.results.name}/{spec.name}": why for spec, why in transfers.failures.items()}


def _preset(name: str | None) -> Preset:
    """Return a preset, or the defaults for None."""
    from monai_tunevlseg.benchmark.presets import PRESETS, Preset

    if name is None:
        return Preset(patterns=(), n_trials=20, n_jobs=1)
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; known presets: {', '.join(PRESETS)}.")
    return PRESETS[name]


def _parse_seeds(text: str) -> list[int]:
    """Read seeds with commas between them.

    Raises:
        ValueError: when one is not a whole number of 0 or more, or is given twice.
    """
    from monai_tunevlseg.hyperparameters import parse_hyperparameter

    seeds = [parse_hyperparameter("seed", part.strip()) for part in text.split(",")]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds is {text!r}, which has a seed twice; give each once.")
    return seeds


def _parse_shots(text: str) -> list[int | None]:
    """Read numbers of images with commas between them; None is all.

    Raises:
        ValueError: when one is neither a whole number of 1 or more nor "all", or is given twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if wrong := [part for part in parts if part != ALL_IMAGES and not re.fullmatch(r"0*[1-9]\d{0,5}", part, re.ASCII)]:
        raise ValueError(
            f"shots is {text!r}, where {wrong[0]!r} is neither a whole number from 1 to 999999 nor 'all'; list numbers "
            "of images per class, such as --shots 4,16,all."
        )
    shots = [None if part == ALL_IMAGES else int(part) for part in parts]
    if len(set(shots)) < len(shots):
        raise ValueError(f"shots is {text!r}, which has a number twice; give each once.")
    return shots


def _absent_source(value: str) -> str:
    from monai_tunevlseg.data.absent_texts import CLASSES, POOL

    return _source("absent_texts", value, (CLASSES, POOL))


def _compared_source(value: str) -> str:
    from monai_tunevlseg.data.dataset_spec import CLASS_NAME
    from monai_tunevlseg.data.text_sets import PUBLISHED

    return _source("compared_texts", value, (CLASS_NAME, PUBLISHED))


def _source(option: str, value: str, known: Sequence[str]) -> str:
    """Return the source of texts; a file's path is absolute.

    Raises:
        FileNotFoundError: when it is neither a known name nor a file.
    """
    if value in known:
        return value
    path = Path(value).expanduser().absolute()
    if not path.is_file():
        names = ", ".join(map(repr, known))
        raise FileNotFoundError(f"{option} is {value!r}, which is neither {names} nor a file; correct the path.")
    return str(path)


def _join(settings: BenchmarkSettings, folders: BenchmarkFolders) -> tuple[list[ExperimentSpec], BenchmarkSettings]:
    """Return the experiments and settings of a worker."""
    from monai_tunevlseg.benchmark.plan_file import join_plan

    specs, settings = join_plan(folders, settings.storage, settings.limits)
    _check_storage(settings)
    return specs, settings


def _plan(
    options: Mapping[str, Any], chosen: Preset, settings: BenchmarkSettings, folders: BenchmarkFolders
) -> tuple[list[ExperimentSpec], BenchmarkSettings]:
    """Select the experiments of a benchmark with their seeds and shots, and write its plan and a preset's data."""
    from monai_tunevlseg.benchmark.plan_file import merge_plan, write_plan
    from monai_tunevlseg.benchmark.planned_datasets import domains_of, merge_surplus_shots, read_dataset_specs
    from monai_tunevlseg.benchmark.presets import write_demo_data

    specs = _select(options, chosen, settings, folders)
    _check_storage(settings)
    planned = merge_plan(folders, specs, settings)
    if settings.transfer:
        domains_of(planned, read_dataset_specs(planned, folders, settings.fixed))
    if options["preset"]:
        write_demo_data(folders.data, chosen.num_images)
    if any(spec.num_shots for spec in specs):
        specs = merge_surplus_shots(specs, read_dataset_specs(specs, folders, settings.fixed), typer.echo)
    return write_plan(folders, specs, settings), settings


def _select(
    options: Mapping[str, Any], chosen: Preset, settings: BenchmarkSettings, folders: BenchmarkFolders
) -> list[ExperimentSpec]:
    """Select the experiments of a benchmark with their seeds and shots."""
    from monai_tunevlseg.benchmark.experiment_selection import check_hyperparameters, select_experiments

    patterns = options["experiments"].split(",") if options["experiments"] else chosen.patterns
    if not patterns:
        raise ValueError("no experiments; use --experiments 'kvasir/*,busi/clipseg_*' or --preset demo.")
    seeds = chosen.seeds if options["seeds"] is None else _parse_seeds(options["seeds"])
    shots = chosen.shots if options["shots"] is None else _parse_shots(options["shots"])
    drawn = ["num_shots", "train_fraction", *(["subset_seed"] if seeds else [])]
    for option, values, names in (("seeds", seeds, ["seed"]), ("shots", shots, drawn)):
        if values and (fixed := [name for name in names if name in settings.fixed]):
            raise ValueError(f"--override fixes {fixed[0]}, and --{option} lists values; leave one of them out.")
    variants = options["variant"] or chosen.variants
    specs = select_experiments(folders.configs, patterns, variants, folders.bundles, seeds, shots)
    check_hyperparameters(specs, settings.fixed, folders.configs, folders.bundles)
    return specs


def _check_storage(settings: BenchmarkSettings) -> None:
    """Raise an error before anything runs if the storage cannot be reached."""
    from monai_tunevlseg.search import open_storage

    if settings.storage:
        open_storage(settings.storage)


@contextmanager
def _workers(count: int, folders: BenchmarkFolders, settings: BenchmarkSettings) -> Iterator[None]:
    """Run ``count`` other workers until the block ends, and share the CPU cores among all."""
    from monai_tunevlseg.bundle_processes import ChildProcess

    command = [sys.executable, "-m", "monai_tunevlseg", "benchmark", "--worker", "--results", str(folders.results)]
    command += ["--data-root", str(folders.data)]
    command += ["--configs-dir", str(folders.configs), "--bundles-dir", str(folders.bundles)]
    command += ["--trial-silence", str(settings.limits.silence or 0)]
    command += ["--trial-timeout", str(settings.limits.timeout)] if settings.limits.timeout else []
    environment = {STORAGE_VARIABLE: settings.storage} if settings.storage else {}  # the URL may have a password
    if count:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // (count + 1))))
    with ExitStack() as running:
        processes = []
        for number in range(1, count + 1):
            log = folders.results / f"worker{number}.log"
            log.unlink(missing_ok=True)
            processes.append(ChildProcess(command, log, environment))
            running.callback(processes[-1].stop, patience=STOP_TIMEOUT)
        yield
        for process in processes:
            process.process.wait()


def _exit_with_failures(failures: Mapping[str, str]) -> None:
    """List what failed; exit with 1 if anything did."""
    for name, message in failures.items():
        typer.echo(f"failed: {name}: {message}", err=True)
    if failures:
        raise typer.Exit(1)
