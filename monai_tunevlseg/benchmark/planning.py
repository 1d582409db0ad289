"""Which entries a benchmark has, and how long it will take."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean

from monai_tunevlseg.benchmark.entries import BASELINES, FINE_TUNING, VARIANTS, ZERO_SHOT, Entry
from monai_tunevlseg.bundles import experiment_names, read_facts
from monai_tunevlseg.data import LAYOUTS
from monai_tunevlseg.search import find_experiment

__all__ = ["all_entries", "check_fixed", "estimate_seconds", "plan_entries", "titles_of"]


def all_entries(configs_dir: str | Path) -> list[Entry]:
    """Return every entry without variants: all experiments, and zero-shot for each dataset and model.

    Within a dataset what is quick comes first, so that a dataset that cannot be read is found soon.
    """
    configs = Path(configs_dir)
    models = [path.stem for path in sorted((configs / "models").glob("*.yaml"))]
    entries = set()
    for name in experiment_names(configs):
        dataset, _, bundle = name.partition("/")
        (model,) = (model for model in models if bundle.startswith(f"{model}_"))
        entries.add(Entry(dataset, model, bundle.removeprefix(f"{model}_")))
        entries.add(Entry(dataset, model, ZERO_SHOT))
    order = {ZERO_SHOT: 0, FINE_TUNING: 2}
    return sorted(entries, key=lambda entry: (entry.dataset, order.get(entry.method, 1), entry))


def plan_entries(
    configs_dir: str | Path,
    patterns: Sequence[str],
    variants: Sequence[str],
    bundles_dir: str | Path,
) -> list[Entry]:
    """Return the entries whose names match, in the order in which they are run.

    Args:
        configs_dir: the folder of the fragments.
        patterns: names with ``*`` and ``?``, such as ``kvasir/*`` or ``*/clipseg_zero_shot``.
        variants: of ``VARIANTS``; added for the prompt learners that have what they change.
        bundles_dir: the folder of the bundles; only read for variants.

    Raises:
        FileNotFoundError: when ``configs_dir`` has no experiments.
        ValueError: when a pattern matches nothing, or a variant is unknown; names what is near.
    """
    known = all_entries(configs_dir)
    if not known:
        raise FileNotFoundError(f"{configs_dir} has no experiments; leave --configs-dir out for the package's own.")
    for variant in variants:
        if variant not in VARIANTS:
            raise ValueError(f"there is no variant {variant!r}; known are {', '.join(VARIANTS)}.")
    names = [entry.name for entry in known]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = difflib.get_close_matches(pattern, names) or [f"{name.partition('/')[0]}/*" for name in names]
            raise ValueError(f"no experiment matches {pattern!r}; near to it are {', '.join(dict.fromkeys(near))}.")
    chosen = [entry for entry in known if any(fnmatchcase(entry.name, pattern) for pattern in patterns)]
    changed = [
        Entry(entry.dataset, entry.model, entry.method, variant)
        for variant in variants
        for entry in chosen
        if entry.method not in BASELINES
        and VARIANTS[variant].override
        in find_experiment(entry.experiment, configs_dir, bundles_dir).flat_values("train")
    ]
    return chosen + changed


def check_fixed(
    entries: Sequence[Entry], fixed: Iterable[str], configs_dir: str | Path, bundles_dir: str | Path
) -> None:
    """Check that every hyperparameter is one of some entry's bundle.

    Raises:
        ValueError: when no bundle has it; names what is near.
    """
    experiments = {entry.bundle: find_experiment(entry.experiment, configs_dir, bundles_dir) for entry in entries}
    known = {name for experiment in experiments.values() for name in experiment.flat_values("train")}
    for name in fixed:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known)) or sorted(known)
            raise ValueError(f"no bundle has a hyperparameter {name!r}; near to it are {', '.join(near)}.")


def titles_of(configs_dir: str | Path, entry: Entry) -> tuple[dict[str, str], list[str]]:
    """Return the titles of an entry's dataset, model and method, and which encoders its method prompts."""
    configs = Path(configs_dir)
    model = read_facts(configs / "models" / f"{entry.model}.yaml")
    method = {"title": "zero-shot", "prompts": []}
    if entry.method != ZERO_SHOT:
        method = read_facts(configs / "methods" / f"{entry.method}.yaml")
    facts = LAYOUTS[entry.dataset].info if entry.dataset in set(LAYOUTS) else None
    dataset = entry.dataset.replace("_", " ").capitalize() if facts is None else facts.title
    titles = {"dataset": dataset, "model": model["title"], "method": method["title"]}
    return titles, list(method["prompts"])


def estimate_seconds(remaining: Sequence[Entry], taken: Mapping[Entry, float]) -> float | None:
    """Estimate how long the remaining entries take, one after the other.

    An entry takes as long as finished ones of its model and method did, else of its method, else of any.

    Args:
        remaining: entries that are not finished.
        taken: seconds of those that are.

    Returns:
        seconds, or None while nothing like the remaining entries is finished.
    """
    total = 0.0
    for entry in remaining:
        quick = entry.method == ZERO_SHOT
        alike = [(other, seconds) for other, seconds in taken.items() if (other.method == ZERO_SHOT) == quick]
        same_method = [(other, seconds) for other, seconds in alike if other.method == entry.method]
        same_bundle = [(other, seconds) for other, seconds in same_method if other.model == entry.model]
        nearest = same_bundle or same_method or alike
        if nearest:
            total += fmean(seconds for _, seconds in nearest)
        elif not quick:
            return None
    return total
