"""The embedded tiny base models, and the scenes and the script that trained them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["demo_model"]


def demo_model(name: str = "clipseg") -> Path:
    """Return the folder of an embedded base model, as `pretrained:` takes it.

    Raises:
        ValueError: when no such model is embedded.
    """
    here = Path(__file__).parent
    known = sorted(config.parent.name for config in here.glob("*/config.json"))
    if name not in known:
        raise ValueError(f"no base model {name!r} is embedded; there are: {', '.join(known)}.")
    return here / name
