"""How a command ends: expected errors as one sentence and exit code 1, and interruptions of long commands."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

__all__ = ["INTERRUPTED", "disable_progress_bars", "exit_on_error", "plain_warnings", "resumable_command"]

INTERRUPTED = 130  # a shell's exit code after Ctrl-C


@contextmanager
def exit_on_error(*further: type[Exception]) -> Iterator[None]:
    """Print an expected error as one sentence, and exit with 1.

    Args:
        further: errors that the command expects in addition to OSError and ValueError.
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
def plain_warnings() -> Iterator[None]:
    """Print warnings as sentences, without their place in the source."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # for developers, such as MONAI's of its own calls
        warnings.showwarning = lambda message, *place, **more: typer.echo(f"warning: {message}", err=True)
        yield


@contextmanager
def resumable_command() -> Iterator[None]:
    """Log the progress of a command that takes hours, and that the same command resumes.

    `Ctrl-C` and SIGTERM end it with the exit code of an interrupted command.
    """
    _log_progress()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with exit_on_error(ImportError, RuntimeError):
            yield
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command continues.", err=True)
        raise typer.Exit(INTERRUPTED) from None


def disable_progress_bars() -> None:
    """Disable the progress bars of transformers while base models are loaded."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()


def _interrupt(number: int, frame: object) -> NoReturn:
    """Handle SIGTERM like `Ctrl-C`."""
    raise KeyboardInterrupt


def _log_progress() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    disable_progress_bars()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    package_logger = logging.getLogger("monai_tunevlseg")
    package_logger.addHandler(handler)
    package_logger.setLevel(logging.INFO)
