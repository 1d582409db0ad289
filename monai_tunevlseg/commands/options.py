"""Options that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from monai_tunevlseg.search import Limits

__all__ = ["DEFAULT_SILENCE", "STORAGE_VARIABLE", "Silence", "Storage", "Timeout", "limits_of"]

STORAGE_VARIABLE = "TUNEVLSEG_STORAGE"
DEFAULT_SILENCE = 7200.0  # seconds

Storage = Annotated[
    str | None,
    typer.Option(
        envvar=STORAGE_VARIABLE,
        show_envvar=False,
        help="Address of the Optuna storage: sqlite:///FILE, postgresql://..., mysql://..., journal:///FILE or "
        "grpc://HOST:PORT; an address with a password belongs in the environment variable "
        f"{STORAGE_VARIABLE}, which ps does not show. The default is a SQLite file in the output folder of each "
        "search.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Maximum duration of a trial; a longer one is stopped as failed."),
]
Silence = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="Maximum time of a trial without output or validation; a trial silent for longer is stopped as failed. "
        "0 = no limit.",
    ),
]


def limits_of(timeout: float | None, silence: float) -> Limits:
    """Return the limits that the options ask for.

    Raises:
        ValueError: when one is negative, or the timeout is 0.
    """
    from monai_tunevlseg.search import Limits

    return Limits(timeout, silence or None)
