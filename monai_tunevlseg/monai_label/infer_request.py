"""Inference requests of clients, parsed and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["InferRequest", "within_region"]

MAX_TEXT_CHARS = 512  # the text encoder reads 77 tokens
MAX_TEXTS = 64
MAX_CLICKS = 1000
POLYGON_OUTPUTS = ("json", "asap")
Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class InferRequest:
    """The texts to segment, and the parts of the result to keep. Positions are (x, y) or (x, y, z) in pixels.

    Attributes:
        texts: the texts, in the order of label values 1, 2, ...
        foreground: positions of positive clicks.
        background: positions of negative clicks.
        roi: the box to keep, [start, end) along each axis; None = everything.
        extension: suffix of the result's file; None = by the kind of image.
        output: ``json`` for polygons in the answer and no file, ``asap`` for an XML file of polygons; anything else
            means a label map.
        min_polygon_area: smallest area of a polygon in pixels.
    """

    texts: list[str]
    foreground: list[tuple[int, ...]]
    background: list[tuple[int, ...]]
    roi: Box | None
    extension: str | None
    output: str | None = None
    min_polygon_area: float = 0

    @classmethod
    def parse(cls, request: Mapping[str, Any], class_names: Sequence[str], shape: Sequence[int]) -> InferRequest:
        """Parse a request.

        Args:
            request: all keys are optional. ``text`` is a list of texts, or one string of comma-separated texts; the
                default is ``class_names``. ``label`` selects one of the texts. ``foreground`` and ``background`` are
                lists of positions; ``roi`` is [x1, y1, x2, y2] or [x1, x2, y1, y2, z1, z2]. ``output`` and
                ``min_poly_area`` are the attributes above.
            class_names: the bundle's classes.
            shape: shape of the image, x first.

        Raises:
            ValueError: when a value is not as described, or lies outside the image.
        """
        extension = request.get("result_extension") or None
        return cls(
            _texts(request, list(class_names)),
            _clicks(request, "foreground", shape),
            _clicks(request, "background", shape),
            _roi(request.get("roi"), shape),
            None if extension is None else str(extension),
            _output(request, shape),
            _area(request.get("min_poly_area")),
        )


def within_region(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request whose ``roi`` is its region, ``location`` (x, y) and ``size`` (w, h) in pixels.

    A size of 0 means the whole image.

    Raises:
        ValueError: when location or size are not two numbers.
    """
    (x, y), (width, height) = (_pair(request, key) for key in ("location", "size"))
    region = {"roi": [x, y, x + width, y + height]} if width > 0 and height > 0 else {}
    return {**request, **region}


def _pair(request: Mapping[str, Any], key: str) -> list[int]:
    numbers = _numbers(request.get(key), key)
    if len(numbers) != 2:
        raise ValueError(f"{key} is {numbers}; send two numbers, x first.")
    return numbers


def _texts(request: Mapping[str, Any], class_names: list[str]) -> list[str]:
    asked = request.get("text")
    if asked is None or asked == ", ".join(class_names):
        texts = class_names  # a class name may contain commas
    elif isinstance(asked, str):
        texts = [part.strip() for part in asked.split(",")]
    elif isinstance(asked, Sequence) and asked and all(isinstance(part, str) for part in asked):
        texts = [part.strip() for part in asked]
    else:
        raise ValueError(f"text is {asked!r:.100}; send a text such as 'polyp', or a list of texts.")
    _check_texts(texts)
    return [request["label"]] if request.get("label") in texts else texts


def _check_texts(texts: list[str]) -> None:
    if not all(texts):
        raise ValueError("text is empty, or has an empty part between commas; send a text such as 'polyp'.")
    if broken := [text for text in texts if text.encode(errors="replace").decode() != text]:
        raise ValueError(f"text is {broken[0]!r:.100}, which is not valid Unicode; send UTF-8.")
    if longest := [text for text in texts if len(text) > MAX_TEXT_CHARS]:
        raise ValueError(f"text has {len(longest[0])} characters; send at most {MAX_TEXT_CHARS}.")
    if len(texts) > MAX_TEXTS or len(set(texts)) != len(texts):
        raise ValueError(f"text has {len(texts)} texts; send at most {MAX_TEXTS}, each once.")


def _clicks(request: Mapping[str, Any], key: str, shape: Sequence[int]) -> list[tuple[int, ...]]:
    clicks = request.get(key) or []
    if not isinstance(clicks, list) or len(clicks) > MAX_CLICKS:
        raise ValueError(f"{key} is {clicks!r:.100}; send a list of at most {MAX_CLICKS} positions such as [[12, 34]].")
    return [_position(click, key, shape) for click in clicks]


def _position(click: Any, key: str, shape: Sequence[int]) -> tuple[int, ...]:
    numbers = _numbers(click, key)
    if len(numbers) < len(shape):
        raise ValueError(f"{key} has the position {click!r:.100}, but the image has {len(shape)} axes.")
    position = tuple(numbers[: len(shape)])
    if any(not 0 <= index < size for index, size in zip(position, shape, strict=True)):
        raise ValueError(f"{key} has the position {click!r:.100} outside the image of shape {tuple(shape)}, x first.")
    return position


def _roi(roi: Any, shape: Sequence[int]) -> Box | None:
    if not roi:
        return None
    numbers = _numbers(roi, "roi")
    if len(numbers) == 4:
        x1, y1, x2, y2 = numbers
        ends = [(x1, x2), (y1, y2)]
    elif len(numbers) == 6:
        ends = list(zip(numbers[::2], numbers[1::2], strict=True))
    else:
        raise ValueError(f"roi is {roi!r:.100}; send [x1, y1, x2, y2] or [x1, x2, y1, y2, z1, z2].")
    ends += [(0, size) for size in shape[len(ends) :]]
    box = tuple((max(0, min(pair)), min(size, max(pair))) for pair, size in zip(ends[: len(shape)], shape, strict=True))
    if any(start >= end for start, end in box):
        raise ValueError(f"roi {roi!r:.100} lies outside the image of shape {tuple(shape)}, x first.")
    return box


def _output(request: Mapping[str, Any], shape: Sequence[int]) -> str | None:
    asked = request.get("output")
    if asked not in POLYGON_OUTPUTS:
        return None
    if len(shape) != 2:
        raise ValueError(f"output is {asked!r}, which has polygons of pictures; leave it out for a volume.")
    return str(asked)


def _area(area: Any) -> float:
    if area is None:
        return 0.0
    if isinstance(area, bool) or not isinstance(area, (int, float)) or not 0 <= area < 2**31:
        raise ValueError(f"min_poly_area is {area!r:.100}; send a number of pixels, 0 or more.")
    return float(area)


def _numbers(values: Any, key: str) -> list[int]:
    numeric = isinstance(values, list) and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**31 for value in values
    )
    if not numeric:
        raise ValueError(f"{key} has {values!r:.100} where a list of numbers is expected.")
    return [round(value) for value in values]
