"""The Python API: a bundle that segments images of any form by text."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from monai.bundle import ConfigParser
from PIL import Image, ImageOps

from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.pictures import as_rgb
from monai_tunevlseg.data.io.reading import read_image
from monai_tunevlseg.data.io.stored_picture import StoredPicture
from monai_tunevlseg.data.io.volumes import stored_order
from monai_tunevlseg.errors import unwrapped_errors
from monai_tunevlseg.feature_cache import FeatureCache, FeatureStore
from monai_tunevlseg.inferers import ResizedInferer
from monai_tunevlseg.networks import PromptTunedNetwork, SegmentationNetwork
from monai_tunevlseg.networks.texts import validate_texts
from monai_tunevlseg.reductions import Reduction, binary_entropy
from monai_tunevlseg.training import load_weights

__all__ = ["ImageLike", "Images", "Segmenter", "open_bundle"]

ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray | torch.Tensor
"""One image in a form that `Segmenter` accepts."""
Images = list[Any] | tuple[Any, ...]
"""Several images."""


@dataclass(frozen=True, eq=False)
class Segmenter:
    """Segments images by text, as the bundle's ``inference.yaml`` does.

    An image is one of

    - the path of a picture (PNG, JPEG, BMP, GIF, TIFF), or of a NIfTI, MetaImage or NRRD file. A volume is segmented
      slice by slice along the bundle's ``slice_axis``;
    - a PIL image, rotated by its EXIF orientation like a file; transparency is dropped;
    - an array (H, W), (H, W, 1) or (H, W, 3);
    - a tensor (H, W), (1, H, W) or (3, H, W), on any device.

    Arrays and tensors hold uint8 in 0..255 or floats in 0..1. The bundle's ``intensity_window`` applies to stored
    values, which are those of files, PIL images and uint8; floats count as scaled already.

    Attributes:
        network: on its device and in its precision.
        inferer: resizes images to the network's input, and logits to the image.
        intensity_window: the stored values that become 0 and 1; None = the range of the type, percentiles of a volume.
        amp: whether to compute in CUDA's float16 autocast.
        feature_cache: the features of images that were segmented before; None = every image is encoded. The network
            must not change while it has one.
    """

    network: SegmentationNetwork
    inferer: ResizedInferer
    intensity_window: Sequence[float] | None = None
    amp: bool = False
    feature_cache: FeatureCache | None = None

    @classmethod
    def from_bundle(
        cls,
        folder: str | Path,
        pretrained: str | Path | None = None,
        device: str | torch.device | None = None,
        feature_store: FeatureStore | None = None,
        **overrides: Any,
    ) -> Segmenter:
        """Load a bundle. A bundle is a program, whose configs MONAI runs: load bundles from trusted authors only.

        Args:
            folder: the bundle, with ``configs/inference.yaml`` and, unless it is zero-shot, ``models/model.pt``.
            pretrained: location of the base model on this machine; None = as the bundle says.
            device: where the network computes; None = as the bundle says, which is CUDA if available.
            feature_store: keeps the features of images, such as ``feature_cache.RecentStore(2**28)``, so that further
                texts of an image take a decoder's time. Segmenters may share it. None = every image is encoded anew.
            overrides: other options of ``inference.yaml``, such as ``precision="fp32"``, or ``calibration="off"`` for
                the network's own probabilities and a threshold of 0.5.

        Raises:
            FileNotFoundError: when the folder is not a bundle, or has no checkpoint.
            ValueError: when the base model is not the bundle's, the checkpoint is damaged or does not fit, or an option
                is unknown.
        """
        if pretrained is not None:
            overrides["pretrained"] = str(pretrained)
        if device is not None:
            overrides["device"] = torch.device(device)
        parser = open_bundle(folder, **overrides)
        with unwrapped_errors():
            network: SegmentationNetwork = parser.get_parsed_content("network")
            if not parser.get_parsed_content("zero_shot"):
                load_weights(network, parser.get_parsed_content("ckpt_path"))
            inferer, window, amp = (parser.get_parsed_content(name) for name in ("inferer", "intensity_window", "amp"))
        cache = None
        if feature_store is not None and isinstance(network, PromptTunedNetwork):  # others have masks, but no features
            cache = FeatureCache(network, feature_store, amp)
        return cls(network.eval(), inferer, window, amp, cache)

    @property
    def class_names(self) -> list[str]:
        """The texts that the bundle is tuned for."""
        return list(self.network.class_names)

    @overload
    def segment(self, image: ImageLike, texts: str | Sequence[str] | None = None) -> np.ndarray: ...

    @overload
    def segment(self, image: Images, texts: str | Sequence[str] | None = None) -> list[np.ndarray]: ...

    def segment(
        self, image: ImageLike | Images, texts: str | Sequence[str] | None = None
    ) -> np.ndarray | list[np.ndarray]:
        """Return the mask of each text: where its probability is above 0.5, or above the text's calibrated threshold.

        Masks of several texts may overlap.

        Args:
            image: one image, or a list of them, which may differ in form and size.
            texts: K texts, or one; None = the bundle's ``class_names``.

        Returns:
            bool at the image's own size: (K, H, W), or (K, X, Y, Z) for a volume, in the voxel order of its file. A
            list for a list of images.

        Raises:
            FileNotFoundError: when a file does not exist.
            TypeError: when an image is none of the forms above.
            ValueError: when an image cannot be read, its shape, type or values are not as described, or a text is
                empty.
        """
        return self._reduce_each(image, texts, _masks)

    @overload
    def probabilities(self, image: ImageLike, texts: str | Sequence[str] | None = None) -> np.ndarray: ...

    @overload
    def probabilities(self, image: Images, texts: str | Sequence[str] | None = None) -> list[np.ndarray]: ...

    def probabilities(
        self, image: ImageLike | Images, texts: str | Sequence[str] | None = None
    ) -> np.ndarray | list[np.ndarray]:
        """Return the probability of each text, calibrated where it is fitted: float32 in 0..1, else as `segment`."""
        return self._reduce_each(image, texts, _probabilities)

    @overload
    def uncertainty(self, image: ImageLike, texts: str | Sequence[str] | None = None) -> np.ndarray: ...

    @overload
    def uncertainty(self, image: Images, texts: str | Sequence[str] | None = None) -> list[np.ndarray]: ...

    def uncertainty(
        self, image: ImageLike | Images, texts: str | Sequence[str] | None = None
    ) -> np.ndarray | list[np.ndarray]:
        """Return the entropy of each text's `probabilities` in bits: 0 is certain, 1 a guess; else as `segment`."""
        return self._reduce_each(image, texts, _uncertainty)

    @overload
    def presence(self, image: ImageLike, texts: str | Sequence[str] | None = None) -> np.ndarray: ...

    @overload
    def presence(self, image: Images, texts: str | Sequence[str] | None = None) -> list[np.ndarray]: ...

    def presence(
        self, image: ImageLike | Images, texts: str | Sequence[str] | None = None
    ) -> np.ndarray | list[np.ndarray]:
        """Return the probability that the image shows each text at all; of a volume, the highest of its slices.

        With the option ``presence_threshold`` of ``from_bundle``, masks of texts with a lower one are empty.

        Args:
            image: as for `segment`.
            texts: as for `segment`.

        Returns:
            float32 in 0..1, (K,). A list for a list of images.

        Raises:
            FileNotFoundError: when a file does not exist.
            TypeError: when an image is none of the forms above.
            ValueError: as for `segment`.
        """
        if isinstance(image, list | tuple):
            return [self.presence(one, texts) for one in image]
        with self._computing() as device:
            pixels = self._network_input(image).to(device)
            chance = self.inferer.presence(pixels, self._run, text=[self._texts(texts)])  # (1, K) or (1, N, K)
        return _of_image(chance)

    def _reduce_each(
        self, image: ImageLike | Images, texts: str | Sequence[str] | None, reduction: Reduction
    ) -> np.ndarray | list[np.ndarray]:
        if isinstance(image, list | tuple):
            return [self.reduce_logits(one, texts, reduction) for one in image]
        return self.reduce_logits(image, texts, reduction)

    def reduce_logits(self, image: ImageLike, texts: str | Sequence[str] | None, reduction: Reduction) -> np.ndarray:
        """Return a reduction of one image's logits, such as `reductions.label_map`, otherwise as `segment`.

        The reduction reads the logits at full size one text after the other; its C channels become (C, H, W) or
        (C, X, Y, Z).
        """
        inferer = self._reducing(reduction)
        with self._computing() as device:
            pixels = self._network_input(image).to(device)
            upright = inferer(pixels, self._run, text=[self._texts(texts)])[0]
        return _stored(upright, image)

    def reduce_logits_with_presence(
        self, image: ImageLike, texts: str | Sequence[str] | None, reduction: Reduction
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the results of `reduce_logits` and of `presence`, for which the network runs once."""
        inferer = self._reducing(reduction)
        with self._computing() as device:
            pixels = self._network_input(image).to(device)
            upright, chance = inferer.with_presence(pixels, self._run, text=[self._texts(texts)])
        return _stored(upright[0], image), _of_image(chance)

    def _reducing(self, reduction: Reduction) -> ResizedInferer:
        inferer = copy.copy(self.inferer)  # the original keeps its reduction
        inferer.reduction = reduction
        return inferer

    def _run(self, images: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Run the network on images (B, 3, H, W), which are encoded unless the cache has their features."""
        known = images if self.feature_cache is None else self.feature_cache.encode(images)
        return self.network(known, *args, **kwargs)

    @contextmanager
    def _computing(self) -> Iterator[torch.device]:
        """Compute without autograd, in the chosen precision and on the network's device."""
        device = next(self.network.parameters()).device
        with torch.inference_mode(), torch.autocast(device.type, enabled=self.amp):
            yield device

    def _network_input(self, image: ImageLike) -> torch.Tensor:
        """Return float32 in 0..1: (1, 3, H, W), or upright (1, 3, S, A, R) of a volume."""
        pixels = np.moveaxis(_pixels(image, self.intensity_window), -1, 0)
        return torch.from_numpy(np.ascontiguousarray(pixels))[None]

    def _texts(self, texts: str | Sequence[str] | None) -> list[str]:
        if texts is None:
            return self.class_names
        return validate_texts([texts] if isinstance(texts, str) else texts, "texts")


def open_bundle(folder: str | Path, **overrides: Any) -> ConfigParser:
    """Read a bundle's ``inference.yaml`` with other values of its options, from any current folder.

    Raises:
        FileNotFoundError: when the folder is not a bundle.
        ValueError: when the config has no such option.
    """
    config = Path(folder) / "configs" / "inference.yaml"
    if not config.is_file():
        raise FileNotFoundError(f"{config} does not exist; pass the folder of a bundle.")
    parser = ConfigParser()
    parser.read_config(str(config))
    if unknown := [name for name in overrides if name not in parser]:
        raise ValueError(f"{config} has no option {unknown[0]!r}.")
    parser.update({"bundle_root": str(folder), **overrides})
    return parser


def _stored(upright: torch.Tensor, image: ImageLike) -> np.ndarray:
    """Return upright maps (C, H, W) or (C, S, A, R) of an image, those of a volume in the voxel order of its file."""
    maps = upright.cpu().numpy()
    if isinstance(image, str | os.PathLike) and is_volume_file(Path(image)):
        return np.stack([stored_order(channel, Path(image)) for channel in maps])
    return maps


def _of_image(chance: torch.Tensor) -> np.ndarray:
    """Return the presence (K,) in an image from that in a picture, (1, K), or in the slices of a volume, (1, N, K)."""
    return chance.float().flatten(0, -2).amax(dim=0).cpu().numpy()


def _masks(logits: Iterable[torch.Tensor], cuts: Iterable[torch.Tensor | float]) -> torch.Tensor:
    return torch.cat([of_text > cut for of_text, cut in zip(logits, cuts, strict=False)], dim=1)


def _probabilities(logits: Iterable[torch.Tensor], _: Iterable[torch.Tensor | float]) -> torch.Tensor:
    return torch.cat([of_text.float().sigmoid() for of_text in logits], dim=1)


def _uncertainty(logits: Iterable[torch.Tensor], _: Iterable[torch.Tensor | float]) -> torch.Tensor:
    return torch.cat([binary_entropy(of_text) for of_text in logits], dim=1)


def _pixels(image: ImageLike, window: Sequence[float] | None) -> np.ndarray:
    """Return float32 in 0..1: (H, W, 3), or upright (S, A, R, 3) of a volume."""
    if isinstance(image, str | os.PathLike):
        return read_image(Path(image), intensity_window=window)
    if isinstance(image, Image.Image):
        return as_rgb(_from_pil(image), window)
    if isinstance(image, torch.Tensor):
        plain = image.detach().cpu()
        values = np.asarray(plain.float() if plain.is_floating_point() else plain)
        return _from_array(values, np.moveaxis(values, 0, -1) if values.ndim == 3 else values, window)
    if isinstance(image, np.ndarray):
        return _from_array(image, image, window)
    raise TypeError(f"an image is a path, a PIL image, an array or a tensor, not a {type(image).__name__}.")


def _from_pil(picture: Image.Image) -> StoredPicture:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode == "P":
        return StoredPicture(
            np.asarray(upright), 255, palette=np.asarray(upright.getpalette("RGB"), np.uint8).reshape(-1, 3)
        )
    if upright.mode.startswith("I;16"):
        return StoredPicture(np.asarray(upright).astype(np.uint16), 65535)
    if upright.mode in ("I", "F"):
        raise ValueError(f"a PIL image of the mode {upright.mode!r} has no known range; pass an array in 0..1.")
    return StoredPicture(np.asarray(upright.convert("L" if upright.mode in ("1", "L", "LA") else "RGB")), 255)


def _from_array(given: np.ndarray, picture: np.ndarray, window: Sequence[float] | None) -> np.ndarray:
    """Read an array with channels last; messages name the given shape."""
    if picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (1,), (3,)) or not picture.size:
        raise ValueError(
            f"an image of the shape {given.shape} is not a picture; pass an array (H, W) or (H, W, 3), a tensor (H, W) "
            "or (3, H, W), several images as a list, and a volume as the path of its file."
        )
    values = picture[..., 0] if picture.shape[2:] == (1,) else picture
    if values.dtype == np.uint8:
        return as_rgb(StoredPicture(values, 255), window)
    if values.dtype.kind != "f":
        raise ValueError(
            f"an image of the type {values.dtype} has no known range; pass uint8 in 0..255, or floats in 0..1."
        )
    if not (values.min() >= 0 and values.max() <= 1):  # false for NaN too
        raise ValueError(
            f"an image of floats lies in {values.min():g}..{values.max():g}, not in 0..1; divide 8-bit values by 255."
        )
    return as_rgb(StoredPicture(values, 1), None)
