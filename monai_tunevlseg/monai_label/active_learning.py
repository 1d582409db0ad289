"""Active learning: the next image to annotate is the one with the least certain prediction."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from monai_tunevlseg.monai_label.bundle_model import BundleModel

__all__ = ["SCORES", "SCORE_KEYS", "ScoreStrategy"]

logger = logging.getLogger(__name__)

SCORES: Mapping[str, str] = {
    "entropy": "The image with the least certain prediction: the highest mean predictive entropy",
    "uncertainty": "The image with the least certain masks: the highest probability that they are wrong",
}
"""The scores of `BundleModel` by which images are chosen, the highest first, with descriptions for clients."""
SCORE_KEYS: Mapping[str, str] = {score: f"tunevlseg_{score}" for score in SCORES}
"""The keys of the scores in an image's info in the datastore."""
UNREADABLE = -1.0  # the score of a file that cannot be read
MAX_SAMPLES = 256


class ScoreStrategy(Strategy):
    """Chooses the unlabeled image with the highest score.

    Scores are stored in the datastore, so they survive a restart of the server, and are valid for one checkpoint. A
    call computes a limited number of missing scores and chooses among all known ones.

    Args:
        score: ``entropy`` or ``uncertainty``, as `BundleModel` computes it.
        models: the models by name; a request selects one with ``model``, the default is the first.
        max_samples: maximum number of scores computed in one call, unless a request has its own ``max_samples``.
    """

    def __init__(self, score: str, models: Mapping[str, BundleModel], max_samples: int = 16) -> None:
        super().__init__(SCORES[score])
        self.score = score
        self.key = SCORE_KEYS[score]
        self.models = models
        self.max_samples = max_samples

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Choose the next image; None if no readable image is unlabeled.

        Raises:
            KeyError: when the model is unknown.
            ValueError: when ``max_samples`` is not a whole number from 1 to ``MAX_SAMPLES``, or the model is not
                usable yet.
        """
        model = self.models[request.get("model") or next(iter(self.models))]
        model.check_usable()
        unlabeled = sorted(datastore.get_unlabeled_images())
        scores = {image: score for image in unlabeled if (score := self._stored(datastore, image, model)) is not None}
        missing = (image for image in unlabeled if image not in scores)
        computed = ((image, self._compute(datastore, image, model)) for image in missing)
        readable = (scored for scored in computed if scored[1] != UNREADABLE)
        new = dict(itertools.islice(readable, self._limit(request)))
        scores = {image: score for image, score in (scores | new).items() if score != UNREADABLE}
        if not scores:
            return None
        chosen = max(scores, key=lambda image: scores[image])
        return {"id": chosen, "score": scores[chosen], "model": model.name, "scored": len(scores)}

    def _limit(self, request: Mapping[str, Any]) -> int:
        limit = request.get("max_samples", self.max_samples)
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_SAMPLES:
            raise ValueError(f"max_samples is {limit!r:.100}; send a whole number from 1 to {MAX_SAMPLES}.")
        return limit

    def _stored(self, datastore: Datastore, image: str, model: BundleModel) -> float | None:
        entry = datastore.get_image_info(image).get(self.key, {}).get(model.name, {})
        return entry.get("score") if entry.get("checkpoint") == model.version() else None

    def _compute(self, datastore: Datastore, image: str, model: BundleModel) -> float:
        """Compute and store the score of an image; ``UNREADABLE`` if its file cannot be read."""
        version = model.version()
        try:
            score = getattr(model, self.score)(Path(datastore.get_image_uri(image)))
        except (OSError, ValueError) as error:
            logger.warning("No score for %s: %s", image, error)
            score = UNREADABLE
        stored = datastore.get_image_info(image).get(self.key, {})
        datastore.update_image_info(image, {self.key: {**stored, model.name: {"score": score, "checkpoint": version}}})
        return score
