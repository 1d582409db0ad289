"""MONAI Label's server over plain HTTP."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from email.message import Message
from typing import Any, NamedTuple

import httpx2
import numpy as np
from PIL import Image

from monai_tunevlseg.app.picture_files import png_of_mask
from monai_tunevlseg.monai_label.training_dataset import label_values

__all__ = ["LabelClient", "StoredLabel"]

TIMEOUT = httpx2.Timeout(600, connect=10)  # a request may load a base model, or wait for another
EPOCH = re.compile(r"Epoch: (\d+)/(\d+)")
FINAL = "final"
"""MONAI Label's tag of submitted labels."""


class StoredLabel(NamedTuple):
    """A label map, uint8 (H, W), and the value of each name in it."""

    labels: np.ndarray
    names: dict[str, int]


class LabelClient:
    """Requests to one server.

    Args:
        url: address of the server.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._client = httpx2.Client(base_url=self.url, timeout=TIMEOUT, trust_env=False)

    def models(self) -> dict[str, dict[str, Any]]:
        """Return the models that segment by text, by name: their ``labels``, and whether they can be ``trained``."""
        info = self._json("GET", "/info/")
        return {
            name: {"labels": list(model.get("labels") or ()), "trained": name in info.get("trainers", {})}
            for name, model in info.get("models", {}).items()
            if model.get("type") == "segmentation"
        }

    def images(self) -> list[dict[str, Any]]:
        """Return the ``id`` of each image, and whether it is ``labeled``."""
        objects = self._json("GET", "/datastore/", params={"output": "all"}).get("objects", {})
        return [{"id": name, "labeled": FINAL in entry.get("labels", {})} for name, entry in sorted(objects.items())]

    def next_image(self, strategy: str, model: str) -> str | None:
        """Return the id of the image to annotate next; None if all are labeled."""
        return self._json("POST", f"/activelearning/{_part(strategy)}", json={"model": model}).get("id")

    def picture(self, image: str) -> tuple[bytes, str]:
        """Return the file of an image, and its name."""
        answer = self._send("GET", "/datastore/image", params={"image": image})
        header = Message()
        header["content-disposition"] = answer.headers.get("content-disposition", "")
        return answer.content, header.get_filename() or image

    def label(self, image: str) -> StoredLabel | None:
        """Return the submitted label of an image; None if it has none."""
        if not any(entry["id"] == image and entry["labeled"] for entry in self.images()):
            return None
        query = {"label": image, "tag": FINAL}
        names = label_values(self._json("GET", "/datastore/label/info", params=query))
        labels = _label_map(self._send("GET", "/datastore/label", params=query).content)
        return StoredLabel(labels, {name: value for name, value in names.items() if value < 256})

    def infer(self, model: str, image: str, params: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """Segment an image, and return the label map, uint8 (H, W), and the parameters of the answer."""
        query = {"image": image, "output": "all"}
        data = {"params": json.dumps({**params, "result_extension": ".png"})}
        parts = _parts(self._send("POST", f"/infer/{_part(model)}", params=query, data=data))
        return _label_map(parts["image"]), json.loads(parts["params"])

    def submit(self, image: str, labels: np.ndarray, names: Mapping[str, int]) -> None:
        """Save the final label of an image: a label map, uint8 (H, W), and the value of each name in it."""
        query = {"image": image, "tag": FINAL}
        files = {"label": ("label.png", png_of_mask(labels), "image/png")}
        data = {"params": json.dumps({"label_names": dict(names)})}
        self._send("PUT", "/datastore/label", params=query, files=files, data=data)

    def train(self, model: str, options: Mapping[str, Any]) -> None:
        """Start the training of a model on the submitted labels."""
        self._send("POST", f"/train/{_part(model)}", json=dict(options))

    def stop_training(self) -> None:
        """Stop the training that runs, if one does."""
        self._send("DELETE", "/train/")

    def training(self) -> dict[str, Any] | None:
        """Return the state of the last training; None if none was started.

        Its keys are ``model``, ``status`` (SUBMITTED, RUNNING, DONE, ERROR or STOPPED), ``epoch`` and ``epochs`` (None
        before the first one ends), ``reason`` (the last line of a failed one) and, when it is done, ``result``: the
        validation Dice ``old_dice`` (None for a bundle that had no checkpoint) and ``new_dice`` in percent, and which
        checkpoint is ``kept``.
        """
        answer = self._client_answer("GET", "/train/")
        if answer.status_code == httpx2.codes.NOT_FOUND:
            return None
        task = _checked(answer).json()
        model, lines = task["request"]["model"], task.get("details", [])
        epochs = [found.groups() for line in lines if (found := EPOCH.search(line))]
        epoch, count = map(int, epochs[-1]) if epochs else (None, None)
        done = task["status"] == "DONE"
        stats = self._json("GET", "/info/").get("train_stats", {}).get(model) if done else None
        failed = task["status"] == "ERROR"
        return {
            "model": model,
            "status": task["status"],
            "epoch": epoch,
            "epochs": count,
            "reason": lines[-1] if failed and lines else None,
            "result": stats,
        }

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        return self._send(method, path, **options).json() or {}

    def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return _checked(self._client_answer(method, path, **options))

    def _client_answer(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Return the answer to a request.

        Raises:
            ConnectionError: when the server does not answer.
        """
        try:
            return self._client.request(method, path, **options)
        except httpx2.HTTPError as error:
            raise ConnectionError(f"MONAI Label at {self.url} does not respond ({error}); is it running?") from error


def _checked(answer: httpx2.Response) -> httpx2.Response:
    """Return an answer.

    Raises:
        FileNotFoundError: when the server does not find what was asked for.
        ValueError: when the server refuses the request.
    """
    if answer.is_success:
        return answer
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = f"the server responds with {answer.status_code}"
    message = f"MONAI Label: {str(detail)[:500]}"
    raise FileNotFoundError(message) if answer.status_code == httpx2.codes.NOT_FOUND else ValueError(message)


def _part(name: str) -> str:
    """Return a name as one component of a path.

    Raises:
        ValueError: when it is not one.
    """
    if not re.fullmatch(r"[\w .+-]+", name) or set(name) == {"."}:
        raise ValueError(f"{name!r:.100} is not the name of a model or strategy.")
    return name


def _parts(answer: httpx2.Response) -> dict[str, bytes]:
    """Return the parts of a ``multipart/form-data`` answer by name."""
    header = Message()
    header["content-type"] = answer.headers.get("content-type", "")
    boundary = str(header.get_boundary()).encode()
    found = {}
    for part in answer.content.split(b"--" + boundary)[1:-1]:
        head, _, body = part.partition(b"\r\n\r\n")
        if name := re.search(rb'[ ;]name="(\w+)"', head):
            found[name[1].decode()] = body.removesuffix(b"\r\n")
    if missing := {"params", "image"} - set(found):
        raise ValueError(f"MONAI Label's answer has no {missing.pop()}; is the image a picture?")
    return found


def _label_map(content: bytes) -> np.ndarray:
    """Decode a label map, uint8 (H, W).

    Raises:
        ValueError: when it is not a gray PNG of 8 bits.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            if picture.mode not in ("L", "P", "1"):
                raise ValueError(f"the label has the mode {picture.mode}; the page edits gray PNG files of 8 bits.")
            return np.asarray(picture).astype(np.uint8)
    except OSError as error:
        raise ValueError("the label is not a PNG file, so the page cannot edit it; annotate the image anew.") from error
