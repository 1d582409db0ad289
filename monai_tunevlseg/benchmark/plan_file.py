"""``benchmark.json``: the experiments and settings of a benchmark, which other workers join."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_tunevlseg.benchmark.experiment_selection import all_experiments
from monai_tunevlseg.benchmark.experiment_spec import VARIANTS, ExperimentSpec
from monai_tunevlseg.benchmark.results_folder import FORMAT_VERSION, PLAN_FILE, write_json
from monai_tunevlseg.benchmark.settings import BenchmarkFolders, BenchmarkSettings
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.search import Limits
from monai_tunevlseg.untrusted_values import refuse_expressions

__all__ = ["join_plan", "merge_plan", "write_plan"]

RUN = re.compile(r"(?P<experiment>.*?)(?:-shots(?P<num_shots>\d{1,7}))?(?:-seed(?P<seed>\d{1,10}))?", re.ASCII)


def write_plan(
    folders: BenchmarkFolders, specs: Sequence[ExperimentSpec], settings: BenchmarkSettings
) -> list[ExperimentSpec]:
    """Write ``benchmark.json``, and return all planned experiments, as `merge_plan` does."""
    planned = merge_plan(folders, specs, settings)
    content = {
        "format_version": FORMAT_VERSION,
        "experiments": [spec.name for spec in planned],
        "settings": settings.stored(),
    }
    write_json(folders.results / PLAN_FILE, content)
    return planned


def merge_plan(
    folders: BenchmarkFolders, specs: Sequence[ExperimentSpec], settings: BenchmarkSettings
) -> list[ExperimentSpec]:
    """Return all planned experiments: those of an earlier plan and these.

    Raises:
        ValueError: when the folder has results with other settings (the number of trials of a search may change), or a
            fixed value or a path is an expression.
    """
    new = settings.stored()
    for name, option in (
        ("fixed", "--override"),
        ("absent_texts", "--absent-texts"),
        ("compared_texts", "--compared-texts"),
    ):
        refuse_expressions(new[name], option)  # workers read them from a file, which others may have changed
    earlier: list[ExperimentSpec] = []
    path = folders.results / PLAN_FILE
    if path.is_file():
        earlier, old = _read_plan(path, folders.configs)
        for name in ("objective", "seed", "fixed"):
            if old.get(name) != new[name]:
                raise ValueError(
                    f"{folders.results} has results with {name} {old.get(name)!r}, not {new[name]!r}; choose another "
                    "folder with --results."
                )
        if (old.get("n_trials") == 0) != (new["n_trials"] == 0):
            raise ValueError(
                f"{folders.results} has results with n_trials {old.get('n_trials')!r}, not {new['n_trials']!r}; choose "
                "another folder with --results, because 0 trials are no search."
            )
    return list(dict.fromkeys([*earlier, *specs]))


def join_plan(
    folders: BenchmarkFolders, storage: str | None, limits: Limits | None = None
) -> tuple[list[ExperimentSpec], BenchmarkSettings]:
    """Return the experiments and settings of a benchmark that was started elsewhere.

    Raises:
        FileNotFoundError: when the folder has no plan.
        ValueError: when the plan is damaged or has another format version.
    """
    path = folders.results / PLAN_FILE
    if not path.is_file():
        raise FileNotFoundError(f"no {path}; start the benchmark before its workers.")
    specs, settings = _read_plan(path, folders.configs)
    return specs, replace(BenchmarkSettings(**settings), storage=storage, limits=limits or Limits())


def _read_plan(path: Path, configs_dir: Path) -> tuple[list[ExperimentSpec], dict[str, Any]]:
    try:
        content = read_json_object(path)
        known = {spec.name: spec for spec in _with_variants(all_experiments(configs_dir))}
        specs = [_named(name, known) for name in content["experiments"]]
        settings = dict(content["settings"])
        refuse_expressions(settings, str(path))
        BenchmarkSettings(**settings)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({_message(error)}); remove it, the results remain.") from error
    if content.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{path} has format version {content.get('format_version')!r}, not {FORMAT_VERSION}.")
    return specs, settings


def _named(name: str, known: Mapping[str, ExperimentSpec]) -> ExperimentSpec:
    """Return the experiment of a name, which may end with shots and a seed."""
    parts: Any = RUN.fullmatch(name)
    numbers: dict[str, Any] = {key: int(parts[key]) for key in ("num_shots", "seed") if parts[key] is not None}
    return replace(known[parts["experiment"]], **numbers)


def _message(error: Exception) -> str:
    return str(error).rstrip(".") if isinstance(error, ValueError) else repr(error)


def _with_variants(specs: Sequence[ExperimentSpec]) -> list[ExperimentSpec]:
    return [*specs, *(replace(spec, variant=variant) for spec in specs for variant in VARIANTS)]
