"""A bundle as MONAI Label's inference task."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.reading import read_shape
from monai_tunevlseg.data.io.volumes import stored_shape
from monai_tunevlseg.monai_label.asap_files import write_asap
from monai_tunevlseg.monai_label.bundle_model import BundleModel, mean_confidence
from monai_tunevlseg.monai_label.click_corrections import filter_components
from monai_tunevlseg.monai_label.infer_request import InferRequest
from monai_tunevlseg.monai_label.label_map_writer import write_label_map
from monai_tunevlseg.monai_label.polygons import as_annotations, trace_polygons

__all__ = ["TextSegmentation"]


class TextSegmentation(InferTask):
    """Segments an image by text, corrected by clicks and a box.

    Clients count x first. Pictures are therefore transposed here, and everything after the model has the axes (X, Y) or
    (X, Y, Z).

    Args:
        model: the bundle.
        kind: where clients offer it: ``segmentation``, or ``deepgrow`` for their tools with clicks.
    """

    def __init__(self, model: BundleModel, kind: InferType = InferType.SEGMENTATION) -> None:
        labels = {name: value for value, name in enumerate(model.class_names, start=1)}
        description = model.description if kind == InferType.SEGMENTATION else f"With clicks: {model.description}"
        config = {"text": ", ".join(model.class_names)}  # clients show it, and send it back as edited
        super().__init__(kind, labels, 3, description, config)
        self.model = model

    def is_valid(self) -> bool:
        """Return True, because the server does not start with an invalid bundle."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Segment the file ``image`` of a request.

        Returns:
            the path of the label map or of polygons, and the parameters of the answer. By text, these are
            ``label_names``, the value in the label map; ``presence``, the probability that the image shows the text at
            all; and ``confidence``, the mean probability of the text in its mask, or None for an empty mask.
            ``latencies`` are in seconds. With the output ``json``, ``annotations`` takes the place of the file.

        Raises:
            FileNotFoundError: when the file does not exist.
            ValueError: when the request or the file is wrong.
        """
        started = time.perf_counter()
        image = Path(request["image"])
        volume = is_volume_file(image)
        shape = stored_shape(image) if volume else read_shape(image)[::-1]
        asked = InferRequest.parse(request, self.model.class_names, shape)
        found = self.model.segment(image, asked.texts)
        labels, confidence = (values if volume else values.T for values in (found.labels, found.confidence))
        seconds = time.perf_counter() - started
        labels = filter_components(labels, asked.foreground, asked.background, asked.roi)
        means = mean_confidence(labels, confidence, len(asked.texts))
        file, annotations = self._written(labels, image, asked)
        params = {
            "label_names": {text: value for value, text in enumerate(asked.texts, start=1)},
            "presence": {text: round(chance, 4) for text, chance in zip(asked.texts, found.presence, strict=True)},
            "confidence": {
                text: None if mean is None else round(mean, 4) for text, mean in zip(asked.texts, means, strict=True)
            },
            "latencies": {"infer": round(seconds, 3), "total": round(time.perf_counter() - started, 3)},
        }
        return None if file is None else str(file), params | annotations

    def _written(
        self, labels: np.ndarray, image: Path, asked: InferRequest
    ) -> tuple[Path | None, dict[str, list[dict[str, Any]]]]:
        """Return the file in the form that a client asks for, and polygons for the answer."""
        if asked.output is None:
            return write_label_map(labels, image, asked.extension), {}
        traced = trace_polygons(labels, asked.texts, asked.min_polygon_area)
        if asked.output == "asap":
            return write_asap(traced, self.model.name), {}
        return None, {"annotations": as_annotations(traced, labels.shape)}
