"""The reason why a run failed: the original error, without the errors that MONAI and PyTorch wrap around it."""

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

__all__ = ["TRACEBACK", "ErrorReason", "install_error_hook", "error_reason", "root_cause", "unwrapped_errors"]

TRACEBACK = "TUNEVLSEG_TRACEBACK"
"""Environment variable; any value shows the traceback of every error."""

_COMMAND = "monai.bundle.__main__"  # python -m monai.bundle
_WRAPPERS = ("Failed to evaluate ", "Failed to instantiate component ", "applying transform ")
_WORKER_ERROR = re.compile(r"Caught \w+ in \w+ worker process \d+\.\nOriginal (?P<traceback>Traceback .*)", re.DOTALL)
_CHAINED = re.compile(
    r"\n\n(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):\n\n"
)
_PACKAGE = str(Path(__file__).resolve().parent)


class ErrorReason(NamedTuple):
    """ErrorReason why a run failed.

    Attributes:
        sentence: type and message of the error.
        is_ours: whether this package raised the error, so that its message is written for users.
    """

    sentence: str
    is_ours: bool


def root_cause(error: BaseException) -> BaseException:
    """Return the error that MONAI has wrapped into its own errors; the error itself when it is not wrapped."""
    while isinstance(error, RuntimeError) and str(error).startswith(_WRAPPERS) and error.__cause__ is not None:
        error = error.__cause__
    return error


@contextmanager
def unwrapped_errors() -> Iterator[None]:
    """Raise the original error of the block, without MONAI's wrappers."""
    try:
        yield
    except RuntimeError as error:
        raise root_cause(error) from None


def error_reason(error: BaseException) -> ErrorReason:
    """Return the reason of an error, which may come from a worker process of a loader."""
    root = root_cause(error)
    if in_worker := _WORKER_ERROR.match(str(root)):
        return _reason_in(in_worker["traceback"].rstrip())
    frames = traceback.extract_tb(root.__traceback__)
    sentence = "".join(traceback.format_exception_only(root)).rstrip()
    return ErrorReason(sentence, bool(frames) and frames[-1].filename.startswith(_PACKAGE))


def install_error_hook() -> None:
    """Make the reason the last line of ``python -m monai.bundle``, also under ``torchrun``; no-op in other programs.

    The traceback is shown for errors of other packages, and for all errors when `TRACEBACK` is set.
    """
    if getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", None) == _COMMAND:
        sys.excepthook = _print_error


def _print_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    reason = error_reason(error)
    if issubclass(kind, KeyboardInterrupt) or not reason.is_ours or os.environ.get(TRACEBACK):
        sys.__excepthook__(kind, error, trace)
        sys.stderr.write("\n")
    else:
        sys.stderr.write(f"\n({TRACEBACK}=1 shows the traceback.)\n")
    sys.stderr.write(" ".join(reason.sentence.split()) + "\n")
    _write_torchrun_error(reason)


def _write_torchrun_error(reason: ErrorReason) -> None:
    """Write the reason into the error file of ``torchrun``, which prints its own report after its processes."""
    if os.environ.get("TORCHELASTIC_ERROR_FILE"):
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        try:
            raise RuntimeError(reason.sentence)
        except RuntimeError as error:
            get_error_handler().record_exception(error)


def _reason_in(text: str) -> ErrorReason:
    """Return the reason in a printed traceback: the last error that is not a wrapper."""
    reason = ErrorReason(text, False)
    for block in reversed(_CHAINED.split(text)):
        lines = block.splitlines()
        last_frame = max((index for index, line in enumerate(lines) if line.startswith('  File "')), default=0)
        said = [line for line in lines[last_frame:] if not line.startswith("  ")]
        reason = ErrorReason("\n".join(said), f'File "{_PACKAGE}' in lines[last_frame])
        if not reason.sentence.removeprefix("RuntimeError: ").startswith(_WRAPPERS):
            break
    return reason
