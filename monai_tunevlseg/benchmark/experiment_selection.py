"""Selecting the experiments of a benchmark by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from monai_tunevlseg.benchmark.experiment_spec import VARIANTS, ExperimentSpec, Group
from monai_tunevlseg.bundles import all_experiment_facts, experiment_facts, prompted_encoders
from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.methods import METHODS, Adapter
from monai_tunevlseg.search import find_experiment

__all__ = ["all_experiments", "check_hyperparameters", "dataset_title", "select_experiments", "titles_of"]


def all_experiments(configs_dir: str | Path) -> list[ExperimentSpec]:
    """Return all experiments without variants.

    Within a dataset the fast ones come first, which finds unreadable datasets early.
    """
    specs = [_spec(facts) for facts in all_experiment_facts(configs_dir).values()]
    return sorted(specs, key=lambda spec: (spec.dataset, spec.trains + (spec.trains and spec.baseline), spec))


def _spec(facts: Mapping[str, Any]) -> ExperimentSpec:
    names = {part: facts[part]["name"] for part in ("dataset", "model", "method")}
    return ExperimentSpec(**names, group=_group(facts["model"], facts["method"]))


def _group(model: Mapping[str, Any], method: Mapping[str, Any]) -> Group:
    """Return the group of an experiment by the facts of its fragments."""
    if not model["reads_text"]:
        return Group.IMAGE_ONLY
    if not method["trains"]:
        return Group.ZERO_SHOT
    if method["name"] not in set(METHODS):
        return Group.FINE_TUNING
    return Group.ADAPTERS if issubclass(METHODS[method["name"]], Adapter) else Group.PROMPTS


def select_experiments(
    configs_dir: str | Path,
    patterns: Sequence[str],
    variants: Sequence[str],
    bundles_dir: str | Path,
    seeds: Sequence[int] = (),
    shots: Sequence[int | None] = (),
) -> list[ExperimentSpec]:
    """Return the experiments whose names match, in the order in which they run.

    Args:
        configs_dir: the folder of the fragments.
        patterns: names with ``*`` and ``?``, such as ``kvasir/*`` or ``*/clipseg_zero_shot``.
        variants: names in ``VARIANTS``; each is added for the prompt learners and adapters whose bundles
            have all of its hyperparameters, and another value of at least one.
        bundles_dir: the folder of the bundles; only read for variants.
        seeds: training seeds, each of which is a run of every experiment that trains; none = the bundle's seed.
        shots: numbers of training images per class, each of which is a run of every experiment that trains with
            every seed; None in it = all images, and so is an empty sequence.

    Raises:
        FileNotFoundError: when ``configs_dir`` has no experiments, or not the recipe of a variant.
        ValueError: when a pattern matches nothing, or a variant is unknown; suggests similar names.
    """
    known = all_experiments(configs_dir)
    if not known:
        raise FileNotFoundError(f"{configs_dir} has no experiments; leave --configs-dir out for the package's own.")
    for variant in variants:
        if variant not in VARIANTS:
            raise ValueError(f"unknown variant {variant!r}; known variants: {', '.join(VARIANTS)}.")
    chosen = _matching(known, patterns)
    own = {
        spec: find_experiment(spec.experiment, configs_dir, bundles_dir).flat_values("train")
        for spec in chosen
        if variants and not spec.baseline
    }
    changed = [
        replace(spec, variant=variant)
        for variant, changes in {name: VARIANTS[name].changes(configs_dir) for name in variants}.items()
        for spec, values in own.items()
        if _differs(values, changes)
    ]
    planned = chosen + changed
    if not seeds and not shots:
        return planned
    each_seed: Sequence[int | None] = seeds or [None]
    runs = [
        replace(spec, num_shots=num_shots, seed=seed)
        for seed in each_seed
        for num_shots in shots or [None]
        for spec in planned
        if spec.trains
    ]
    return [*(spec for spec in planned if not spec.trains), *runs]


def _matching(known: Sequence[ExperimentSpec], patterns: Sequence[str]) -> list[ExperimentSpec]:
    names = [spec.name for spec in known]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = difflib.get_close_matches(pattern, names) or [f"{name.partition('/')[0]}/*" for name in names]
            raise ValueError(f"no experiment matches {pattern!r}; similar names: {', '.join(dict.fromkeys(near))}.")
    return [spec for spec in known if any(fnmatchcase(spec.name, pattern) for pattern in patterns)]


def _differs(values: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    """Return whether a bundle has these hyperparameters, and another value of at least one."""
    return changes.keys() <= values.keys() and any(values[name] != value for name, value in changes.items())


def check_hyperparameters(
    specs: Sequence[ExperimentSpec], names: Iterable[str], configs_dir: str | Path, bundles_dir: str | Path
) -> None:
    """Check that at least one bundle of the experiments has each hyperparameter.

    Raises:
        ValueError: when no bundle has it; suggests similar names.
    """
    bundles = {spec.bundle: spec for spec in specs}.values()
    values = [find_experiment(spec.experiment, configs_dir, bundles_dir).flat_values(spec.config) for spec in bundles]
    known = set().union(*values)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known)) or sorted(known)
            raise ValueError(f"no bundle has the hyperparameter {name!r}; similar names: {', '.join(near)}.")


def dataset_title(name: str) -> str:
    """Return the title of a dataset, made of its name if it is not a public one."""
    info = LAYOUTS[name].info if name in set(LAYOUTS) else None
    return name.replace("_", " ").capitalize() if info is None else info.title


def titles_of(configs_dir: str | Path, spec: ExperimentSpec) -> tuple[dict[str, str], list[str]]:
    """Return the titles of dataset, model and method, and the encoders that the method prompts."""
    facts = experiment_facts(configs_dir, spec.experiment)
    titles = {
        "dataset": dataset_title(spec.dataset),
        "model": facts["model"]["title"],
        "method": facts["method"]["title"],
    }
    prompted = zip(("text", "vision"), prompted_encoders(spec.method), strict=True)
    return titles, [encoder for encoder, prompts in prompted if prompts]
