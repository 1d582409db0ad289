"""A bundle as MONAI Label's inference task."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from monai_tunevlseg.data.io.file_suffixes import is_volume_file
from monai_tunevlseg.data.io.reading import read_shape
from monai_tunevlseg.data.io.volumes import stored_order, stored_shape
from monai_tunevlseg.monai_label.bundle_model import BundleModel
from monai_tunevlseg.monai_label.click_corrections import filter_components
from monai_tunevlseg.monai_label.infer_request import InferRequest
from monai_tunevlseg.monai_label.label_map_writer import write_label_map

__all__ = ["TextSegmentation"]


class TextSegmentation(InferTask):
    """Segments an image by text, corrected by clicks and boxes.

    Args:
        model: the bundle.
        kind: tells clients where to offer it: ``segmentation``, or ``deepgrow`` for their tools with clicks.
    """

    def __init__(self, model: BundleModel, kind: InferType = InferType.SEGMENTATION) -> None:
        labels = {name: value for value, name in enumerate(model.class_names, start=1)}
        description = model.description if kind == InferType.SEGMENTATION else f"With clicks: {model.description}"
        config = {"text": ", ".join(model.class_names)}  # clients show it, and send what was made of it
        super().__init__(kind, labels, 3, description, config)
        self.model = model

    def is_valid(self) -> bool:
        """Return that the bundle can be used; an invalid one has stopped the server's start."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Segment the file ``image`` of a request.

        Returns:
            the path of the label map, and what the client is told of it: ``label_names`` and ``latencies``.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when the request or the file is wrong.
        """
        started = time.perf_counter()
        image = Path(request["image"])
        picture = not is_volume_file(image)  # whose rows come first, while positions count columns first
        shape = read_shape(image) if picture else stored_shape(image)
        asked = InferRequest.of(request, self.model.class_names, shape[::-1] if picture else shape)
        labels = self.model.segment(image, asked.texts)
        labels = labels if picture else stored_order(labels, image)
        seconds = time.perf_counter() - started
        step = -1 if picture else 1
        labels = filter_components(
            labels,
            [click[::step] for click in asked.foreground],
            [click[::step] for click in asked.background],
            asked.area and asked.area[::step],
        )
        file = write_label_map(labels, image, asked.extension)
        names = {text: value for value, text in enumerate(asked.texts, start=1)}
        latencies = {"infer": round(seconds, 3), "total": round(time.perf_counter() - started, 3)}
        return str(file), {"label_names": names, "latencies": latencies}
