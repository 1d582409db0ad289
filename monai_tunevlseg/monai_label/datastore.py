"""A folder of studies as MONAI Label's datastore, and the image that a request names."""

from __future__ import annotations

import fnmatch
import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.config import Settings, settings
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from PIL import Image
from requests import RequestException

from monai_tunevlseg.data.io.file_suffixes import SUFFIXES, suffix_of
from monai_tunevlseg.data.io.reading import read_shape
from monai_tunevlseg.monai_label.asap_files import ASAP_SUFFIX, draw_asap
from monai_tunevlseg.monai_label.path_checks import check_path_component
from monai_tunevlseg.monai_label.training_dataset import SubmittedLabel, check_label

__all__ = ["FolderDatastore", "resolve_image"]

logger = logging.getLogger(__name__)

DICOM_UID = re.compile(r"[0-9][0-9.]{0,63}")
WATCHED_DEPTH = 4  # levels of folders in which the running server notices new files


class FolderDatastore(LocalDatastore):
    """All supported images in a folder and its subfolders, and nothing outside it.

    The id of an image is its path in the folder without the suffix; if several images have one stem, only the first
    goes without its suffix. Submitted labels are checked before they are saved.

    Args:
        folder: folder of the images; labels and the list of studies are written into it.

    Raises:
        ValueError: when the folder is not writable.
    """

    def __init__(self, folder: str) -> None:
        asked = settings.MONAI_LABEL_DATASTORE_FILE_EXT
        default = Settings.model_fields["MONAI_LABEL_DATASTORE_FILE_EXT"].default
        self._patterns = [f"*{suffix}" for suffix in SUFFIXES] if asked == default else list(asked)
        try:
            super().__init__(
                folder,
                extensions=[f"{'*/' * depth}{pattern}" for depth in range(WATCHED_DEPTH) for pattern in self._patterns],
                auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
                read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
            )
        except OSError as error:
            raise ValueError(
                f"{folder} is not writable ({error.strerror or error}): MONAI Label stores labels and its list of "
                "studies there; pass a writable folder, for example of links to the images."
            ) from error
        if not self.list_images():
            logger.warning("No studies in %s: no file matches %s.", folder, ", ".join(self._patterns))

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Add an image.

        Raises:
            MONAILabelException: when the id is not a plain name, or the file cannot be read as an image.
        """
        try:
            if image_id:
                check_path_component(image_id, "image")
            read_shape(Path(image_filename))
        except (OSError, ValueError) as error:
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, str(error)) from error
        return super().add_image(image_id, image_filename, image_info)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Save a label; polygons of QuPath are saved as a label map.

        Raises:
            MONAILabelException: when the tag is not a plain name, or the file cannot be read as the image's label.
        """
        try:
            check_path_component(label_tag, "tag")
            if image := self.get_image_uri(image_id):
                if Path(label_filename).suffix.lower() == ASAP_SUFFIX:
                    label_filename, label_info = _drawn(Path(label_filename), Path(image), label_info)
                check_label(Path(image), Path(label_filename), label_info)
        except (OSError, ValueError) as error:
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, str(error)) from error
        Path(self._datastore.label_path(label_tag), image_id).parent.mkdir(parents=True, exist_ok=True)
        self._remove_other_suffixes(image_id, label_tag)
        return super().save_label(image_id, label_filename, label_tag, label_info)

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """Return the path of a ZIP file with the labeled images and their labels.

        Raises:
            MONAILabelException: when no image is labeled.
        """
        if not self.datalist():
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, "no image has a final label; submit one first.")
        return super().get_dataset_archive(limit_cases)

    def submitted_labels(self) -> list[SubmittedLabel]:
        """Return the final label of each labeled image."""
        tag = DefaultLabelTag.FINAL
        return [
            SubmittedLabel(
                Path(self.get_image_uri(image)), Path(self.get_label_uri(image, tag)), self.get_label_info(image, tag)
            )
            for image in self.get_labeled_images()
        ]

    def _remove_other_suffixes(self, image_id: str, tag: str) -> None:
        """Remove the previous label, which would stay beside the new one if its suffix differs."""
        if self._datastore.label(image_id, tag):
            Path(self.get_label_uri(image_id, tag)).unlink(missing_ok=True)

    def _to_id(self, file: str) -> tuple[str, str]:
        suffix = suffix_of(Path(file))
        return file[: len(file) - len(suffix)], suffix

    def _list_files(self, path: str, patterns: list[str]) -> dict[str, str]:
        """Return the supported files in a folder and its subfolders, by relative path."""
        root, labels = Path(path), Path(self._datastore.label_path(None)).resolve()
        found = {}
        for folder, subfolders, files in os.walk(root):
            subfolders[:] = [
                name
                for name in sorted(subfolders)
                if not name.startswith(".") and (Path(folder) / name).resolve() != labels
            ]
            for name in sorted(files):
                if not name.startswith(".") and self._is_study(name):
                    file = str((Path(folder) / name).relative_to(root))
                    found[file] = file
        return found

    def _is_study(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in self._patterns)

    def _add_non_existing_images(self) -> int:
        self._init_from_datastore_file()
        objects = self._datastore.objects
        listed = {self._filename(image, entry.image.ext) for image, entry in objects.items()}
        new = [file for file in self._list_files(self._datastore.image_path(), self._patterns) if file not in listed]
        for file in new:
            image, suffix = self._to_id(file)
            if image in objects:
                image, suffix = file, ""
            note = {"ts": int(time.time()), "name": Path(file).name}
            objects[image] = ImageLabelModel(image=DataModel(info=note, ext=suffix))
        return len(new)


def _drawn(polygons: Path, image: Path, info: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a temporary label map of a file of polygons, and the label's info with the values of its names."""
    shape = read_shape(image)
    if len(shape) != 2:
        raise ValueError(f"{polygons} has polygons, which are labels of pictures; submit a label map of the volume.")
    labels, names = draw_asap(polygons, shape)
    file = polygons.with_suffix(".png")  # removed like other uploads
    Image.fromarray(labels).save(file)
    kept = {key: value for key, value in info.items() if key != "label_info"}
    return str(file), {**kept, "label_names": names}


def resolve_image(image: Any, store: Datastore, allowed: list[Path]) -> Path:
    """Return the file of the image that a request names.

    Args:
        image: an id, a path inside the studies folder, or the path of an upload.
        store: the studies.
        allowed: folders whose files may be named by path; relative paths refer to the first.

    Raises:
        FileNotFoundError: when the image does not exist.
        ValueError: when ``image`` is not a name, or its path is outside the folders.
    """
    if not isinstance(image, str) or not image.strip() or "\0" in image or len(image) > 4096:
        raise ValueError(f"image is {image!r:.100}; send the id of an image, as listed by /datastore.")
    if isinstance(store, DICOMWebDatastore):
        if DICOM_UID.fullmatch(image):
            return _series(image, store)
    elif uri := store.get_image_uri(image):
        return Path(uri)
    path = (allowed[0] / image).resolve()
    if not any(path.is_relative_to(folder) for folder in allowed):
        raise ValueError(
            f"image {image!r:.200} is outside the studies folder; send the id of an image, as listed by /datastore."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"image {image!r:.200} does not exist; send the id of an image, as listed by /datastore."
        )
    return path


def _series(uid: str, store: DICOMWebDatastore) -> Path:
    try:
        return Path(store.get_image_uri(uid))
    except (RequestException, RuntimeError, IndexError) as error:
        raise FileNotFoundError(f"the DICOMweb server did not deliver the series {uid}: {error}") from error
