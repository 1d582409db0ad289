"""Active learning: the next image to annotate is the one that the model is least certain of."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from monai_tunevlseg.monai_label.bundle_model import BundleModel

__all__ = ["EntropyStrategy"]

logger = logging.getLogger(__name__)

SCORES = "tunevlseg_entropy"  # key among what the datastore knows of an image
UNREADABLE = -1.0  # the score of a file that cannot be read
MOST_AT_ONCE = 256


class EntropyStrategy(Strategy):
    """Chooses the unlabeled image with the highest mean predictive entropy.

    Scores are kept with the datastore's other facts about images, so that they outlive the server, and hold as long as
    the model's checkpoint. A call computes a limited number of missing ones and chooses among all that are there.

    Args:
        models: by name; a request names one as ``model``, otherwise it is the first.
        at_once: how many scores a call computes at most; a request may say otherwise as ``max_samples``.
    """

    def __init__(self, models: Mapping[str, BundleModel], at_once: int = 16) -> None:
        super().__init__("The image that the model is least certain of: the highest mean predictive entropy")
        self.models = models
        self.at_once = at_once

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Choose the next image, or None where all are labeled that can be read.

        Raises:
            KeyError: when there is no such model.
            ValueError: when ``max_samples`` is not a whole number from 1 to ``MOST_AT_ONCE``.
        """
        model = self.models[request.get("model") or next(iter(self.models))]
        unlabeled = sorted(datastore.get_unlabeled_images())
        scores = {image: score for image in unlabeled if (score := _kept(datastore, image, model)) is not None}
        missing = (image for image in unlabeled if image not in scores)
        computed = ((image, _scored(datastore, image, model)) for image in missing)
        readable = (pair for pair in computed if pair[1] != UNREADABLE)
        new = dict(itertools.islice(readable, self._limit(request)))
        scores = {image: score for image, score in (scores | new).items() if score != UNREADABLE}
        if not scores:
            return None
        chosen = max(scores, key=lambda image: scores[image])
        return {"id": chosen, "score": scores[chosen], "model": model.name, "scored": len(scores)}

    def _limit(self, request: Mapping[str, Any]) -> int:
        limit = request.get("max_samples", self.at_once)
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_AT_ONCE:
            raise ValueError(f"max_samples is {limit!r:.100}; send a whole number from 1 to {MOST_AT_ONCE}.")
        return limit


def _kept(datastore: Datastore, image: str, model: BundleModel) -> float | None:
    entry = datastore.get_image_info(image).get(SCORES, {}).get(model.name, {})
    return entry.get("score") if entry.get("checkpoint") == model.version() else None


def _scored(datastore: Datastore, image: str, model: BundleModel) -> float:
    """Compute and keep the score of one image; that of a file that cannot be read is ``UNREADABLE``."""
    version = model.version()
    try:
        score = model.entropy(Path(datastore.get_image_uri(image)))
    except (OSError, ValueError) as error:
        logger.warning("No score for %s: %s", image, error)
        score = UNREADABLE
    kept = datastore.get_image_info(image).get(SCORES, {})
    datastore.update_image_info(image, {SCORES: {**kept, model.name: {"score": score, "checkpoint": version}}})
    return score
