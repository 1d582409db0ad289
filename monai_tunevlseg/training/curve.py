"""The validation curve of a run, for whoever watches the run or reads it later."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import Evaluator

from monai_tunevlseg.data.atomic import replacing

__all__ = ["ValidationCurve", "read_curve"]

RSS_UNIT = 1024  # bytes; Linux counts ru_maxrss in so many


class ValidationCurve:
    """Writes one line of JSON per validation: epoch, metrics, and the most memory that the run has held so far.

    The file is replaced in one step, so that another process may read it at any time. A run that continues from a
    checkpoint keeps the lines of the epochs before. Attach it to the validation engine.

    Args:
        path: the file, such as ``validation.jsonl``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    def attach(self, engine: Evaluator) -> None:
        """Register with the validation engine."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Evaluator) -> None:
        """Write the epoch that was validated, in place of this and any later one from an earlier run."""
        epoch = engine.state.epoch
        before = [line for line in read_curve(self.path) if line["epoch"] < epoch] if epoch > 1 else []
        metrics = {name: float(value) for name, value in engine.state.metrics.items()}
        line = {"epoch": epoch, **metrics, "peak_memory_bytes": _peak_memory(engine.state.device)}
        with replacing(self.path) as unfinished:
            unfinished.write_text("".join(f"{json.dumps(line)}\n" for line in [*before, line]), encoding="utf-8")


def read_curve(path: str | Path) -> list[dict[str, Any]]:
    """Return the lines of a curve by epoch; none where nothing has been validated yet.

    Raises:
        ValueError: when the file is damaged; names it.
    """
    file = Path(path)
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return sorted(lines, key=lambda line: int(line["epoch"]))
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"the validation curve {file} is damaged ({error!r}); remove it, and run again.") from error


def _peak_memory(device: torch.device | None) -> int:
    """Return the most bytes that tensors held on a GPU, or that the process held where there is none."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
