"""The studies folder, and which file of it a request means."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from requests import RequestException

__all__ = ["StudiesFolder", "private_uploads", "requested_image"]

PLAIN_NAME = re.compile(r"[^/\\\0]+")
DICOM_UID = re.compile(r"[0-9][0-9.]{0,63}")


class StudiesFolder(LocalDatastore):
    """MONAI Label's local studies, which never writes outside its folder whatever name a client sends.

    Args:
        folder: with the images.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(
            folder,
            extensions=settings.MONAI_LABEL_DATASTORE_FILE_EXT,
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Add an image.

        Raises:
            MONAILabelException: when its name is no plain name.
        """
        _check_name(image_id, "image")
        return super().add_image(image_id, image_filename, image_info)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Save a label.

        Raises:
            MONAILabelException: when its tag is no plain name.
        """
        _check_name(label_tag, "tag")
        return super().save_label(image_id, label_filename, label_tag, label_info)


def private_uploads() -> Path:
    """Make the folder that uploads of this process go to, so that they can be told from other files.

    MONAI Label puts uploads among the temporary files and then names them to the app as a client would name an image.
    """
    uploads = Path(tempfile.mkdtemp(prefix="tunevlseg-label-")).resolve()
    tempfile.tempdir = str(uploads)
    return uploads


def requested_image(image: Any, store: Datastore, allowed: list[Path]) -> Path:
    """Return the file that a request means.

    Args:
        image: an image's id, a path inside the studies folder, or the path of an upload.
        store: the studies.
        allowed: folders whose files may be named by path; relative ones are those of the first.

    Raises:
        FileNotFoundError: when there is no such image.
        ValueError: when it is no name, or lies outside the folders.
    """
    if not isinstance(image, str) or not image.strip() or "\0" in image or len(image) > 4096:
        raise ValueError(f"image is {image!r:.100}; send the id of an image, as /datastore lists them.")
    if isinstance(store, DICOMWebDatastore):
        if DICOM_UID.fullmatch(image):
            return _series(image, store)
    elif uri := store.get_image_uri(image):
        return Path(uri)
    path = (allowed[0] / image).resolve()
    if not any(path.is_relative_to(folder) for folder in allowed):
        raise ValueError(f"image {image!r:.200} lies outside the studies folder; send the id of an image of it.")
    if not path.is_file():
        raise FileNotFoundError(f"there is no image {image!r:.200} in the studies; /datastore lists those there are.")
    return path


def _series(uid: str, store: DICOMWebDatastore) -> Path:
    try:
        return Path(store.get_image_uri(uid))
    except (RequestException, RuntimeError, IndexError) as error:
        raise FileNotFoundError(f"the DICOMweb server did not deliver the series {uid}: {error}") from error


def _check_name(name: str, what: str) -> None:
    if not PLAIN_NAME.fullmatch(name or "") or name in (".", ".."):
        raise MONAILabelException(
            MONAILabelError.INVALID_INPUT, f"{what} is {name!r:.100}; send a name without slashes."
        )
