"""Why a run has ended: the error that says it, without those that MONAI and PyTorch wrap around it."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

__all__ = ["TRACEBACK", "Reason", "install_error_hook", "reason_of", "root_cause", "unwrapped_errors"]

TRACEBACK = "TUNEVLSEG_TRACEBACK"
"""The environment variable that, set to anything, shows every error's traceback."""

_COMMAND = "monai.bundle.__main__"  # python -m monai.bundle
_WRAPPERS = ("Failed to evaluate ", "Failed to instantiate component ", "applying transform ")
_IN_A_WORKER = re.compile(r"Caught \w+ in \w+ worker process \d+\.\nOriginal (?P<traceback>Traceback .*)", re.DOTALL)
_AFTER_ANOTHER = re.compile(
    r"\n\n(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):\n\n"
)
_PACKAGE = str(Path(__file__).resolve().parent)


class Reason(NamedTuple):
    """Why a run has ended.

    Attributes:
        sentence: the kind of the error and what it says.
        is_ours: whether this package has raised it, so that the sentence is meant for users.
    """

    sentence: str
    is_ours: bool


def root_cause(error: BaseException) -> BaseException:
    """Return the error that MONAI has wrapped into its own; the error itself where there is none."""
    while isinstance(error, RuntimeError) and str(error).startswith(_WRAPPERS) and error.__cause__ is not None:
        error = error.__cause__
    return error


@contextmanager
def unwrapped_errors() -> Iterator[None]:
    """Raise what has failed in the block, and not what MONAI has wrapped around it."""
    try:
        yield
    except RuntimeError as error:
        raise root_cause(error) from None


def reason_of(error: BaseException) -> Reason:
    """Return why a run has ended with an error, which may come from a process of a loader."""
    root = root_cause(error)
    if in_worker := _IN_A_WORKER.match(str(root)):
        return _reason_in(in_worker["traceback"].rstrip())
    frames = traceback.extract_tb(root.__traceback__)
    sentence = "".join(traceback.format_exception_only(root)).rstrip()
    return Reason(sentence, bool(frames) and frames[-1].filename.startswith(_PACKAGE))


def install_error_hook() -> None:
    """Make the reason the last line of ``python -m monai.bundle``, and of ``torchrun`` with it; leave others alone.

    The traceback, which buries it, is shown for errors that are not this package's own, and where `TRACEBACK` is set.
    """
    if getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", None) == _COMMAND:
        sys.excepthook = _print_reason_last


def _print_reason_last(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    reason = reason_of(error)
    if issubclass(kind, KeyboardInterrupt) or not reason.is_ours or os.environ.get(TRACEBACK):
        sys.__excepthook__(kind, error, trace)
        sys.stderr.write("\n")
    else:
        sys.stderr.write(f"\n({TRACEBACK}=1 shows where it was raised.)\n")
    sys.stderr.write(" ".join(reason.sentence.split()) + "\n")
    _tell_torchrun(reason)


def _tell_torchrun(reason: Reason) -> None:
    """Leave the reason where ``torchrun``, whose own report comes after that of its processes, looks for it."""
    if os.environ.get("TORCHELASTIC_ERROR_FILE"):
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        try:
            raise RuntimeError(reason.sentence)
        except RuntimeError as error:
            get_error_handler().record_exception(error)


def _reason_in(text: str) -> Reason:
    """Return the reason in a printed traceback, that of the last error which is not a wrapper."""
    reason = Reason(text, False)
    for block in reversed(_AFTER_ANOTHER.split(text)):
        lines = block.splitlines()
        last_frame = max((index for index, line in enumerate(lines) if line.startswith('  File "')), default=0)
        said = [line for line in lines[last_frame:] if not line.startswith("  ")]
        reason = Reason("\n".join(said), f'File "{_PACKAGE}' in lines[last_frame])
        if not reason.sentence.removeprefix("RuntimeError: ").startswith(_WRAPPERS):
            break
    return reason
