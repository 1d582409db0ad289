"""The front door: a bundle that segments images of any form by texts."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
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
from monai_tunevlseg.inferers import Reduction, ResizedInferer
from monai_tunevlseg.networks import PromptTunedNetwork
from monai_tunevlseg.networks.texts import checked_texts
from monai_tunevlseg.training import load_weights

__all__ = ["ImageLike", "Images", "Segmenter", "open_bundle"]

ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray | torch.Tensor
"""One image, as `Segmenter` takes it."""
Images = list[Any] | tuple[Any, ...]
"""Several of them."""


@dataclass(frozen=True, eq=False)
class Segmenter:
    """Segments images by texts, as the bundle's ``inference.yaml`` does.

    An image is one of

    - the path of a picture (PNG, JPEG, BMP, GIF, TIFF), or of a NIfTI, MetaImage or NRRD file, which may be a volume:
      it is segmented slice by slice, along the axis that the bundle says;
    - a PIL image, turned as its EXIF orientation says, like a file; transparency is dropped;
    - an array (H, W), (H, W, 1) or (H, W, 3);
    - a tensor (H, W), (1, H, W) or (3, H, W), on any device.

    Arrays and tensors hold uint8 in 0..255 or floating-point numbers in 0..1. The bundle's ``intensity_window`` applies
    to stored values: those of files, of PIL images and of uint8; floating-point numbers are taken to be scaled already.

    Attributes:
        network: on the device and in the precision in which it computes.
        inferer: brings images to the network's size, and logits back to theirs.
        intensity_window: the stored values that become 0 and 1; None = the range of the type, percentiles of a volume.
        amp: compute in CUDA's float16 autocast.
    """

    network: PromptTunedNetwork
    inferer: ResizedInferer
    intensity_window: Sequence[float] | None = None
    amp: bool = False

    @classmethod
    def from_bundle(
        cls, folder: str | Path, pretrained: str | Path | None = None, device: str | torch.device | None = None
    ) -> Segmenter:
        """Load a bundle. It is a program, whose configs MONAI runs: load only those of authors you trust.

        Args:
            folder: the bundle's, with ``configs/inference.yaml`` and, unless it is zero-shot, ``models/model.pt``.
            pretrained: where this machine has the base model; None = as the bundle says.
            device: where the network computes; None = as the bundle says, which is CUDA where there is one.

        Raises:
            FileNotFoundError: when the folder is not a bundle, or has no checkpoint.
            ValueError: when the base model is not the bundle's, or the checkpoint is damaged or does not fit.
        """
        parser = open_bundle(folder, pretrained)
        if device is not None:
            parser["device"] = torch.device(device)
        with unwrapped_errors():
            network: PromptTunedNetwork = parser.get_parsed_content("network")
            if not parser.get_parsed_content("zero_shot"):
                load_weights(network, parser.get_parsed_content("ckpt_path"))
            names = ("inferer", "intensity_window", "amp")
            return cls(network.eval(), *(parser.get_parsed_content(name) for name in names))

    @property
    def class_names(self) -> list[str]:
        """The texts that the bundle was tuned for."""
        return list(self.network.class_names)

    @overload
    def segment(self, image: ImageLike, texts: str | Sequence[str] | None = None) -> np.ndarray: ...

    @overload
    def segment(self, image: Images, texts: str | Sequence[str] | None = None) -> list[np.ndarray]: ...

    def segment(
        self, image: ImageLike | Images, texts: str | Sequence[str] | None = None
    ) -> np.ndarray | list[np.ndarray]:
        """Return where each text's probability is above 0.5. Masks of several texts may overlap.

        Args:
            image: one image, or a list of them, which may differ in form and size.
            texts: K texts, or one; None = the bundle's ``class_names``.

        Returns:
            bool of the image's own size: (K, H, W), or (K, X, Y, Z) for a volume, in the order in which its file stores
            the voxels. For a list of images, a list.

        Raises:
            FileNotFoundError: when there is no such file.
            TypeError: when an image is none of the forms above.
            ValueError: when an image cannot be read, its shape, type or values are not as described, or a text is
                empty.
        """
        return self._results(image, texts, _masks)

    @overload
    def probabilities(self, image: ImageLike, texts: str | Sequence[str] | None = None) -> np.ndarray: ...

    @overload
    def probabilities(self, image: Images, texts: str | Sequence[str] | None = None) -> list[np.ndarray]: ...

    def probabilities(
        self, image: ImageLike | Images, texts: str | Sequence[str] | None = None
    ) -> np.ndarray | list[np.ndarray]:
        """Return the probability of each text: float32 in 0..1, and all else as for `segment`."""
        return self._results(image, texts, _probabilities)

    def _results(
        self, image: ImageLike | Images, texts: str | Sequence[str] | None, reduction: Reduction
    ) -> np.ndarray | list[np.ndarray]:
        asked = (
            self.class_names if texts is None else checked_texts([texts] if isinstance(texts, str) else texts, "texts")
        )
        if isinstance(image, list | tuple):
            return [self._result(one, asked, reduction) for one in image]
        return self._result(image, asked, reduction)

    def _result(self, image: ImageLike, texts: list[str], reduction: Reduction) -> np.ndarray:
        pixels = np.ascontiguousarray(np.moveaxis(_pixels(image, self.intensity_window), -1, 0))
        device = next(self.network.parameters()).device
        inferer = copy.copy(self.inferer)  # the bundle's own keeps its reduction
        inferer.reduction = reduction
        with torch.inference_mode(), torch.autocast(device.type, enabled=self.amp):
            upright = inferer(torch.from_numpy(pixels)[None].to(device), self.network, text=[texts])[0].cpu().numpy()
        if isinstance(image, str | os.PathLike) and is_volume_file(Path(image)):
            return np.stack([stored_order(of_text, Path(image)) for of_text in upright])
        return upright


def open_bundle(folder: str | Path, pretrained: str | Path | None = None) -> ConfigParser:
    """Read a bundle's ``inference.yaml``, wherever the bundle is.

    Args:
        folder: the bundle's.
        pretrained: where this machine has the base model; None = as the bundle says.

    Raises:
        FileNotFoundError: when the folder is not a bundle.
    """
    config = Path(folder) / "configs" / "inference.yaml"
    if not config.is_file():
        raise FileNotFoundError(f"there is no {config}; pass the folder of a bundle.")
    parser = ConfigParser()
    parser.read_config(str(config))
    parser["bundle_root"] = str(folder)
    if pretrained is not None:
        parser["pretrained"] = str(pretrained)
    return parser


def _masks(logits: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.cat([of_text > 0 for of_text in logits], dim=1)  # sigmoid(x) > 0.5 where x > 0


def _probabilities(logits: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.cat([of_text.float().sigmoid() for of_text in logits], dim=1)


def _pixels(image: ImageLike, window: Sequence[float] | None) -> np.ndarray:
    """Return float32 in 0..1: (H, W, 3), or upright (S, A, R, 3) of a volume."""
    if isinstance(image, str | os.PathLike):
        return read_image(Path(image), intensity_window=window)
    if isinstance(image, Image.Image):
        return as_rgb(_stored(image), window)
    if isinstance(image, torch.Tensor):
        plain = image.detach().cpu()
        values = np.asarray(plain.float() if plain.is_floating_point() else plain)
        return _from_array(values, np.moveaxis(values, 0, -1) if values.ndim == 3 else values, window)
    if isinstance(image, np.ndarray):
        return _from_array(image, image, window)
    raise TypeError(f"an image is a path, a PIL image, an array or a tensor, not a {type(image).__name__}.")


def _stored(picture: Image.Image) -> StoredPicture:
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
    """Read an array with channels last; messages tell the shape that was given."""
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
    if not (values.min() >= 0 and values.max() <= 1):  # nor where one is NaN
        raise ValueError(
            f"an image of floats lies in {values.min():g}..{values.max():g}, not in 0..1; divide 8-bit values by 255."
        )
    return as_rgb(StoredPicture(values, 1), None)
