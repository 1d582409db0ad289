"""Texts that give the answer away."""

from __future__ import annotations

import re
from collections.abc import Sequence

from monai_tunevlseg.data.issues import DatasetIssue
from monai_tunevlseg.messages import shorten

__all__ = ["find_text_leakage"]

ABSENCE = re.compile(
    r"\b(no|not|none|nothing|without|absent|absence of|free of|lacks?|negative|normal|healthy)\b", re.I
)
WAY_OUT = "with neutral_text, or another text_source, the text cannot say what the mask should show."


def find_text_leakage(texts: Sequence[str], empty: Sequence[bool | None], images: Sequence[str]) -> list[DatasetIssue]:
    """Find texts that say that there is nothing, and texts that only pairs with an empty mask have.

    A text that all pairs have tells nothing.

    Args:
        texts: of each pair.
        empty: whether its mask is; None where it cannot be read.
        images: its image's path.
    """
    if len(set(texts)) < 2:
        return []
    issues = []
    absent = [number for number, text in enumerate(texts) if ABSENCE.search(text)]
    if absent:
        named = shorten((repr(text) for text in dict.fromkeys(texts[number] for number in absent)), most=3)
        message = f"the texts of {len(absent)} pairs say that there is nothing to find: {named}; {WAY_OUT}"
        issues.append(DatasetIssue("text", message, tuple(images[number] for number in absent)))
    with_foreground = {text for text, is_empty in zip(texts, empty, strict=True) if is_empty is False}
    told = [number for number, text in enumerate(texts) if empty[number] and text not in with_foreground]
    if told and with_foreground:
        named = shorten((repr(text) for text in dict.fromkeys(texts[number] for number in told)), most=3)
        message = (
            f"{len(told)} of {sum(map(bool, empty))} pairs with an empty mask have texts that no pair with foreground "
            f"has: {named}; {WAY_OUT}"
        )
        issues.append(DatasetIssue("text", message, tuple(images[number] for number in told)))
    return issues
