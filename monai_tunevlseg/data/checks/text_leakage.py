"""Text leakage: texts that reveal whether the mask is empty."""

from __future__ import annotations

import re
from collections.abc import Sequence

from monai_tunevlseg.data.issues import DatasetIssue
from monai_tunevlseg.messages import shorten

__all__ = ["find_text_leakage"]

ABSENCE = re.compile(
    r"\b(no|not|none|nothing|without|absent|absence of|free of|lacks?|negative|normal|healthy)\b", re.I
)
REMEDY = "with neutral_text, or another text_source, the text cannot reveal the content of the mask."


def find_text_leakage(texts: Sequence[str], empty: Sequence[bool | None], images: Sequence[str]) -> list[DatasetIssue]:
    """Find texts that state an absence, and texts that occur only with empty masks.

    A single text for all pairs reveals nothing.

    Args:
        texts: the text of each pair.
        empty: whether the pair's mask is empty; None when it cannot be read.
        images: the path of the pair's image.
    """
    if len(set(texts)) < 2:
        return []
    issues = []
    absent = [number for number, text in enumerate(texts) if ABSENCE.search(text)]
    if absent:
        named = shorten((repr(text) for text in dict.fromkeys(texts[number] for number in absent)), most=3)
        message = f"the texts of {len(absent)} pairs state an absence: {named}; {REMEDY}"
        issues.append(DatasetIssue("text", message, tuple(images[number] for number in absent)))
    with_foreground = {text for text, is_empty in zip(texts, empty, strict=True) if is_empty is False}
    revealing = [number for number, text in enumerate(texts) if empty[number] and text not in with_foreground]
    if revealing and with_foreground:
        named = shorten((repr(text) for text in dict.fromkeys(texts[number] for number in revealing)), most=3)
        message = (
            f"{len(revealing)} of {sum(map(bool, empty))} pairs with an empty mask have texts that no pair with "
            f"foreground has: {named}; {REMEDY}"
        )
        issues.append(DatasetIssue("text", message, tuple(images[number] for number in revealing)))
    return issues
