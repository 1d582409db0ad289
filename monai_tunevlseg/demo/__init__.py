"""The embedded tiny base models, the code that trained them, and the demo."""

from __future__ import annotations

from pathlib import Path

__all__ = ["demo_model", "embedded_models"]


def embedded_models() -> list[str]:
    """Return the names of the VLSMs of which a tiny base model is embedded."""
    return sorted(config.parent.name for config in Path(__file__).parent.glob("*/config.json"))


def demo_model(name: str = "clipseg") -> Path:
    """Return the folder of an embedded base model, for `pretrained:`.

    Raises:
        ValueError: when no such model is embedded.
    """
    if name not in embedded_models():
        raise ValueError(f"no embedded base model {name!r}; known are {', '.join(embedded_models())}.")
    return Path(__file__).parent / name
