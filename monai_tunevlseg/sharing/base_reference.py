"""The reference of a shared bundle to its base model: an id that is valid on every machine, and a fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_tunevlseg.demo import demo_model, embedded_models
from monai_tunevlseg.inspection.known_code import DEMO_IMPORT, demo_model_expression
from monai_tunevlseg.networks import VLSMS, BaseModel, ImageSettings

__all__ = ["BaseReference", "find_base_reference"]


@dataclass(frozen=True)
class BaseReference:
    """A portable reference to a base model.

    Attributes:
        values: config values of the reference: ``pretrained``, ``base_fingerprint`` and the import that they require.
        id: readable id: a hub id, the name of a folder, or the name of an embedded model.
        fingerprint: digest of the weights.
        images: size, mean and standard deviation of the images.
        folder: folder of the model on this machine, if ``values`` may not lead to it.
    """

    values: dict[str, Any]
    id: str
    fingerprint: str
    images: ImageSettings
    folder: str | None

    @property
    def embedded(self) -> bool:
        """Whether the model is part of this package."""
        return "demo_import" in self.values


def find_base_reference(
    model: str,
    pretrained: str,
    identity: Mapping[str, Any] | None = None,
    base_model_id: str | None = None,
    folder: str | Path | None = None,
) -> BaseReference:
    """Load a base model and find a portable reference to it.

    A folder of this machine is not portable: an embedded model is recognized by its fingerprint, and any other folder
    is replaced by ``base_model_id`` or by the experiment's base model.

    Args:
        model: name of the VLSM.
        pretrained: ``pretrained`` in the experiment's configs.
        identity: network identity of the checkpoint; None = not trained.
        base_model_id: public id of the base model; None = derived from the checkpoint and the experiment.
        folder: folder of the model on this machine; None = as in training.

    Raises:
        OSError: when the model cannot be loaded.
        ValueError: when its fingerprint differs from the checkpoint's, or no public id is known.
    """
    load, of_demo = VLSMS[model].load_base, pretrained.startswith("$")
    embedded = load(demo_model(model)) if model in embedded_models() else None
    wanted = identity["base_fingerprint"] if identity else None
    derived = base_model_id is None and folder is None
    if embedded is not None and derived and (wanted == embedded.fingerprint or (wanted is None and of_demo)):
        return _embedded(model, embedded)
    trained_with = str(identity["base_model"]) if identity else pretrained
    if folder is None and Path(trained_with).expanduser().is_dir():
        folder = trained_with
    public_id = (
        base_model_id or (trained_with if _is_hub_id(trained_with) else None) or (None if of_demo else pretrained)
    )
    if public_id is None:
        raise ValueError(
            f"no public id is known for the base model {trained_with} ({wanted}), which is not an embedded one; pass "
            "its hub id or folder name with --base-model-id."
        )
    loaded = load(str(folder or public_id), wanted)
    if embedded is not None and base_model_id is None and loaded.fingerprint == embedded.fingerprint:
        return _embedded(model, embedded)
    values = {"pretrained": public_id, "base_fingerprint": loaded.fingerprint}
    return BaseReference(values, public_id, loaded.fingerprint, loaded.images, None if folder is None else str(folder))


def _is_hub_id(name: str) -> bool:
    """Return whether a name is a hub id, not a path."""
    return not name.startswith(("$", ".", "/", "~")) and name.count("/") == 1 and not Path(name).is_dir()


def _embedded(model: str, base: BaseModel) -> BaseReference:
    values = {
        "demo_import": DEMO_IMPORT,
        "pretrained": demo_model_expression(model),
        "base_fingerprint": base.fingerprint,
    }
    return BaseReference(
        values, f"the tiny {model} of monai_tunevlseg.demo", base.fingerprint, base.images, folder=None
    )
