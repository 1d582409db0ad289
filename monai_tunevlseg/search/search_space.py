"""Search spaces: read from ``configs/search/`` and scaled to the sizes of the base model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from monai_tunevlseg.bundles.templates import Templates
from monai_tunevlseg.yaml_files import parse_yaml_mapping

__all__ = ["Dimension", "ScalingSizes", "SearchSpace", "format_params", "read_search_space", "suggest"]

_COMMON = "common"
_RANGE, _CHOICES = {"low", "high", "log", "below"}, {"choices", "scales_with", "at", "divides"}


@dataclass(frozen=True)
class ScalingSizes:
    """Sizes of the base model by which a search space is scaled.

    Attributes:
        text_dim: width of the text encoder; 512 in the paper.
        joint_dim: sum of the widths of the text and the vision encoder; 1280 in the paper.
        num_layers: number of layers of the prompted encoder, the shallower one of two; 12 in the paper.
    """

    text_dim: int
    joint_dim: int
    num_layers: int


@dataclass(frozen=True)
class Dimension:
    """A dimension of a search space.

    Attributes:
        distribution: distribution from which trials draw.
        published: distribution in the config, before it is scaled to the base model.
    """

    distribution: BaseDistribution
    published: BaseDistribution

    def describe(self) -> str:
        """Return the values as text, with the published ones where they differ."""
        ours, theirs = _as_text(self.distribution), _as_text(self.published)
        return ours if ours == theirs else f"{ours} (published: {theirs}; scaled to the base model)"


SearchSpace = dict[str, Dimension]
"""Dimensions by the names of their hyperparameters, in a fixed order."""


def read_search_space(
    configs_dir: str | Path, method: str, known: Collection[str], sizes: ScalingSizes | None
) -> SearchSpace:
    """Read the search space of a method: ``common.yaml``, overridden by the method's own file.

    Args:
        configs_dir: folder that contains ``search/``.
        method: name of the method's fragment; a method without a file has the common space.
        known: names of the bundle's hyperparameters.
        sizes: sizes of the base model; at the published sizes the space is the paper's. None without a base model.

    Raises:
        FileNotFoundError: when ``common.yaml`` does not exist.
        ValueError: when an entry is invalid, or the bundle does not have its hyperparameter.
    """
    folder = Path(configs_dir).resolve() / "search"
    lines = _read(folder / f"{_COMMON}.yaml")
    own = folder / f"{method}.yaml"
    if own.is_file():
        lines |= _read(own)
    space: SearchSpace = {}
    for name, line in lines.items():
        where = f"the search space of {method} in {folder}"
        if line is None:
            continue
        if name not in known:
            raise ValueError(
                f"{where} has {name!r}, which is not a hyperparameter of the bundle; known are {_list(known)}."
            )
        try:
            space[name] = _dimension(line, sizes)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{where} has the invalid entry {name}: {line!r}: {error}.") from error
    return space


def suggest(trial: optuna.Trial, space: SearchSpace) -> dict[str, Any]:
    """Draw the hyperparameters of a trial."""
    return {name: _suggest(trial, name, dimension.distribution) for name, dimension in space.items()}


def format_params(params: Mapping[str, Any]) -> str:
    """Return hyperparameters as text, with floats to three digits."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in params.items()
    )


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
    raise TypeError(f"{name} has the unknown distribution {type(distribution).__name__}.")


def _read(path: Path) -> dict[str, Any]:
    return parse_yaml_mapping(Templates(path.parent.parent).render(path, {}), str(path))


def _dimension(line: Mapping[str, Any], sizes: ScalingSizes | None) -> Dimension:
    if unknown := set(line) - (_CHOICES if "choices" in line else _RANGE):
        raise ValueError(f"unknown keys {_list(unknown)}")
    if "choices" in line:
        return Dimension(CategoricalDistribution(_scaled(line, sizes)), CategoricalDistribution(line["choices"]))
    low, high, log = line["low"], line["high"], line.get("log", False)
    kind = _number_kind(low, high)
    published = kind(low, high, log=log)
    if "below" in line:
        high = max(low, _size(sizes, line["below"]) - 1)
    return Dimension(kind(low, high, log=log), published)


def _number_kind(low: Any, high: Any) -> type[IntDistribution] | type[FloatDistribution]:
    for value in (low, high):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{value!r} is not a number (YAML needs a point, as in 1.0e-5)")
    return IntDistribution if isinstance(low, int) and isinstance(high, int) else FloatDistribution


def _scaled(line: Mapping[str, Any], sizes: ScalingSizes | None) -> list[Any]:
    """Return the choices for this base model, without duplicates."""
    choices = list(line["choices"])
    if "scales_with" in line:
        ratio = _size(sizes, line["scales_with"]) / line["at"]
        choices = [max(1, round(choice * ratio)) for choice in choices]
        if "divides" in line:
            width = _size(sizes, line["divides"])
            wanted = [choice * ratio for choice in line["choices"]]
            choices = [_nearest_divisor(width, value) for value in wanted]
    return list(dict.fromkeys(choices))


def _nearest_divisor(width: int, value: float) -> int:
    divisors = [number for number in range(1, width + 1) if width % number == 0]
    return min(divisors, key=lambda divisor: (abs(divisor - value), divisor))


def _size(sizes: ScalingSizes | None, name: str) -> int:
    if sizes is None:
        raise ValueError(f"{name!r} is a size of a base model, and the network has none")
    if name not in ScalingSizes.__dataclass_fields__:
        raise ValueError(f"{name!r} is not a size; sizes are {_list(ScalingSizes.__dataclass_fields__)}")
    return int(getattr(sizes, name))


def _as_text(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(str(choice) for choice in distribution.choices)
    if isinstance(distribution, IntDistribution | FloatDistribution):
        return f"{distribution.low:g} to {distribution.high:g}{', log' if distribution.log else ''}"
    return repr(distribution)


def _list(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
