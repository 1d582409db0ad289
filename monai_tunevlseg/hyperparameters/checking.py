"""Checks and types the hyperparameters of a config before a run builds anything."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Iterator, Mapping
from inspect import currentframe, signature
from typing import Any

from monai.bundle import ConfigComponent, ConfigExpression, ReferenceResolver, run
from monai.bundle.properties import InferProperties, TrainProperties
from monai.bundle.utils import ID_SEP_KEY
from monai.utils import BundlePropertyConfig

from monai_tunevlseg.errors import install_error_hook
from monai_tunevlseg.hyperparameters.declarations import TEXT_OPTIONS, bundle_option_types, hyperparameter_types
from monai_tunevlseg.hyperparameters.value_types import ValueType

__all__ = ["parse_hyperparameter", "prepare_run"]

logger = logging.getLogger(__name__)

_MAX_SHOWN = 80  # characters of a value in a message

_MONAI_KEYS = {"initialize", "run", "finalize", "imports", "displayable_configs", "use_click"} | {
    str(facts[BundlePropertyConfig.ID]).split(ID_SEP_KEY)[0]
    for facts in (*TrainProperties.values(), *InferProperties.values())
}
"""Keys that MONAI and MONAI Label read without a reference to them."""


def prepare_run() -> None:
    """Check the hyperparameters of the config whose expression calls this, and convert each to its type.

    The expression must come before everything that is built. Values that are expressions or references stay unchanged.
    ``python -m monai.bundle`` then prints the cause of an error as its last line.

    Raises:
        ValueError: when a hyperparameter has a wrong value, or an option is unknown and nothing refers to it, or one
            of ``TEXT_OPTIONS`` is on in a bundle whose network reads no text.
        RuntimeError: when it is not called from a config.
    """
    install_error_hook()
    types, bundle_options = hyperparameter_types(), bundle_option_types()
    resolver = _calling_resolver()
    config = resolver.items[""].get_config()
    references = {name.split(ID_SEP_KEY)[0] for text in _texts_in(config) for name in resolver.match_refs_pattern(text)}
    for name, value in config.items():
        if not (name in types or _is_known(name, value, references)):
            raise ValueError(_unknown_option(name, value, [*types, *config]))
        if name in bundle_options and name not in references and name not in resolver.resolved_content:
            logger.warning("%s is %s, but the model and the method of this bundle ignore it.", name, _shown(value))
        if name in types:
            _refuse_undefined_references(name, value, config)
            if not _is_evaluated(value):
                resolver.resolved_content[name] = _parse(name, value, types[name])
        if name in TEXT_OPTIONS and resolver.resolved_content.get(name, value) and "pretrained" not in references:
            raise ValueError(
                f"{name} is {_shown(value)}, but the network of this bundle reads no text; use a bundle of a VLSM."
            )


def parse_hyperparameter(name: str, value: Any) -> Any:
    """Return the value of a hyperparameter, converted to its type.

    Args:
        name: name of the hyperparameter.
        value: from a command line, a config file or a program.

    Raises:
        ValueError: when the value is wrong; the message has the allowed values and an example.
    """
    return _parse(name, value, hyperparameter_types()[name])


def _parse(name: str, value: Any, value_type: ValueType) -> Any:
    if any(ID_SEP_KEY in text for text in _texts_in(value)):
        raise ValueError(
            f"{name} is {_shown(value)}; remove # and {ID_SEP_KEY}, which MONAI's configs read as a reference."
        )
    try:
        return value_type.parse(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is {_shown(value)}; it must be {value_type.description}, such as --{name} {value_type.example}"
            f"{f' ({error})' if error.args else ''}."
        ) from None


def _calling_resolver() -> ReferenceResolver:
    """Return the resolver that evaluates the calling expression; MONAI passes an expression only resolved ids."""
    frame = currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, ReferenceResolver):
            return caller
        frame = frame.f_back
    raise RuntimeError("prepare_run must be called by an expression of a config.")


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)


def _is_evaluated(value: Any) -> bool:
    """Return whether MONAI evaluates a value, or a part of it."""
    return ConfigComponent.is_instantiable(value) or any(
        ConfigExpression.is_expression(text) or ReferenceResolver.id_matcher.fullmatch(text)
        for text in _texts_in(value)
    )


def _refuse_undefined_references(name: str, value: Any, config: Mapping[str, Any]) -> None:
    for text in _texts_in(value):
        reference = ReferenceResolver.id_matcher.fullmatch(text)
        if reference and reference[0].removeprefix(ReferenceResolver.ref).split(ID_SEP_KEY)[0] not in config:
            raise ValueError(
                f"{name} is {_shown(value)}; remove @, because MONAI's configs read {text!r} as a reference, which is "
                "not defined in this config."
            )


def _is_known(name: str, value: Any, references: set[str]) -> bool:
    return name in _MONAI_KEYS or name in references or name.startswith("_") or _is_evaluated(value)


def _unknown_option(name: str, value: Any, others: Iterable[str]) -> str:
    known = [*signature(run).parameters, *(other for other in others if other != name)]
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else "."
    return (
        f"{name} is {_shown(value)}, but {name} is not an option{hint} "
        "Custom values need a reference to them, or a name that begins with _."
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
