"""The app that MONAI Label's server runs: every bundle is a model."""

from __future__ import annotations

import atexit
import copy
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelException
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random

import monai_tunevlseg
from monai_tunevlseg.label.inference import TextSegmentation
from monai_tunevlseg.label.models import open_bundles
from monai_tunevlseg.label.strategy import HighestEntropy
from monai_tunevlseg.label.studies import StudiesFolder, private_uploads, requested_image
from monai_tunevlseg.label.tuning import PromptTuning

__all__ = ["TuneVLSegApp"]

logger = logging.getLogger(__name__)


class TuneVLSegApp(MONAILabelApp):
    """Annotation by text.

    A bundle NAME is the model NAME, and the model NAME_clicks for those tools of clients that send clicks; both take
    text and clicks.

    Args:
        app_dir: the folder that the server was started with.
        studies: a folder, or the address of a DICOMweb server.
        conf: of the server's ``--conf``: ``bundles`` are folders with commas between them.

    Raises:
        FileNotFoundError: when a folder is no bundle.
        ValueError: when no bundle is given, or two have one name.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.models = open_bundles((conf or {}).get("bundles", ""))
        self.uploads = private_uploads()
        atexit.register(shutil.rmtree, self.uploads, ignore_errors=True)
        super().__init__(
            app_dir,
            studies,
            conf,
            name="monai_tunevlseg",
            description="Segmentation of images by text, with prompts that are tuned on what is annotated",
            version=monai_tunevlseg.__version__,
        )

    def init_datastore(self) -> Datastore:
        """Open the studies."""
        if self.studies.startswith(("http://", "https://")):
            return super().init_datastore()
        return StudiesFolder(self.studies)

    def init_infers(self) -> dict[str, InferTask]:
        """Return the models, each also for the clients' tools with clicks."""
        tasks = {name: TextSegmentation(model) for name, model in self.models.items()}
        clicks = {f"{name}_clicks": TextSegmentation(model, InferType.DEEPGROW) for name, model in self.models.items()}
        return clicks | tasks

    def init_trainers(self) -> dict[str, TrainTask]:
        """Return the re-tuning of each bundle."""
        return {name: PromptTuning(model) for name, model in self.models.items()}

    def init_strategies(self) -> dict[str, Strategy]:
        """Return the ways to choose the next image."""
        return {"entropy": HighestEntropy(self.models), "random": Random(), "first": First()}

    def on_init_complete(self) -> None:
        """Have the server answer bad requests with a sentence."""
        super().on_init_complete()
        from monailabel.app import app

        answer_bad_requests(app)

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Segment an image.

        Raises:
            HTTPException: when the request is wrong; says why.
        """
        with _refusals():
            task = _known(self._infers, request.get("model"), "model")
            store = datastore or self.datastore()
            image = requested_image(request.get("image"), store, self._folders())
            file, params = task({**copy.deepcopy(request), "image": str(image)})
        label = file
        if request.get("save_label") and not request.get("session"):
            tag = request.get("label_tag") or DefaultLabelTag.ORIGINAL
            info = {"model": request["model"], "params": params}
            label = store.save_label(request["image"], file, tag, info)
        return {"label": label, "tag": DefaultLabelTag.ORIGINAL, "file": file, "params": params}

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """Choose the next image to annotate.

        Raises:
            HTTPException: when the request is wrong; says why.
        """
        with _refusals():
            _known(self._strategies, request.get("strategy") or "random", "strategy")
            if request.get("model"):
                _known(self.models, request["model"], "model")
            return super().next_sample(request)

    def bundle_path(self, model: str | None) -> None:
        """Return nothing: these bundles bring no code. The server asks before it starts a training.

        Raises:
            HTTPException: when there is no such model.
        """
        if model is not None:
            _known(self.models, model, "model")

    def _folders(self) -> list[Path]:
        """Return the folders whose files may be named by path; relative paths are those of the first."""
        store: str = self.datastore()._datastore_path
        sessions = self.sessions()
        folders = [store, self.uploads, *([sessions.store_path] if sessions else [])]
        return [Path(folder).resolve() for folder in folders]

    def _download_dcmqi_tools(self) -> None:
        try:
            super()._download_dcmqi_tools()
        except Exception as error:  # whatever the download raises: without the tool the server still segments
            logger.warning("itkimage2segimage is missing, so that labels cannot go back to DICOM: %s", error)


def answer_bad_requests(app: FastAPI) -> None:
    """Answer with 4xx and a sentence where MONAI Label would answer with 500 and none."""

    async def refuse(request: Request, error: Exception) -> JSONResponse:
        status, sentence = _status(error)
        return JSONResponse({"detail": sentence}, status, getattr(error, "headers", None))

    for kind in (MONAILabelException, json.JSONDecodeError, HTTPException):
        app.add_exception_handler(kind, refuse)
    app.middleware_stack = None  # built before the app was; the next request builds it again


def _status(error: Exception) -> tuple[int, Any]:
    if isinstance(error, (ImageNotFoundException, LabelNotFoundException)):
        return 404, error.msg
    if isinstance(error, MONAILabelException):
        return 400, error.msg
    if isinstance(error, HTTPException):
        missing = error.status_code == 500 and str(error.detail).startswith("Neither Image")
        return 400 if missing else error.status_code, error.detail
    return 400, f"params is no JSON: {error}"


def _known(items: Mapping[str, Any], name: Any, what: str) -> Any:
    if not isinstance(name, str) or name not in items:
        raise HTTPException(404, f"there is no {what} {name!r:.100}; there are {', '.join(items)}.")
    return items[name]


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise HTTPException(404, str(error)) from error
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
