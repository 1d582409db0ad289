"""The check of a config's hyperparameters before a run builds anything."""

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
from monai_tunevlseg.hyperparameters.declarations import hyperparameter_types, method_argument_types

__all__ = ["check_hyperparameters", "prepare_run", "parse_hyperparameter"]

logger = logging.getLogger(__name__)

_SHOWN = 80  # characters of a wrong value

_STRUCTURE = {"initialize", "run", "finalize", "imports", "displayable_configs", "use_click"} | {
    str(facts[BundlePropertyConfig.ID]).split(ID_SEP_KEY)[0]
    for facts in (*TrainProperties.values(), *InferProperties.values())
}
"""What MONAI and MONAI Label look for without a reference to it."""


def prepare_run() -> None:
    """Check the config that this call stands in, and give its hyperparameters their types, before anything is built.

    In ``python -m monai.bundle`` the reason of an error becomes the last line, too.

    Raises:
        ValueError: when a hyperparameter or an option is wrong.
    """
    install_error_hook()
    check_hyperparameters()


def check_hyperparameters() -> None:
    """Check the hyperparameters of the config that this call stands in, and give each its own type.

    For an expression of a config that comes before everything else. What a config's author or user has written as an
    expression or a reference is left to them.

    Raises:
        ValueError: when a value is not what its hyperparameter may be, or when nothing knows or refers to an option.
        RuntimeError: when it is not called from a config.
    """
    types, method_types = hyperparameter_types(), method_argument_types()
    resolver = _asking_resolver()
    config = resolver.items[""].get_config()
    references = {name.split(ID_SEP_KEY)[0] for text in _texts_in(config) for name in resolver.match_refs_pattern(text)}
    for name, value in config.items():
        if not (name in types or _is_known(name, value, references)):
            raise ValueError(_unknown(name, value, [*types, *config]))
        if name in method_types and name not in references:
            logger.warning("%s is %s, but the method of this bundle does not have it.", name, _shown(value))
        if name in types:
            _refuse_references_to_nothing(name, value, config)
            if not _is_program(value):
                resolver.resolved_content[name] = parse_hyperparameter(name, value)


def parse_hyperparameter(name: str, value: Any) -> Any:
    """Return the value of a hyperparameter in its own type.

    Args:
        name: of the hyperparameter.
        value: as a command line, a config file or a program gives it.

    Raises:
        ValueError: when it is not what the hyperparameter may be; says what it may be, with an example.
    """
    value_type = hyperparameter_types()[name]
    if any(ID_SEP_KEY in text for text in _texts_in(value)):
        raise ValueError(
            f"{name} is {_shown(value)}, and MONAI's configs read every # as {ID_SEP_KEY}; "
            f"neither can be in it, so write it without # and {ID_SEP_KEY}."
        )
    try:
        return value_type.parse(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is {_shown(value)}; it must be {value_type.description}, such as --{name} {value_type.example}"
            f"{f' ({error})' if error.args else ''}."
        ) from None


def _asking_resolver() -> ReferenceResolver:
    """Return the resolver of the config whose expression is running: MONAI hands an expression resolved ids only."""
    frame = currentframe()
    while frame is not None:
        asking = frame.f_locals.get("self")
        if isinstance(asking, ReferenceResolver):
            return asking
        frame = frame.f_back
    raise RuntimeError("hyperparameters are checked by an expression of a config; call it from there.")


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)


def _is_program(value: Any) -> bool:
    """Return whether MONAI evaluates a value, or a part of it."""
    return ConfigComponent.is_instantiable(value) or any(
        ConfigExpression.is_expression(text) or ReferenceResolver.id_matcher.fullmatch(text)
        for text in _texts_in(value)
    )


def _refuse_references_to_nothing(name: str, value: Any, config: Mapping[str, Any]) -> None:
    for text in _texts_in(value):
        reference = ReferenceResolver.id_matcher.fullmatch(text)
        if reference and reference[0].removeprefix(ReferenceResolver.ref).split(ID_SEP_KEY)[0] not in config:
            raise ValueError(
                f"{name} is {_shown(value)}, and MONAI's configs read {text!r} as a reference to something that this "
                "config does not have; write it without @."
            )


def _is_known(name: str, value: Any, references: set[str]) -> bool:
    return name in _STRUCTURE or name in references or name.startswith("_") or _is_program(value)


def _unknown(name: str, value: Any, others: Iterable[str]) -> str:
    known = [*signature(run).parameters, *(other for other in others if other != name)]
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else "."
    return (
        f"{name} is {_shown(value)}, but no option has that name{hint} "
        "A value of your own needs a reference to it, or a name that begins with _."
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
