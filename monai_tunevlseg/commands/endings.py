"""How commands end: errors as a sentence and an exit code, interruptions politely; and what long ones show."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

__all__ = ["INTERRUPTED", "ending_in_a_sentence", "hide_loading_bars", "long_run", "named_values"]

INTERRUPTED = 130  # the exit code of a shell's command that Ctrl-C has ended


@contextmanager
def ending_in_a_sentence(*further: type[Exception]) -> Iterator[None]:
    """Print an expected error as one sentence, and exit with 1.

    Args:
        further: errors that the command expects beside OSError and ValueError.
    """
    expected: tuple[type[Exception], ...] = (OSError, ValueError, *further)
    try:
        yield
    except typer.Exit:  # a RuntimeError
        raise
    except expected as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


@contextmanager
def long_run() -> Iterator[None]:
    """Show the progress of a command that takes hours and that the same command continues.

    `Ctrl-C` and SIGTERM end it with the exit code of an interrupted command.
    """
    _show_progress()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with ending_in_a_sentence(ImportError, RuntimeError):
            yield
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command continues.", err=True)
        raise typer.Exit(INTERRUPTED) from None


def hide_loading_bars() -> None:
    """Keep the loading of base models out of what a command says."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()


def named_values(entries: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE options; the values are YAML.

    Raises:
        ValueError: when one has no name or no sign, or its value is not YAML.
    """
    from monai_tunevlseg.yaml_files import parse_yaml

    values = {}
    for entry in entries:
        name, sign, value = entry.partition("=")
        if not sign or not name:
            raise ValueError(f"--override {entry!r} is not understood; write NAME=VALUE.")
        values[name] = parse_yaml(value, f"the value of --override {entry!r}")
    return values


def _interrupt(number: int, frame: object) -> NoReturn:
    """Treat a polite request to end like `Ctrl-C`."""
    raise KeyboardInterrupt


def _show_progress() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    hide_loading_bars()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    ours = logging.getLogger("monai_tunevlseg")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
