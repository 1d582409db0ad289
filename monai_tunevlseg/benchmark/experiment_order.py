"""The order of datasets and experiments in the report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from monai_tunevlseg.benchmark.experiment_spec import MAIN_TABLE, VARIANTS, ExperimentSpec, Group
from monai_tunevlseg.benchmark.paper_tables import paper_datasets, paper_methods

__all__ = ["ordered_datasets", "row_order", "variant_order"]


def ordered_datasets(names: Iterable[str]) -> list[str]:
    """Return names without repetition, the paper's datasets first and in its order."""
    paper = paper_datasets()
    return sorted(set(names), key=lambda name: (paper.index(name) if name in paper else len(paper), name))


def _variant_place(spec: ExperimentSpec) -> int:
    """Return the place of a variant of Table 3 after the experiments without one."""
    return 0 if spec.variant is None or spec.table != MAIN_TABLE else 1 + list(VARIANTS).index(spec.variant)


def row_order(spec: ExperimentSpec) -> tuple[int, int, int, str, str]:
    """Return the sort key of rows: by group, then by the variant of Table 3, then the paper's order."""
    known, combination = paper_methods(), (spec.model, spec.method)
    place = known.index(combination) if combination in known else len(known)
    return list(Group).index(spec.group), _variant_place(spec), place, spec.model, spec.method


def variant_order(spec: ExperimentSpec) -> tuple[Any, ...]:
    """Return a sort key by which a variant follows the experiment that it changes."""
    group, variant, *place = row_order(spec)
    return group, *place, variant, spec.variant or ""
