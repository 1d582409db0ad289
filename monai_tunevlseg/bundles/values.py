"""Values of a bundle's hyperparameters as a command line gives them.

``python -m monai.bundle run`` reads overrides with ``fire``, which knows Python's literals only: ``true``, ``false``
and ``null`` arrive as strings, and MONAI drops ``None``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from monai_tunevlseg.bundles.hyperparameters import check_hyperparameters
from monai_tunevlseg.errors import install_error_hook

__all__ = ["class_list", "optional", "prepare_run", "prompt_learner"]

FINE_TUNING = "finetune"
"""What a bundle's ``method`` says where the base model itself trains, so that ``null`` means zero-shot everywhere."""


def prepare_run() -> None:
    """Check the config that this call stands in, and give its hyperparameters their types, before anything is built.

    In ``python -m monai.bundle`` the reason of an error becomes the last line, too.

    Raises:
        ValueError: when a hyperparameter or an option is wrong.
    """
    install_error_hook()
    check_hyperparameters()


def optional(value: Any) -> Any:
    """Return None for the texts ``null`` and ``none``, else the value itself."""
    return None if isinstance(value, str) and value.lower() in ("null", "none") else value


def prompt_learner(method: str | None, unfreeze: str | None) -> str | None:
    """Return the name of the prompt learner; None for ``null`` (zero-shot) and for ``finetune``, which has no prompts.

    Args:
        method: the bundle's ``method``.
        unfreeze: the part of the base model that trains.

    Raises:
        ValueError: when the base model is to be fine-tuned, but no part of it trains.
    """
    if method != FINE_TUNING:
        return optional(method)
    if optional(unfreeze) is None:
        raise ValueError("method is 'finetune', but unfreeze is null; set unfreeze to all or decoder.")
    return None


def class_list(value: str | Iterable[str]) -> list[str]:
    """Return class names given as one name or as a sequence of names.

    Raises:
        ValueError: when there is none, or one that is empty or no text.
    """
    names = [value] if isinstance(value, str) else list(value)
    if not names or any(not isinstance(name, str) or not name.strip() for name in names):
        raise ValueError(f"class_names is {value!r}; give one or more names, such as \"['polyp']\".")
    return names
