"""How a shared bundle names its base model: by an id that means the same on every machine, and a fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_tunevlseg.demo import demo_model
from monai_tunevlseg.networks import BaseModel, ImageSettings, load_clipseg, load_cris

__all__ = ["BaseReference", "find_base_reference"]

LOADERS = {"clipseg": load_clipseg, "cris": load_cris}


@dataclass(frozen=True)
class BaseReference:
    """A base model by name.

    Attributes:
        values: what the bundle's configs say: ``pretrained``, what it needs, and ``base_fingerprint``.
        id: for people: a hub id, a folder's name, or where the model is embedded.
        fingerprint: the digest of its weights.
        images: size, mean and standard deviation of its images.
        folder: where this machine has it, when ``values`` need not lead there.
    """

    values: dict[str, Any]
    id: str
    fingerprint: str
    images: ImageSettings
    folder: str | None

    @property
    def embedded(self) -> bool:
        """Whether it comes with this package."""
        return "demo_import" in self.values


def find_base_reference(
    model: str,
    own: str,
    identity: Mapping[str, Any] | None = None,
    base_model_id: str | None = None,
    folder: str | Path | None = None,
) -> BaseReference:
    """Load a base model and find a reference to it that travels.

    A folder of this machine does not travel: an embedded model is known by its fingerprint, and for any other folder
    stands ``base_model_id``, or what the experiment names.

    Args:
        model: name of the model's fragment.
        own: what the experiment's configs say under ``pretrained``.
        identity: that of a checkpoint; None = nothing is trained yet.
        base_model_id: the reference to write; None = found out.
        folder: where this machine has the model; None = where the checkpoint's training had it.

    Raises:
        OSError: when the model can be loaded from nowhere.
        ValueError: when it has another fingerprint than the checkpoint says, or no name is known for it.
    """
    embedded, of_demo = LOADERS[model](demo_model(model)), own.startswith("$")
    wanted = identity["base_fingerprint"] if identity else None
    if base_model_id is None and folder is None and (wanted == embedded.fingerprint or (wanted is None and of_demo)):
        return _embedded(model, embedded)
    trained_with = str(identity["base_model"]) if identity else own
    if folder is None and Path(trained_with).expanduser().is_dir():
        folder = trained_with
    name = base_model_id or (trained_with if _travels(trained_with) else None) or (None if of_demo else own)
    if name is None:
        raise ValueError(
            f"the base model {trained_with} ({wanted}) is not the experiment's own, embedded one "
            f"({embedded.fingerprint}); "
            "pass --base-model-id with the hub id or folder name that others know it by."
        )
    loaded = LOADERS[model](str(folder or name), wanted)
    if base_model_id is None and loaded.fingerprint == embedded.fingerprint:
        return _embedded(model, embedded)
    values = {"pretrained": name, "base_fingerprint": loaded.fingerprint}
    return BaseReference(values, name, loaded.fingerprint, loaded.images, None if folder is None else str(folder))


def _travels(name: str) -> bool:
    """Tell whether a name is a hub id, and no path."""
    return not name.startswith(("$", ".", "/", "~")) and name.count("/") == 1 and not Path(name).is_dir()


def _embedded(model: str, base: BaseModel) -> BaseReference:
    values = {
        "demo_import": "$import monai_tunevlseg.demo as demo",
        "pretrained": f"$demo.demo_model('{model}')",
        "base_fingerprint": base.fingerprint,
    }
    return BaseReference(
        values, f"the tiny {model} of monai_tunevlseg.demo", base.fingerprint, base.images, folder=None
    )
