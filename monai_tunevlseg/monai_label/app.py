"""The app in MONAI Label's server: each bundle is a model."""

from __future__ import annotations

import copy
import logging
import re
from pathlib import Path
from typing import Any

import torch
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.exception import MONAILabelException
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.utils.sessions import SessionInfo, Sessions

import monai_tunevlseg
from monai_tunevlseg.monai_label.active_learning import SCORES, ScoreStrategy
from monai_tunevlseg.monai_label.bundle_model import open_bundles
from monai_tunevlseg.monai_label.content_types import add_default_content_type
from monai_tunevlseg.monai_label.datastore import FolderDatastore, resolve_image
from monai_tunevlseg.monai_label.error_responses import add_error_responses, get_or_404, http_errors
from monai_tunevlseg.monai_label.infer_request import within_region
from monai_tunevlseg.monai_label.infer_task import TextSegmentation
from monai_tunevlseg.monai_label.path_checks import check_path_component
from monai_tunevlseg.monai_label.request_checks import add_request_checks
from monai_tunevlseg.monai_label.server_processes import (
    exit_with_server,
    terminate_children_on_exit,
)
from monai_tunevlseg.monai_label.train_task import BundleTraining
from monai_tunevlseg.monai_label.uploads import add_upload_cleanup, create_upload_folder

__all__ = ["TuneVLSegApp"]

logger = logging.getLogger(__name__)

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class UUIDSessions(Sessions):
    """Sessions with UUIDs as ids; MONAI Label would take any path."""

    def get_session(self, session_id: str, update_ts: bool = True, fetch_cache: bool = True) -> SessionInfo | None:
        """Return a session; None if its id is unknown."""
        return super().get_session(session_id, update_ts, fetch_cache) if UUID.fullmatch(session_id) else None

    def remove_session(self, session_id: str) -> None:
        """Remove a session, if its id is known."""
        if UUID.fullmatch(session_id):
            super().remove_session(session_id)


class TuneVLSegApp(MONAILabelApp):
    """Annotation by text.

    A bundle NAME is the model NAME, and the model NAME_clicks for the clients' tools with clicks. Both accept text and
    clicks.

    Args:
        app_dir: folder of the app, from the server's ``--app``.
        studies: a folder, or the address of a DICOMweb server.
        conf: the server's ``--conf`` options; ``bundles`` is a comma-separated list of folders.

    Raises:
        FileNotFoundError: when a folder is not a bundle.
        ValueError: when no bundle is given, or two have one name.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        terminate_children_on_exit()
        exit_with_server()
        self.models = open_bundles((conf or {}).get("bundles", ""))
        self.uploads = create_upload_folder()
        super().__init__(
            app_dir,
            studies,
            conf,
            name="monai_tunevlseg",
            description="Segmentation of images by text, tuned on submitted labels",
            version=monai_tunevlseg.__version__,
        )

    def init_datastore(self) -> Datastore:
        """Open the studies."""
        if self.studies.startswith(("http://", "https://")):
            return super().init_datastore()
        return FolderDatastore(self.studies)

    def init_infers(self) -> dict[str, InferTask]:
        """Return each model twice, the second time for the clients' tools with clicks."""
        tasks = {name: TextSegmentation(model) for name, model in self.models.items()}
        clicks = {f"{name}_clicks": TextSegmentation(model, InferType.DEEPGROW) for name, model in self.models.items()}
        return clicks | tasks

    def init_trainers(self) -> dict[str, TrainTask]:
        """Return the training of each bundle that has a config for it."""
        return {name: BundleTraining(model) for name, model in self.models.items() if model.train_config.is_file()}

    def init_strategies(self) -> dict[str, Strategy]:
        """Return the strategies to choose the next image."""
        scored = {score: ScoreStrategy(score, self.models) for score in SCORES}
        return {**scored, "random": Random(), "first": First()}

    def on_init_complete(self) -> None:
        """Add the checks to the server once its routes exist."""
        super().on_init_complete()
        from monailabel.app import app

        add_request_checks(app, self._trainers)
        add_error_responses(app, self.uploads)
        add_upload_cleanup(app, self.uploads)
        add_default_content_type(app)

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Segment an image.

        Raises:
            HTTPException: when the request is wrong.
        """
        with http_errors():
            task = get_or_404(self._infers, request.get("model"), "model")
            store = datastore or self.datastore()
            image = resolve_image(request.get("image"), store, self._folders())
            file, params = task({**copy.deepcopy(request), "image": str(image)})
            label = file
            if request.get("save_label") and not request.get("session"):
                if file is None:
                    raise ValueError("save_label needs a file; leave out output, or save_label.")
                tag = check_path_component(request.get("label_tag") or DefaultLabelTag.ORIGINAL.value, "label_tag")
                info = {"model": request["model"], "params": params}
                label = store.save_label(request["image"], file, tag, info)
        return {"label": label, "tag": DefaultLabelTag.ORIGINAL, "file": file, "params": params}

    def train(self, request: dict[str, Any]) -> dict[str, Any]:
        """Train.

        Raises:
            HTTPException: when the request is wrong.
        """
        with http_errors():
            return super().train(request)

    def batch_infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Segment many images; those that cannot be read are skipped."""
        on_cpu = {} if torch.cuda.is_available() else {"multi_gpu": False, "device": "cpu"}
        return self._batch_infer({**request, **on_cpu}, datastore or self.datastore(), self._infer_or_warn)

    def infer_wsi(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Segment an image without tiling: to tile it, MONAI Label would open any file of the machine.

        With the output ``asap``, which QuPath asks for, only the region that the request names is kept.
        """
        return self.infer(within_region(request) if request.get("output") == "asap" else request, datastore)

    def _infer_or_warn(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        try:
            return self.infer(request, datastore)
        except (HTTPException, MONAILabelException) as error:
            logger.warning("%s is skipped: %s", request.get("image"), error)
            return {}

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """Choose the next image to annotate.

        Raises:
            HTTPException: when the request is wrong.
        """
        with http_errors():
            get_or_404(self._strategies, request.get("strategy") or "random", "strategy")
            if request.get("model"):
                get_or_404(self.models, request["model"], "model")
            return super().next_sample(request)

    def bundle_path(self, model: str | None) -> None:
        """Return None, because these bundles have no code of their own; the server calls this before a training.

        Raises:
            HTTPException: when the model is unknown.
        """
        if model is not None:
            get_or_404(self.models, model, "model")

    def _folders(self) -> list[Path]:
        """Return the folders whose files a request may name by path; relative paths refer to the first."""
        store: str = self.datastore()._datastore_path
        sessions = self.sessions()
        folders = [store, self.uploads, *([sessions.store_path] if sessions else [])]
        return [Path(folder).resolve() for folder in folders]

    def _load_sessions(self, load: bool = False) -> Sessions | None:
        """Open the sessions at the start of the server."""
        if not load:
            return None
        return UUIDSessions(settings.MONAI_LABEL_SESSION_PATH, settings.MONAI_LABEL_SESSION_EXPIRY)

    def _download_dcmqi_tools(self) -> None:
        try:
            super()._download_dcmqi_tools()
        except Exception as error:  # any kind: without the tool the server still segments
            logger.warning("itkimage2segimage is missing, so labels cannot be converted to DICOM SEG: %s", error)
