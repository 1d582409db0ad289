"""Search spaces: read from ``configs/search/``, and scaled to the base model that is tuned."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from monai_tunevlseg.bundles.fragments import compose
from monai_tunevlseg.yaml_files import parse_yaml_mapping

__all__ = ["ScalingSizes", "Dimension", "SearchSpace", "read_search_space", "suggest"]

_COMMON = "common"
_RANGE, _CHOICES = {"low", "high", "log", "below"}, {"choices", "scales_with", "at", "divides"}


@dataclass(frozen=True)
class ScalingSizes:
    """What a space may depend on of the base model.

    Attributes:
        text_dim: width of the text encoder; 512 in the paper.
        joint_dim: widths of text and vision encoder together; 1280 in the paper.
        num_layers: layers of the encoder that is prompted, of the shallower one when both are; 12 in the paper.
    """

    text_dim: int
    joint_dim: int
    num_layers: int


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter that is searched.

    Attributes:
        distribution: what trials draw from.
        published: the same before it was scaled to the base model.
    """

    distribution: BaseDistribution
    published: BaseDistribution

    def describe(self) -> str:
        """Return the values in words, with the published ones where they differ."""
        ours, theirs = _in_words(self.distribution), _in_words(self.published)
        return ours if ours == theirs else f"{ours} (published: {theirs}; scaled to the base model)"


SearchSpace = dict[str, Dimension]
"""Hyperparameters by name, in a fixed order."""


def read_search_space(configs_dir: str | Path, method: str, known: Collection[str], sizes: ScalingSizes) -> SearchSpace:
    """Read what is searched for a method: the common lines, with its own laid over them.

    Args:
        configs_dir: the folder with ``search/``.
        method: name of the method, or ``finetune``; one without a file of its own searches the common lines.
        known: the bundle's hyperparameters.
        sizes: of the base model; at the published ones the space is the paper's.

    Raises:
        FileNotFoundError: when there are no common lines.
        ValueError: when a line is not understood, or names no hyperparameter of the bundle.
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
                f"{where} has {name!r}, but the bundle has no such hyperparameter; its are {_list(known)}."
            )
        try:
            space[name] = _dimension(line, sizes)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{where} has {name}: {line!r}, which is not understood: {error}.") from error
    return space


def suggest(trial: optuna.Trial, space: SearchSpace) -> dict[str, Any]:
    """Draw the hyperparameters of a trial."""
    return {name: _suggest(trial, name, dimension.distribution) for name, dimension in space.items()}


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
    raise TypeError(f"{name} has a distribution of unknown kind, {type(distribution).__name__}.")


def _read(path: Path) -> dict[str, Any]:
    return parse_yaml_mapping(compose(path, path.parent.parent, {}), str(path))


def _dimension(line: Mapping[str, Any], sizes: ScalingSizes) -> Dimension:
    if unknown := set(line) - (_CHOICES if "choices" in line else _RANGE):
        raise ValueError(f"{_list(unknown)} is no part of it")
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
            raise ValueError(f"{value!r} is no number (YAML wants a point in 1.0e-5)")
    return IntDistribution if isinstance(low, int) and isinstance(high, int) else FloatDistribution


def _scaled(line: Mapping[str, Any], sizes: ScalingSizes) -> list[Any]:
    """Return the choices for this base model, each once."""
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


def _size(sizes: ScalingSizes, name: str) -> int:
    if name not in ScalingSizes.__dataclass_fields__:
        raise ValueError(f"{name!r} is no size; sizes are {_list(ScalingSizes.__dataclass_fields__)}")
    return int(getattr(sizes, name))


def _in_words(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(str(choice) for choice in distribution.choices)
    if isinstance(distribution, IntDistribution | FloatDistribution):
        return f"{distribution.low:g} to {distribution.high:g}{', log' if distribution.log else ''}"
    return repr(distribution)


def _list(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
