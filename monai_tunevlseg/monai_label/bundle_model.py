"""Bundles as models of a server: loaded when first asked, sharing base models, loaded anew when re-tuned."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser

from monai_tunevlseg.errors import unwrapped_errors
from monai_tunevlseg.inferers import Reduction, ResizedInferer, entropy_map, label_map
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.networks import BaseModel, PromptTunedNetwork
from monai_tunevlseg.networks.precision import in_precision
from monai_tunevlseg.training import load_weights

__all__ = ["BaseModelCache", "BundleModel", "open_bundles"]

logger = logging.getLogger(__name__)

REMEMBERED_TEXTS = 1000  # a network keeps the features of texts; clients may send any number of texts


class BaseModelCache:
    """The base models of all bundles, each once in memory."""

    def __init__(self) -> None:
        self._by_config: dict[tuple[str, ...], BaseModel] = {}
        self._lock = threading.Lock()

    def of(self, parser: ConfigParser) -> BaseModel:
        """Return the base model that a bundle's config asks for, loading it where no bundle has asked for it yet.

        In bfloat16 it is converted here already: networks that convert it themselves have a copy each.
        """
        frozen = parser.get_parsed_content("network_def#unfreeze") is None
        precision = _value(parser, "chosen_precision", "fp32") if frozen else "fp32"
        key = (precision, str(parser["base_model"]), str(parser.get_parsed_content("pretrained")))
        with self._lock:
            if key not in self._by_config:
                loaded = parser.get_parsed_content("base_model")
                known = {base.fingerprint: base for (kind, *_), base in self._by_config.items() if kind == precision}
                self._by_config[key] = known.get(loaded.fingerprint) or replace(
                    loaded, model=in_precision(loaded.model.requires_grad_(False), precision)
                )
            return self._by_config[key]


@dataclass(frozen=True)
class _Loaded:
    version: str
    device: torch.device
    amp: bool
    network: PromptTunedNetwork
    preprocessing: Callable[[dict[str, Any]], dict[str, Any]]
    inferer: ResizedInferer


class BundleModel:
    """A bundle that segments files by text.

    Requests may come from several threads. The checkpoint is read again when it has changed; without one, the base
    model segments as it is.

    Args:
        folder: of the bundle.
        bases: what it shares with other bundles.

    Attributes:
        name: the folder's.
        class_names: the texts that it was tuned for.
        description: from its metadata.

    Raises:
        FileNotFoundError: when the folder is not a bundle.
        ValueError: when its class names are wrong, or its metadata cannot be read.
    """

    def __init__(self, folder: str | Path, bases: BaseModelCache) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self.config_file = self.folder / "configs" / "inference.yaml"
        for needed in (self.config_file, self.folder / "configs" / "metadata.json"):
            if not needed.is_file():
                raise FileNotFoundError(f"{self.folder} is not a bundle: it has no {needed.relative_to(self.folder)}.")
        metadata = read_json_object(self.folder / "configs" / "metadata.json")
        self.name = self.folder.name
        self.description = str(metadata.get("description", ""))
        parser = self._parser()
        self.class_names: list[str] = parser.get_parsed_content("classes")
        self.slice_axis: int = parser.get_parsed_content("slice_axis")
        self.checkpoint = Path(parser.get_parsed_content("ckpt_path"))
        self._bases = bases
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def version(self) -> str:
        """Return what tells this checkpoint from the ones before and after."""
        try:
            state = self.checkpoint.stat()
        except FileNotFoundError:
            return "zero-shot"
        return f"{state.st_mtime_ns:x}-{state.st_size:x}"

    def network(self) -> PromptTunedNetwork:
        """Return the network, loaded from the newest checkpoint."""
        with self._lock:
            return self._current().network

    def segment(self, image: Path, texts: Sequence[str]) -> np.ndarray:
        """Segment a picture or volume by texts.

        Returns:
            uint8 of the image's shape, (H, W) or upright (S, A, R): 0 is background, k + 1 text k.

        Raises:
            ValueError: when the file cannot be read as an image.
        """
        return self.reduced(image, texts, label_map)[0].cpu().numpy()

    def entropy(self, image: Path) -> float:
        """Return the mean predictive entropy of the bundle's classes over the image, in bits: 0 is certain, 1 a guess.

        Raises:
            ValueError: when the file cannot be read as an image.
        """
        return float(self.reduced(image, self.class_names, entropy_map).mean(dtype=torch.float64))

    def reduced(self, image: Path, texts: Sequence[str], reduction: Reduction) -> torch.Tensor:
        """Return what a reduction makes of the logits: (C, H, W), or upright (C, S, A, R), at the image's own size.

        Raises:
            ValueError: when the file cannot be read as an image, or the checkpoint is damaged or does not fit.
        """
        with self._lock, torch.inference_mode():
            loaded = self._current()
            pixels = _read(loaded.preprocessing, image)[None].to(loaded.device)
            if len(loaded.network.text_features) > REMEMBERED_TEXTS:
                loaded.network.text_features.clear()
            inferer = copy.copy(loaded.inferer)  # the bundle's own keeps its reduction
            inferer.reduction = reduction
            with torch.autocast(loaded.device.type, enabled=loaded.amp):
                return inferer(pixels, loaded.network, text=[list(texts)])[0]

    def _current(self) -> _Loaded:
        version = self.version()
        if self._loaded is None or self._loaded.version != version:
            self._loaded = None  # the old network goes before the new one comes
            self._loaded = self._load(version)
        return self._loaded

    def _load(self, version: str) -> _Loaded:
        parser = self._parser()
        if version == "zero-shot":
            parser["method"] = "null"
        parser["base_model"] = self._bases.of(parser)
        network = parser.get_parsed_content("network").eval()
        if version != "zero-shot":
            load_weights(network, self.checkpoint)
        logger.info("Loaded %s, %s.", self.name, "zero-shot" if version == "zero-shot" else self.checkpoint)
        return _Loaded(
            version,
            torch.device(parser.get_parsed_content("device")),
            bool(_value(parser, "amp", False)),
            network,
            parser.get_parsed_content("preprocessing"),
            parser.get_parsed_content("inferer"),
        )

    def _parser(self) -> ConfigParser:
        parser = ConfigParser()
        parser.read_config(str(self.config_file))
        parser["bundle_root"] = str(self.folder)
        return parser


def open_bundles(folders: str) -> dict[str, BundleModel]:
    """Open the bundles that ``--conf bundles DIR[,DIR]`` names.

    Returns:
        the models by name; they share base models.

    Raises:
        FileNotFoundError: when a folder is not a bundle.
        ValueError: when there is none, or two have one name.
    """
    bases = BaseModelCache()
    models: dict[str, BundleModel] = {}
    for folder in filter(None, (part.strip() for part in folders.split(","))):
        model = BundleModel(folder, bases)
        if model.name in models:
            raise ValueError(f"two bundles have the name {model.name!r}: {models[model.name].folder}, {model.folder}.")
        models[model.name] = model
    if not models:
        raise ValueError("no bundle is given; start the server with --conf bundles DIR[,DIR].")
    return models


def _value(parser: ConfigParser, name: str, default: Any) -> Any:
    """Return a value that bundles of earlier versions do not have."""
    return default if parser.get(name) is None else parser.get_parsed_content(name)


def _read(preprocessing: Callable[[dict[str, Any]], dict[str, Any]], image: Path) -> torch.Tensor:
    try:
        with unwrapped_errors():
            return preprocessing({"image": str(image)})["image"]
    except OSError as error:
        raise ValueError(str(error)) from error
