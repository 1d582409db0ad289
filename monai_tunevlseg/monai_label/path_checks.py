"""Names that clients give: of images, tags and files, on their way into paths."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["check_image_id", "check_path_component"]

PLAIN_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]+")
LONGEST = 200  # bytes, so that a suffix fits into the 255 of a file name


def check_path_component(name: Any, what: str) -> str:
    """Return a name that is one part of a path.

    Raises:
        ValueError: when it is not a text, or has slashes or control characters, or is too long.
    """
    if not isinstance(name, str) or not PLAIN_NAME.fullmatch(name) or name in (".", ".."):
        raise ValueError(f"{what} is {name!r:.100}; send a name without slashes.")
    if len(name.encode("utf-8", "replace")) > LONGEST:
        raise ValueError(f"{what} has {len(name)} characters; send a name of at most {LONGEST} bytes.")
    return name


def check_image_id(name: Any, what: str) -> str:
    """Return an image's id: a path below the studies' folder, such as ``scan`` or ``patient1/scan``.

    Raises:
        ValueError: when it is not a text or leads out of the folder.
    """
    if not isinstance(name, str):
        raise ValueError(f"{what} is {name!r:.100}; send the id of an image, as /datastore lists them.")
    for part in name.split("/"):
        check_path_component(part, what)
    return name
