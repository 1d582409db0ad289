"""Bundles as models of a server: loaded on first use, sharing base models, reloaded when their checkpoint changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from monai.bundle import ConfigParser

from monai_tunevlseg.calibration import CALIBRATION
from monai_tunevlseg.feature_cache import FeatureStore, RecentStore
from monai_tunevlseg.hyperparameters import ZERO_SHOT, parse_hyperparameter
from monai_tunevlseg.json_files import read_json_object
from monai_tunevlseg.networks import BaseModel, PromptTunedNetwork, SegmentationNetwork
from monai_tunevlseg.networks.precision import cast_frozen
from monai_tunevlseg.reductions import Reduction, entropy_map, label_map_with_confidence
from monai_tunevlseg.segmenter import Segmenter, open_bundle

__all__ = ["BaseModelCache", "BundleModel", "SegmentedImage", "file_version", "mean_confidence", "open_bundles"]

logger = logging.getLogger(__name__)

MAX_CACHED_TEXTS = 1000  # a network caches text features, and clients may send any number of texts
MAX_FEATURE_BYTES = 2**28  # in float32 about 700 pictures of CLIPSeg, 30 of CRIS, 12 of SAM 3


class BaseModelCache:
    """The base models of all bundles, each in memory once."""

    def __init__(self) -> None:
        self._by_config: dict[tuple[str, ...], BaseModel] = {}
        self._lock = threading.Lock()

    def load(self, parser: ConfigParser) -> BaseModel:
        """Return the base model of a bundle's config, loaded unless another bundle has loaded it.

        A bfloat16 model is converted here, because each network that converts it makes a copy of its own.
        """
        frozen = parser.get_parsed_content("unfreeze") is None
        precision = parser.get_parsed_content("chosen_precision") if frozen else "fp32"
        key = (precision, str(parser["base_model"]), str(parser.get_parsed_content("pretrained")))
        with self._lock:
            if key not in self._by_config:
                loaded = parser.get_parsed_content("base_model")
                known = {base.fingerprint: base for (kind, *_), base in self._by_config.items() if kind == precision}
                self._by_config[key] = known.get(loaded.fingerprint) or replace(
                    loaded, model=cast_frozen(loaded.model.requires_grad_(False), precision)
                )
            return self._by_config[key]


@dataclass(frozen=True, eq=False)
class SegmentedImage:
    """What a bundle says of texts in an image.

    Attributes:
        labels: uint8, (H, W), or (X, Y[, Z]) in the voxel order of the file: 0 is background, k + 1 text k.
        confidence: the probability of each pixel's label, calibrated where it is fitted; 0 on background; float32, in
            the shape of the labels.
        presence: the probability that the image shows each text at all; of a volume, the highest of its slices.
    """

    labels: np.ndarray
    confidence: np.ndarray
    presence: list[float]


def mean_confidence(labels: np.ndarray, confidence: np.ndarray, num_texts: int) -> list[float | None]:
    """Return the mean confidence in the mask of each text, the label values 1..num_texts; None of an empty mask."""
    masks = (labels == value for value in range(1, num_texts + 1))
    return [float(confidence[mask].mean(dtype=np.float64)) if mask.any() else None for mask in masks]


class BundleModel:
    """A bundle that segments files by text, for requests from several threads.

    A changed checkpoint is reloaded. Without a checkpoint the model is zero-shot, if it has a base model.

    Args:
        folder: the bundle.
        base_models: base models shared with other bundles.
        features: features of the last images, shared with other bundles; None = every image is encoded anew.
        zero_shot: True = the checkpoint is never used.

    Attributes:
        name: the folder's name.
        class_names: the texts that the bundle is tuned for.
        description: description in the bundle's metadata.
        has_base_model: whether the bundle can segment zero-shot.

    Raises:
        FileNotFoundError: when the folder is not a bundle.
        ValueError: when its class names are wrong, or its metadata cannot be read.
    """

    def __init__(
        self,
        folder: str | Path,
        base_models: BaseModelCache,
        features: FeatureStore | None = None,
        zero_shot: bool = False,
    ) -> None:
        self.zero_shot = zero_shot
        self.folder = Path(folder).expanduser().resolve()
        parser = open_bundle(self.folder)
        metadata = read_json_object(self.folder / "configs" / "metadata.json")
        self.name = self.folder.name
        self.description = str(metadata.get("description", ""))
        self.class_names: list[str] = parse_hyperparameter("class_names", parser.get_parsed_content("class_names"))
        self.checkpoint = Path(parser.get_parsed_content("ckpt_path"))
        self.has_base_model = "base_model" in parser
        self._base_models = base_models
        self._features = features
        self._lock = threading.Lock()
        self._loaded: tuple[str, Segmenter] | None = None

    @property
    def train_config(self) -> Path:
        """The config for training, which a zero-shot bundle does not have."""
        return self.folder / "configs" / "train.yaml"

    def version(self) -> str:
        """Return an identifier of the current checkpoint and its calibration, or ``zero-shot``."""
        if self.zero_shot:
            return "zero-shot"
        found = [file_version(path) for path in (self.checkpoint, self.checkpoint.with_name(CALIBRATION))]
        return "-".join(filter(None, found)) if found[0] else "zero-shot"

    def check_usable(self) -> None:
        """Check that the model can segment.

        Raises:
            ValueError: when it has neither a checkpoint nor a base model; names the way out.
        """
        if not (self.has_base_model or self.checkpoint.is_file()):
            raise ValueError(
                f"{self.name} is not trained and has no base model to segment zero-shot; submit labels and train it, "
                f"or copy a checkpoint to {self.checkpoint}."
            )

    def network(self) -> SegmentationNetwork:
        """Return the network with the current checkpoint."""
        with self._lock:
            return self._segmenter().network

    def segment(self, image: Path, texts: Sequence[str]) -> SegmentedImage:
        """Return the label map of an image, and how sure it is.

        Raises:
            ValueError: when the file cannot be read as an image, or the checkpoint is damaged or does not fit.
        """
        maps, presence = self.reduce_logits_with_presence(image, texts, label_map_with_confidence)
        return SegmentedImage(maps[0].astype(np.uint8), maps[1], presence.tolist())

    def uncertainty(self, image: Path) -> float:
        """Return how probably a shown pixel, or else an empty mask, is wrong, as the mean over the bundle's classes.

        Of a class with a mask, this is 1 minus the mean probability in the mask, which is related to its Dice (Mehrtash
        et al., IEEE TMI 2020, do so by the mean entropy in the mask). Of any other, it is the probability that the
        image shows the class.

        Raises:
            ValueError: when the file cannot be read as an image.
        """
        found = self.segment(image, self.class_names)
        sure = mean_confidence(found.labels, found.confidence, len(self.class_names))
        pairs = zip(sure, found.presence, strict=True)
        return float(np.mean([presence if mean is None else 1 - mean for mean, presence in pairs]))

    def entropy(self, image: Path) -> float:
        """Return the mean predictive entropy of the bundle's classes over the image in bits: 0 is certain, 1 a guess.

        Raises:
            ValueError: when the file cannot be read as an image.
        """
        return float(self.reduce_logits(image, self.class_names, entropy_map).mean(dtype=np.float64))

    def reduce_logits(self, image: Path, texts: Sequence[str], reduction: Reduction) -> np.ndarray:
        """Return a reduction of the logits at the image's own size, as `Segmenter.reduce_logits` does.

        Raises:
            ValueError: when the file cannot be read as an image, or the checkpoint is damaged or does not fit.
        """
        with self._reading() as segmenter:
            return segmenter.reduce_logits(image, texts, reduction)

    def reduce_logits_with_presence(
        self, image: Path, texts: Sequence[str], reduction: Reduction
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the results of `reduce_logits` and the presence, as `Segmenter.reduce_logits_with_presence` does.

        Raises:
            ValueError: when the file cannot be read as an image, or the checkpoint is damaged or does not fit.
        """
        with self._reading() as segmenter:
            return segmenter.reduce_logits_with_presence(image, texts, reduction)

    @contextmanager
    def _reading(self) -> Iterator[Segmenter]:
        """Hold the current segmenter, whose cache of texts is limited; a file that cannot be read is a wrong value."""
        with self._lock:
            segmenter = self._segmenter()
            network = segmenter.network
            if isinstance(network, PromptTunedNetwork) and len(network.text_features) > MAX_CACHED_TEXTS:
                network.text_features.clear()
            try:
                yield segmenter
            except OSError as error:
                raise ValueError(str(error)) from error

    def _segmenter(self) -> Segmenter:
        version = self.version()
        if self._loaded is None or self._loaded[0] != version:
            self._loaded = None  # frees the old network before the new one is built
            self._loaded = version, self._load(version)
        return self._loaded[1]

    def _load(self, version: str) -> Segmenter:
        self.check_usable()
        options = dict(ZERO_SHOT) if version == "zero-shot" else {}
        if self.has_base_model:
            options["base_model"] = self._base_models.load(open_bundle(self.folder, **options))
        segmenter = Segmenter.from_bundle(self.folder, feature_store=self._features, **options)
        logger.info("Loaded %s, %s.", self.name, "zero-shot" if version == "zero-shot" else self.checkpoint)
        return segmenter


def file_version(path: Path) -> str | None:
    """Return an identifier of a file's current content, from its time and size; None if it does not exist."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return f"{state.st_mtime_ns:x}-{state.st_size:x}"


def open_bundles(folders: str) -> dict[str, BundleModel]:
    """Open the bundles of ``--conf bundles DIR[,DIR]``.

    Returns:
        the models by name; they share base models and the features of the last images.

    Raises:
        FileNotFoundError: when a folder is not a bundle.
        ValueError: when no folder is given, or two bundles have one name.
    """
    base_models, features = BaseModelCache(), RecentStore(MAX_FEATURE_BYTES)
    models: dict[str, BundleModel] = {}
    for folder in filter(None, (part.strip() for part in folders.split(","))):
        model = BundleModel(folder, base_models, features)
        if model.name in models:
            raise ValueError(f"two bundles have the name {model.name!r}: {models[model.name].folder}, {model.folder}.")
        models[model.name] = model
    if not models:
        raise ValueError("no bundle is given; start the server with --conf bundles DIR[,DIR].")
    return models
