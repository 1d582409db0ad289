"""The embedded tiny base models, the code that trained them, and the demo."""

from __future__ import annotations

from pathlib import Path

__all__ = ["demo_model"]


def demo_model(name: str = "clipseg") -> Path:
    """Return the folder of an embedded base model, for `pretrained:`.

    Raises:
        ValueError: when no such model is embedded.
    """
    here = Path(__file__).parent
    known = sorted(config.parent.name for config in here.glob("*/config.json"))
    if name not in known:
        raise ValueError(f"no embedded base model {name!r}; known are {', '.join(known)}.")
    return here / name
