"""The metrics of each validation of a run, and the costs of the run until then, as lines of JSON."""

from __future__ import annotations

import json
import re
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import Evaluator, Trainer

from monai_tunevlseg.atomic_files import remove_unfinished, write_text_atomically
from monai_tunevlseg.json_files import parse_json
from monai_tunevlseg.training.step_timer import StepTimer

__all__ = ["ValidationLogger", "read_validation_log"]

PROCESS_STATUS = Path("/proc/self/status")  # on Linux only


class ValidationLogger:
    """Writes one line of JSON per validation: epoch, metrics, and the costs of the run so far.

    The costs are the median time of an optimizer step, which a run that resumes measures anew, and the peak memory.

    The file is written atomically, so that another process may read it at any time. It holds the lines of this run
    only: a run from scratch removes those of an earlier run, and a run that resumes takes its lines from the
    checkpoint and not from the file. Attach it to the trainer, after the checkpoints.

    Args:
        validator: the validation engine.
        path: the file, such as ``validation.jsonl``.
    """

    def __init__(self, validator: Evaluator, path: str | Path) -> None:
        self.validator = validator
        self.path = Path(path).expanduser()
        self.lines: list[dict[str, Any]] = []
        self.step_timer = StepTimer()

    def attach(self, engine: Trainer) -> None:
        """Register with the trainer, and with the validation engine."""
        self.step_timer.attach(engine)
        engine.add_event_handler(Events.STARTED, self.write)
        self.validator.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Evaluator) -> None:
        """Add the line of the epoch that was validated, in place of this epoch's and any later one's."""
        epoch = engine.state.epoch
        metrics = {name: float(value) for name, value in engine.state.metrics.items()}
        costs = {
            "seconds_per_step": self.step_timer.median(),
            "peak_memory_bytes": _peak_memory(engine.state.device),
        }
        line = {"epoch": epoch, **metrics, **costs}
        self.lines = [*(line for line in self.lines if line["epoch"] < epoch), line]
        self.write()

    def write(self) -> None:
        """Write the lines in the first of several processes; remove the file without any."""
        if idist.get_rank() > 0:
            return
        remove_unfinished(self.path)
        if not self.lines:
            self.path.unlink(missing_ok=True)
            return
        write_text_atomically(self.path, "".join(f"{json.dumps(line)}\n" for line in self.lines))

    def state_dict(self) -> dict[str, Any]:
        """Return the lines so far."""
        return {"lines": [dict(line) for line in self.lines]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue after these lines."""
        self.lines = [dict(line) for line in state_dict["lines"]]


def read_validation_log(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a validation log by epoch; none before the first validation.

    Raises:
        ValueError: when the file is damaged; names it.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return []
    lines = [parse_json(line, f"line {number} of {file}") for number, line in enumerate(content.splitlines(), 1)]
    for number, line in enumerate(lines, 1):
        epoch = line.get("epoch") if isinstance(line, dict) else None
        if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
            raise ValueError(
                f"line {number} of {file} is not a line of a validation log, because it has no number under 'epoch'; "
                "remove the file, and run again."
            )
    return sorted(lines, key=lambda line: line["epoch"])


def _peak_memory(device: torch.device | None) -> int:
    """Return the peak memory in bytes: of tensors on a GPU, or of the process on other devices."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if PROCESS_STATUS.is_file():  # ru_maxrss on Linux includes the parent of a child process
        peak = re.search(r"VmHWM:\s*(\d+) kB", PROCESS_STATUS.read_text(encoding="utf-8"))
        return int(peak[1]) * 1024 if peak else 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
