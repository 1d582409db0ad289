"""Commands in processes of their own, which start with the libraries imported.

Importing MONAI takes longer than most small runs do. The standard library's fork server imports it once, and forks for
each command: with its own arguments, folder, variables, output and exit status, and nothing of the tests in memory. The
package itself is imported anew by each command.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

LIBRARIES = ["monai.bundle", "ignite.contrib.handlers", "transformers.models.clipseg.modeling_clipseg", "optuna"]
LIBRARIES += ["albumentations", "matplotlib.pyplot", "scipy.stats", "torch.utils.tensorboard", "typer", "rich.table"]
TESTS = Path(__file__).resolve().parent


def run_module(
    module: str,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    timeout: float = 600,
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m MODULE ARGUMENTS`` in a folder; its output is captured.

    Args:
        module: name of the module.
        arguments: words after it.
        folder: working folder of the process.
        environment: variables in addition to those of this process.
        timeout: seconds after which the process is killed.

    Raises:
        subprocess.TimeoutExpired: when the process takes longer.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    with tempfile.TemporaryDirectory() as outputs:
        streams = [Path(outputs, name) for name in ("stdout", "stderr")]
        given = (module, list(arguments), folder, dict(os.environ) | dict(environment or {}), streams)
        process = context.Process(target=_run_as_main, args=given)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired([module, *arguments], timeout)
        printed = [stream.read_text(encoding="utf-8") for stream in streams]
    return subprocess.CompletedProcess([module, *arguments], process.exitcode, *printed)


def _run_as_main(
    module: str, arguments: list[str], folder: Path, environment: dict[str, str], streams: list[Path]
) -> None:
    """Make this process like a new one, and run a module in it."""
    for descriptor, stream in enumerate(streams, start=1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:] = [str(folder), *(place for place in sys.path if not Path(place).is_relative_to(TESTS))]
    sys.argv[1:] = arguments
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception:
        sys.excepthook(*sys.exc_info())  # the process's own would not call that of the package
        sys.exit(1)
