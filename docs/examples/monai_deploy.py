"""A MONAI Deploy application: masks of the pictures in a folder, by the exported TorchScript of a shared bundle.

It runs with ``python monai_deploy.py -i IMAGES -o MASKS -m BUNDLE/models/model.ts``; docs/monai-deploy.md says how to
install it. The SDK reads the inferer and the form of the network's input and output from the file; this example adds
reading and writing of pictures, and the calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application, Fragment, Image, IOType, Operator, OperatorSpec
from monai.deploy.operators.monai_bundle_inference_operator import (
    BundleConfigNames,
    IOMapping,
    MonaiBundleInferenceOperator,
    get_bundle_config,
)
from PIL import Image as Picture
from torch import Tensor

from monai_tunevlseg.data.io.reading import read_image
from monai_tunevlseg.sharing import infer_exported

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


class PictureReader(Operator):
    """Emits one picture per call, float32 in [0, 1] of shape (3, H, W), and its name.

    Args:
        fragment: the application.
        args: further arguments of an operator.
        files: the pictures.
        intensity_window: the stored values that become 0 and 1; None = the range of the picture's type.
        kwargs: further arguments of an operator.
    """

    def __init__(
        self, fragment: Fragment, *args: Any, files: list[Path], intensity_window: Sequence[float] | None, **kwargs: Any
    ) -> None:
        self.files = iter(files)
        self.intensity_window = intensity_window
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Define the outputs."""
        spec.output("image")
        spec.output("name")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Read the next picture."""
        file = next(self.files)
        picture = read_image(file, intensity_window=self.intensity_window)
        op_output.emit(Image(np.moveaxis(picture, -1, 0)), "image")
        op_output.emit(file.stem, "name")


class TextSegmenter(MonaiBundleInferenceOperator):
    """The SDK's operator for bundles, with the calibration in the file."""

    def predict(self, data: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the label map of a picture, (1, 1, H, W)."""
        return infer_exported(self.parser, self._model_network, data)


class MaskWriter(Operator):
    """Writes label maps as PNG: 0 is background, k + 1 class k.

    Args:
        fragment: the application.
        args: further arguments of an operator.
        folder: the output folder.
        kwargs: further arguments of an operator.
    """

    def __init__(self, fragment: Fragment, *args: Any, folder: Path, **kwargs: Any) -> None:
        self.folder = folder
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Define the inputs."""
        spec.input("pred")
        spec.input("name")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Write one label map."""
        labels, name = op_input.receive("pred").asnumpy(), op_input.receive("name")
        self.folder.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(labels.astype(np.uint8)).save(self.folder / f"{name}.png")


class TextSegmentation(Application):
    """Segments the pictures of a folder."""

    def compose(self) -> None:
        """Connect the operators."""
        context = Application.init_app_context(self.argv)
        files = sorted(file for file in Path(context.input_path).iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise FileNotFoundError(f"{context.input_path} has no pictures; known are {', '.join(SUFFIXES)}.")
        bundle = get_bundle_config(context.models.get().path, "inference")
        window = bundle.get_parsed_content("intensity_window")
        reader = PictureReader(
            self, CountCondition(self, len(files)), files=files, intensity_window=window, name="reader"
        )
        segmenter = TextSegmenter(
            self,
            app_context=context,
            input_mapping=[IOMapping("image", Image, IOType.IN_MEMORY)],
            output_mapping=[IOMapping("pred", Image, IOType.IN_MEMORY)],
            # the bundle's own postprocessing writes files, as the writer does here
            bundle_config_names=BundleConfigNames(postproc_name="no_postprocessing"),
            name="segmenter",
        )
        writer = MaskWriter(self, folder=Path(context.output_path), name="writer")
        self.add_flow(reader, segmenter, {("image", "image")})
        self.add_flow(segmenter, writer, {("pred", "pred")})
        self.add_flow(reader, writer, {("name", "name")})


if __name__ == "__main__":
    TextSegmentation().run()
