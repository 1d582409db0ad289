"""Checks of client-supplied names that become paths: of images, tags and files."""

from __future__ import annotations

import re
from typing import Any, TypeGuard

__all__ = ["check_image_id", "check_path_component"]

COMPONENT = re.compile(r"[^/\\\x00-\x1f\x7f]+")
MAX_BYTES = 200  # file systems allow 255, and a suffix is added


def check_path_component(name: Any, what: str) -> str:
    """Return a name unchanged if it is a single path component; `what` is its role, for the message.

    Raises:
        ValueError: when the name is not a string, has slashes or control characters, or is too long.
    """
    if not _is_component(name):
        raise ValueError(f"{what} is {name!r:.100}; send a name of at most {MAX_BYTES} bytes without slashes.")
    return name


def check_image_id(image: Any, what: str) -> str:
    """Return an image's id unchanged if it is a path inside the studies folder, such as ``patient1/scan``.

    Raises:
        ValueError: when the id is not a string, or leads out of the folder; `what` is its role, for the message.
    """
    if not isinstance(image, str) or not all(map(_is_component, image.split("/"))):
        raise ValueError(f"{what} is {image!r:.100}; send the id of an image, as listed by /datastore.")
    return image


def _is_component(name: Any) -> TypeGuard[str]:
    if not isinstance(name, str) or not COMPONENT.fullmatch(name) or name in (".", ".."):
        return False
    return len(name.encode("utf-8", "replace")) <= MAX_BYTES
